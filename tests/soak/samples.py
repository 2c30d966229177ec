"""Decides whether what a node uses is flat: the beginning of a soak against its end, by what was sampled in between.

Both are as long as the other: ten minutes, or a third of a shorter soak. What the first minute shows is left out: pools
and caches are filled then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean, median

__all__ = ["LATENCY", "MEASURES", "Measure", "Row", "Sample", "compared", "middle"]

WARM_UP_S = 60.0
PART_S = 600.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What one node uses at one moment, in seconds since the beginning; `latency_s` is the median of calls of late."""

    at_s: float
    node: str
    resident_bytes: int
    descriptors: int
    tasks: int
    latency_s: float


@dataclass(frozen=True, slots=True)
class Measure:
    """Something that has to stay as it is; it may grow by a share of what it was, or by `least` if that is more."""

    name: str
    of: Callable[[Sample], float]
    share: float
    least: float

    def is_flat(self, first: float, last: float) -> bool:
        """Whether it has not grown; to have become less is no fault."""
        return last - first <= max(self.share * first, self.least)


MEASURES = (
    Measure("resident MiB", lambda sample: sample.resident_bytes / 2**20, 0.05, 0.0),
    Measure("descriptors", lambda sample: sample.descriptors, 0.0, 2.0),
    Measure("tasks", lambda sample: sample.tasks, 0.1, 3.0),
)
LATENCY = Measure("latency ms", lambda sample: sample.latency_s * 1e3, 1.0, 1.0)
"""Is shown and not judged: it is also what else the machine has to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measure of one node: its mean in the first part and in the last."""

    node: str
    measure: str
    first: float
    last: float
    is_flat: bool


def compared(samples: Sequence[Sample], measures: Sequence[Measure] = MEASURES) -> list[Row]:
    """By node and measure; raises ValueError when the soak was too short for two parts."""
    end_s = max((each.at_s for each in samples), default=0.0)
    warm_s = min(WARM_UP_S, end_s / 5)
    part_s = min(PART_S, (end_s - warm_s) / 3)
    found = []
    for node in sorted({each.node for each in samples}):
        own = [each for each in samples if each.node == node]
        first = [each for each in own if warm_s <= each.at_s <= warm_s + part_s]
        last = [each for each in own if each.at_s >= end_s - part_s]
        if len(first) < 2 or len(last) < 2:
            raise ValueError("too few samples; let it last longer")
        for measure in measures:
            one, other = mean(map(measure.of, first)), mean(map(measure.of, last))
            found.append(Row(node, measure.name, one, other, measure.is_flat(one, other)))
    return found


def middle(values: Sequence[float]) -> float:
    """The median; 0 of nothing."""
    return median(values) if values else 0.0
