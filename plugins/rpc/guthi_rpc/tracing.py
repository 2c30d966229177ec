"""What follows calls from node to node, where somebody wants that: a span at the caller, one where the function runs.

rpc itself knows no library for it. Where nobody calls `Rpc.trace`, a call costs one look at an attribute more. What the
caller's span is known by elsewhere travels with the call, as the text `trace`; see the plugin `tracing`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeAlias

from guthi import NodeId
from guthi_rpc.context import Context
from guthi_rpc.functions import Function, Run
from guthi_rpc.later import Later
from guthi_rpc.questions import Answer

__all__ = ["Runs", "Span", "Tracing", "traced"]

Runs: TypeAlias = Callable[[Function, Sequence[Any], Mapping[str, Any], Context], Answer | Awaitable[Answer]]


class Span(Protocol):
    """A piece of work that is followed."""

    @property
    def trace(self) -> str | None:
        """What travels with the call; None: nothing."""

    def end(self) -> None:
        """It is over; what is being raised then, and was not when it began, is what became of it."""

    def entered(self, call: Callable[..., Any], is_async: bool) -> Callable[..., Any]:
        """The same function, within the span: what it asks of others belongs to it."""


class Tracing(Protocol):
    """Who makes spans; one a node."""

    def asking(self, function: str, node: NodeId) -> Span:
        """A call of this node begins."""

    def serving(self, context: Context, trace: str | None) -> Span:
        """A function begins here, for a caller that follows it, if there is a `trace`."""


def traced(run: Runs, tracing: Tracing) -> Runs:
    """The same, with a span for each function that runs; in a worker process it runs outside of its span."""

    def run_traced(
        function: Function, arguments: Sequence[Any], named: Mapping[str, Any], context: Context
    ) -> Answer | Awaitable[Answer]:
        span = tracing.serving(context, context.trace)
        try:
            answer = run(_entered(function, span), arguments, named, context)
        except BaseException:
            span.end()
            raise
        if isinstance(answer, tuple):
            span.end()
            return answer
        return Later(partial(_until_done, answer, span))

    return run_traced


def _entered(function: Function, span: Span) -> Function:
    if function.description.run is Run.PROCESS:
        return function
    return replace(function, call=span.entered(function.call, function.is_async))


async def _until_done(answer: Awaitable[Answer], span: Span) -> Answer:
    try:
        return await answer
    finally:
        span.end()
