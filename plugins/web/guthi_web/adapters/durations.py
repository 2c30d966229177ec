"""How long functions took: those of this node, for `/metrics`, and those of all nodes that run the plugin, added up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from heapq import nlargest
from typing import Any, NamedTuple, Protocol

from guthi import MalformedMessage, Node
from guthi_web.asking import ask_all
from guthi_web.measures import Histogram, Measure

__all__ = ["Figures", "HasDurations", "durations_of_all", "measures", "serve", "shown"]

TOPIC = "web.durations"
MOST_FUNCTIONS = 200
"""Of more, those that are called most are told of."""
EXPONENTS = range(-14, 8, 2)
"""The buckets of Prometheus: from 61 µs to 64 s, each four times the one before."""


class Figures(Protocol):
    """What is used of those that rpc keeps."""

    calls: int
    errors: int
    seconds: float

    def quantile_s(self, share: float) -> float | None: ...
    def shorter_than(self, exponent: int) -> int: ...
    @property
    def counts(self) -> Mapping[int, int]: ...


class Told(NamedTuple):
    """What a node tells of one function."""

    calls: int
    errors: int
    seconds: float
    counts: Mapping[int, int]


class HasDurations(Protocol):
    """What is used of the service `RPC`."""

    def durations(self) -> Mapping[str, Figures]: ...
    def sum_of(self, durations: Iterable[Told]) -> Figures: ...


def shown(durations: Figures) -> dict[str, Any]:
    """As JSON; the times are None where no call came to a good end."""
    good = durations.calls - durations.errors
    return {
        "calls": durations.calls,
        "errors": durations.errors,
        "mean_s": durations.seconds / good if good else None,
        "p50_s": durations.quantile_s(0.5),
        "p99_s": durations.quantile_s(0.99),
    }


def measures(rpc: HasDurations) -> Sequence[Measure]:
    """Of this node: the others are scraped themselves."""
    chosen = _called_most(rpc)
    took = [({"function": name}, _histogram(each)) for name, each in chosen]
    failed = [({"function": name}, each.errors) for name, each in chosen]
    return [
        Measure("guthi_call_seconds", "histogram", "How long functions took that ended well.", took),
        Measure("guthi_call_errors", "counter", "Calls of functions that raised something.", failed),
    ]


def _histogram(durations: Figures) -> Histogram:
    buckets = [(2.0**exponent, durations.shorter_than(exponent)) for exponent in EXPONENTS]
    return Histogram(buckets, durations.calls - durations.errors, durations.seconds)


def _called_most(rpc: HasDurations) -> list[tuple[str, Figures]]:
    called = [(name, each) for name, each in rpc.durations().items() if each.calls]
    return sorted(nlargest(MOST_FUNCTIONS, called, key=lambda pair: pair[1].calls))


def serve(node: Node, rpc: HasDurations) -> None:
    """Tell other nodes what this one has."""
    node.handle(TOPIC, lambda incoming: _told(rpc))


def _told(rpc: HasDurations) -> list[Any]:
    return [[name, each.calls, each.errors, each.seconds, dict(each.counts)] for name, each in _called_most(rpc)]


async def durations_of_all(node: Node, rpc: HasDurations) -> list[dict[str, Any]]:
    """A row for each function that was called anywhere."""
    answers = await ask_all(node, TOPIC, _read)
    answers[node.id] = _read(_told(rpc))
    found: defaultdict[str, list[Told]] = defaultdict(list)
    for _, rows in sorted(answers.items()):
        for name, told in rows:
            found[name].append(told)
    return [{"name": name, **shown(rpc.sum_of(found[name]))} for name in sorted(found)]


def _read(value: Any) -> list[tuple[str, Told]]:
    if not isinstance(value, list) or len(value) > MOST_FUNCTIONS or not all(_is_row(each) for each in value):
        raise MalformedMessage("durations are a list of names, counts, seconds and classes")
    return [(name, Told(*figures)) for name, *figures in value]


def _is_row(row: Any) -> bool:
    match row:
        case [str(), int(calls), int(errors), float(seconds), dict(counts)] if calls >= errors >= 0 <= seconds:
            return len(counts) <= 1000 and all(_is_count(place, count) for place, count in counts.items())
    return False


def _is_count(place: Any, count: Any) -> bool:
    return isinstance(place, int) and abs(place) < 1000 and isinstance(count, int) and count >= 0
