"""What `/metrics` says, in the text format of Prometheus: the node's own figures, and those that plugins add."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Histogram", "Measure", "exposition", "measures_of"]


class Histogram(NamedTuple):
    """How often a value was below each bound, in rising order; how often there was one, and their sum."""

    buckets: Sequence[tuple[float, int]]
    values: int
    total: float


class Measure(NamedTuple):
    """A figure, with a value for each set of labels, or a Histogram. Its name ends with its unit."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    values: Sequence[tuple[Mapping[str, str], float | Histogram]]


def measures_of(node: Node, pages: int) -> list[Measure]:
    """The kernel's own; `pages` is how many follow views."""
    known = node.network.membership.snapshot()
    states = Counter(member.state.name.lower() for member in known)
    return [
        Measure(
            "guthi_members",
            "gauge",
            "Members that this node knows.",
            [({"state": s}, states[s]) for s in sorted(states)],
        ),
        Measure("guthi_sessions", "gauge", "Sessions that are open.", [({}, len(node.network.endpoint.peers))]),
        Measure(
            "guthi_datagrams_dropped",
            "counter",
            "Datagrams that were not let in, or could not be sent.",
            [({"reason": reason}, count) for reason, count in sorted(node.network.dropped.items())],
        ),
        Measure("guthi_web_pages", "gauge", "Pages that follow this node live.", [({}, pages)]),
    ]


def exposition(measures: Iterable[Measure]) -> bytes:
    """The text that is scraped."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

    families: dict[str, Any] = {
        "gauge": GaugeMetricFamily,
        "counter": CounterMetricFamily,
        "histogram": HistogramMetricFamily,
    }

    class Once:
        def collect(self) -> Iterator[Metric]:
            for measure in measures:
                labels = sorted(measure.values[0][0]) if measure.values else []
                metric: Any = families[measure.kind](measure.name, measure.help, labels=labels)
                for values, value in measure.values:
                    chosen = [values[label] for label in labels]
                    if isinstance(value, Histogram):
                        metric.add_metric(chosen, _buckets(value), value.total)
                    else:
                        metric.add_metric(chosen, value)
                yield metric

    registry = CollectorRegistry()
    registry.register(Once())
    return generate_latest(registry)


def _buckets(histogram: Histogram) -> list[tuple[str, int]]:
    return [*((repr(bound), count) for bound, count in histogram.buckets), ("+Inf", histogram.values)]
