"""Guthi's tracing plugin: calls followed from node to node, by OpenTelemetry."""

from guthi_tracing.plugin import TracingPlugin

__all__ = ["TracingPlugin"]
