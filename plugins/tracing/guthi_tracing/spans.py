"""Spans for calls: of kind CLIENT at the caller, of kind SERVER where the function runs, in one trace.

The caller's span travels as W3C's `traceparent`. Names of attributes are those that OpenTelemetry has for calls of
functions (semantic conventions, RPC), and `guthi.node`, because several nodes may live in one process.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from typing import Any

from opentelemetry import context as contexts
from opentelemetry.trace import Span as OpenSpan
from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from guthi import Node, NodeId
from guthi_rpc import Context

__all__ = ["Spans"]

TRACEPARENT = "traceparent"
W3C = TraceContextTextMapPropagator()


class Spans:
    """As `guthi_rpc.tracing.Tracing` has it, for one node."""

    def __init__(self, node: Node, provider: TracerProvider) -> None:
        self._node = node
        self._tracer = provider.get_tracer("guthi", version("guthi-tracing"))

    def asking(self, function: str, node: NodeId) -> CallSpan:
        """A call of this node begins, within whatever span is current."""
        attributes = {"guthi.peer": self._node.network.name_of(node), **self._attributes(function)}
        return CallSpan(self._tracer.start_span(f"call {function}", kind=SpanKind.CLIENT, attributes=attributes))

    def serving(self, context: Context, trace: str | None) -> CallSpan:
        """A function begins, for the span that `trace` tells of; without one it is the first of its trace."""
        parent = W3C.extract({TRACEPARENT: trace} if trace is not None else {}, contexts.Context())
        attributes: dict[str, str | int] = {
            "guthi.peer": self._node.network.name_of(context.caller),
            "guthi.attempt": context.attempt,
            **self._attributes(context.function),
        }
        name = f"run {context.function}"
        return CallSpan(self._tracer.start_span(name, parent, kind=SpanKind.SERVER, attributes=attributes))

    def _attributes(self, function: str) -> dict[str, str]:
        return {"rpc.system": "guthi", "rpc.method": function, "guthi.node": self._node.name}


class CallSpan:
    """As `guthi_rpc.tracing.Span` has it."""

    def __init__(self, span: OpenSpan) -> None:
        self._span = span
        self._handled = sys.exception()  # the call may be made where another error is being handled

    @property
    def trace(self) -> str | None:
        """Its traceparent; None where no library is set up that makes spans."""
        carrier: dict[str, str] = {}
        W3C.inject(carrier, set_span_in_context(self._span, contexts.Context()))
        return carrier.get(TRACEPARENT)

    def end(self) -> None:
        """With what is being raised, if it has come up within."""
        error = sys.exception()
        if error is not None and error is not self._handled:
            self._span.record_exception(error)
            self._span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
        self._span.end()

    def entered(self, call: Callable[..., Any], is_async: bool) -> Callable[..., Any]:
        """The function, with this span as the current one while it runs, wherever it does."""
        return self._entered_async(call) if is_async else self._entered(call)

    def _entered(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call, assigned=())
        def within(*arguments: Any, **named: Any) -> Any:
            token = contexts.attach(set_span_in_context(self._span))
            try:
                return call(*arguments, **named)
            finally:
                contexts.detach(token)

        return within

    def _entered_async(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call, assigned=())
        async def within(*arguments: Any, **named: Any) -> Any:
            token = contexts.attach(set_span_in_context(self._span))
            try:
                return await call(*arguments, **named)
            finally:
                contexts.detach(token)

        return within
