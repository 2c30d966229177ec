"""The other end of a call: what a node does when it is asked to run one of its functions."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from inspect import isawaitable
from typing import Any, TypeAlias

from guthi import Incoming, NodeId, UsageError
from guthi.values.codec import Codec
from guthi_rpc.batches import batched, read_batch, write_outcomes
from guthi_rpc.checkpoints import Checkpoints
from guthi_rpc.context import Context
from guthi_rpc.errors import Undecided
from guthi_rpc.execution import Execution
from guthi_rpc.functions import Function
from guthi_rpc.guests import Guests
from guthi_rpc.later import Later
from guthi_rpc.once import Once
from guthi_rpc.questions import OVERLOADED, UNDECIDED, Answer, Question, read_question
from guthi_rpc.tracing import Runs, Tracing, traced
from guthi_rpc.turns import Full

__all__ = ["Serving"]

Told: TypeAlias = tuple[Any, float, int]
"""An answer as it travels: value, seconds, calls in hand."""

Report: TypeAlias = Callable[[Context, Any], None]

log = logging.getLogger("guthi_rpc.serving")


class Serving:
    """Runs this node's functions for whoever asks; `functions` are those that it has."""

    def __init__(
        self, execution: Execution, once: Once, checkpoints: Checkpoints, codec: Codec, guests: Guests
    ) -> None:
        self.functions: dict[str, Function] = {}
        self._guests = guests
        self._execution, self._once, self._checkpoints, self._codec = execution, once, checkpoints, codec
        self._run: Runs = execution.run

    def trace(self, tracing: Tracing) -> None:
        """Follow every function that runs from now on."""
        self._run = traced(self._execution.run, tracing)

    def called(self, incoming: Incoming) -> Told | Awaitable[Any] | str | None:
        """The handler of calls."""
        return self._serve(read_question(incoming.value), incoming.peer, incoming.deadline, self._checkpoints.report)

    def cast(self, incoming: Incoming) -> Awaitable[Any] | None:
        """The handler of calls that want no answer."""
        question = read_question(incoming.value)
        told = self._serve(question, incoming.peer, None, None)  # nobody would go on from a checkpoint
        if isawaitable(told):
            return Later(partial(self._cast, told, question.name, incoming.peer))
        _complain(told, question.name, incoming.peer)
        return None

    async def _cast(self, work: Awaitable[Any], name: str, caller: NodeId) -> None:
        _complain(await work, name, caller)

    def batch(self, incoming: Incoming) -> Awaitable[Any] | str | None:
        """The handler of several items of a map."""
        batch = read_batch(incoming.value)
        function = self.functions.get(batch.name)
        if function is None or self._execution.is_closed or self._guests.refuses(incoming.peer):
            return None
        if function.yields:
            raise UsageError(f"{batch.name!r} gives a stream of values, and cannot be mapped; use rpc.stream for it")
        if self._execution.is_full(function.description.run):
            return OVERLOADED
        context = Context(
            batch.name,
            (incoming.peer, batch.number),
            deadline=incoming.deadline,
            priority=batch.priority,
            trace=batch.trace,
        )
        work = partial(self._run_batch, batched(function, batch.shape), batch.items, context)
        return Later(partial(self._guests.served, incoming.peer, work))

    async def _run_batch(self, function: Function, items: Sequence[Any], context: Context) -> Told | str:
        answer = self._run(function, (items,), {}, context)
        try:
            outcomes, seconds = answer if isinstance(answer, tuple) else await answer
        except Full:
            return OVERLOADED
        failures = sum(failure is not None for _, failure in outcomes)
        function.durations.failed(failures)
        function.durations.add(seconds / len(outcomes), len(outcomes) - failures)
        return write_outcomes(outcomes, self._codec), seconds, self._execution.running

    def _serve(
        self, question: Question, caller: NodeId, deadline: float | None, report: Report | None
    ) -> Told | Awaitable[Any] | str | None:
        function = self.functions.get(question.name)
        if function is None or self._execution.is_closed:
            return None
        if self._guests.refuses(caller) and not (question.key is not None and self._once.knows(question)):
            return None
        if function.yields:
            raise UsageError(f"{question.name!r} gives a stream of values; use rpc.stream for it")
        context = Context(
            question.name,
            (caller, question.number),
            key=question.key,
            deadline=deadline if question.key is None else None,  # it runs on for its other callers
            priority=question.priority,
            attempt=question.attempt,
            state=question.state,
            report=report,
            trace=question.trace,
        )
        if question.key is not None:
            begin = partial(self._begin, function, question, context)
            once = partial(self._once_only, question, function, begin)
            return Later(partial(self._guests.served, caller, once))
        if self._execution.is_full(function.description.run):
            return OVERLOADED
        answer = self._begin(function, question, context)
        if isinstance(answer, Answer):
            return answer.value, answer.seconds, self._execution.running
        return Later(partial(self._guests.served, caller, partial(self._tell, answer)))

    async def _once_only(
        self, question: Question, function: Function, begin: Callable[[], Answer | Awaitable[Answer]]
    ) -> Told | str:
        if not self._once.knows(question) and self._execution.is_full(function.description.run):
            return OVERLOADED
        try:
            return self._told(await self._once.run(question, begin))
        except Undecided:
            return UNDECIDED

    async def _tell(self, answer: Awaitable[Answer]) -> Told | str:
        try:
            return self._told(await answer)
        except Full:
            return OVERLOADED

    def _begin(self, function: Function, question: Question, context: Context) -> Answer | Awaitable[Answer]:
        try:
            answer = self._run(function, question.arguments, question.named, context)
        except Exception as error:
            self._checkpoints.ended(context)
            _count_failure(function, error)
            raise
        if isinstance(answer, Answer):
            self._checkpoints.ended(context)
            function.durations.add(answer.seconds)
            return answer
        return Later(partial(self._until_done, answer, function, context))

    async def _until_done(self, answer: Awaitable[Answer], function: Function, context: Context) -> Answer:
        with self._checkpoints.following(context):
            try:
                done = await answer
            except Exception as error:
                _count_failure(function, error)
                raise
        function.durations.add(done.seconds)
        return done

    def _told(self, answer: Answer) -> Told:
        return answer[0], answer[1], self._execution.running


def _count_failure(function: Function, error: Exception) -> None:
    if not isinstance(error, Full):  # then it has not begun
        function.durations.failed()


def _complain(told: object, name: str, caller: NodeId) -> None:
    """A one-way call that was not run leaves a line in the log."""
    why = {None: "it has no such function", OVERLOADED: "its queue is full", UNDECIDED: "too few nodes know of its key"}
    if told is None or isinstance(told, str):
        log.warning("a one-way call of %r from %s was not run: %s", name, caller, why[told])
