"""The plugin `tracing`: has rpc make spans, with whatever tracer provider the program has set up."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import guthi
from guthi_rpc import RPC

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

__all__ = ["TracingPlugin"]


class TracingPlugin(guthi.Plugin):
    """Follows the calls that this node makes and serves."""

    name = "tracing"
    requires = (RPC,)

    @staticmethod
    def tracer_provider() -> TracerProvider:
        """Who makes tracers: what the program has set up for the process. A subclass may give a node its own."""
        from opentelemetry.trace import get_tracer_provider

        return get_tracer_provider()

    async def run(self, stack: AsyncExitStack) -> None:
        """Have calls followed from now on."""
        from guthi_tracing.spans import Spans

        self.node.require(RPC).trace(Spans(self.node, self.tracer_provider()))
