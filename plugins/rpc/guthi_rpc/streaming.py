"""Functions that give more than one value: async generators, and generators, whose values travel as they are made.

On `rpc.stream` a stream is opened with a call (see `questions`); the values that it yields come back over the stream.
With the word `inputs` the caller sends values too: the function's first argument is then an async iterator of them. Who
is quicker waits for the other, both ways, by the credit of the stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Iterable
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

from guthi import Incoming, NodeId, Stream, StreamEnded, UsageError
from guthi_rpc.asking import Asking
from guthi_rpc.attempts import contained, is_being_cancelled
from guthi_rpc.calling import Calling, deadline_after, time_left
from guthi_rpc.checkpoints import Checkpoints
from guthi_rpc.context import Context, running_call
from guthi_rpc.dispatch import Dispatch
from guthi_rpc.errors import Overloaded, UnknownFunction
from guthi_rpc.execution import Execution
from guthi_rpc.functions import Function
from guthi_rpc.guests import Guests
from guthi_rpc.options import Options
from guthi_rpc.questions import Question, read_question
from guthi_rpc.turns import Full

if TYPE_CHECKING:
    from guthi import Node
    from guthi_rpc.tracing import Tracing

__all__ = ["STREAM", "Streaming", "stream_values"]

STREAM = "rpc.stream"


class Streaming:
    """Runs this node's generators for whoever asks; `find` looks them up."""

    def __init__(
        self,
        node: Node,
        find: Callable[[str], Function | None],
        execution: Execution,
        checkpoints: Checkpoints,
        guests: Guests,
    ) -> None:
        self._node, self._find, self._execution, self._checkpoints = node, find, execution, checkpoints
        self._guests = guests
        self.tracing: Tracing | None = None

    async def serve(self, incoming: Incoming, stream: Stream) -> None:
        """The handler of streams; what the function raises is the caller's to see, and never ends the node."""
        try:
            await self._guests.served(incoming.peer, partial(self._serve, incoming, stream))
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                raise
            raise contained(error)  # noqa: B904 - it is the same error, or has it as its cause

    async def _serve(self, incoming: Incoming, stream: Stream) -> None:
        question = read_question(incoming.value)
        function = self._find(question.name)
        if function is None or self._execution.is_closed or self._guests.refuses(incoming.peer):
            raise UnknownFunction(f"{self._node.name} has no function {question.name!r} any more; call it again")
        if not function.yields:
            raise UsageError(f"{question.name!r} gives one value; use rpc.call for it")
        if self._execution.is_full(function.description.run):
            raise self._overloaded(question.name)
        context = Context(
            question.name,
            (incoming.peer, question.number),
            deadline=incoming.deadline,
            attempt=question.attempt,
            state=question.state,
            report=self._checkpoints.report,
            trace=question.trace,
        )
        if self.tracing is None:
            await self._send(question, function, context, stream)
            return
        span = self.tracing.serving(context, context.trace)
        try:
            await span.entered(self._send, True)(question, function, context, stream)
        finally:
            span.end()

    def _overloaded(self, name: str) -> Overloaded:
        return Overloaded(f"{self._node.name} has no room for a call of {name!r}; its queue is full")

    async def _send(self, question: Question, function: Function, context: Context, stream: Stream) -> None:
        arguments = [stream, *question.arguments] if question.inputs else question.arguments
        running_call.set(context)
        try:
            with self._checkpoints.following(context), self._execution.lasting():
                made = function.call(*arguments, **question.named)
                values = self._execution.generators.values(made) if isinstance(made, Generator) else made
                async with aclosing(values):
                    async for value in values:
                        await stream.send(value)
        except Full:
            raise self._overloaded(question.name) from None


async def stream_values(
    node: Node,
    asking: Asking,
    calling: Calling,
    dispatch: Dispatch,
    question: Question,
    options: Options,
    inputs: Iterable[Any] | AsyncIterable[Any] | None,
) -> AsyncGenerator[Any, None]:
    """The values that the function yields. Raises what it raises, and what a call raises."""
    question.inputs = inputs is not None
    deadline = deadline_after(options.timeout)
    provider = await calling.provider(question, options)
    dispatch.began(provider)
    span = asking.span(question, provider)
    try:
        async with _opened(node, provider, question, time_left(deadline)) as stream:
            feeding = asyncio.ensure_future(_feed(stream, inputs)) if inputs is not None else None
            if feeding is None:
                stream.finish()
            try:
                async for value in stream:
                    yield value
                _raise_if_failed(feeding)
            finally:
                if feeding is not None:
                    feeding.cancel()
                    await asyncio.gather(feeding, return_exceptions=True)
    finally:
        dispatch.ended(provider)
        calling.done(question)
        if span is not None:
            span.end()


def _opened(node: Node, provider: NodeId, question: Question, timeout_s: float | None) -> Any:
    return node.open_stream(provider, STREAM, question.to_wire(), timeout_s=timeout_s)


def _raise_if_failed(feeding: asyncio.Future[None] | None) -> None:
    if feeding is not None and feeding.done() and feeding.exception() is not None:
        feeding.result()


async def _feed(stream: Stream, inputs: Iterable[Any] | AsyncIterable[Any]) -> None:
    """Send what there is, as fast as the function takes it; a function may end before it has taken all."""
    try:
        async for value in _as_asynchronous(inputs):
            try:
                await stream.send(value)
            except StreamEnded:
                return
        stream.finish()
    except Exception as error:
        stream.fail(error)  # the function may wait for more inputs, and its caller for what it makes of them
        raise


async def _as_asynchronous(inputs: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    if isinstance(inputs, AsyncIterable):
        async for value in inputs:
            yield value
    else:
        for value in inputs:
            yield value
