"""When each life of a node was certainly there, and when its process was not given the processor.

A life lasts from its first entry to its last. A node writes its status each STATUS_S; where that comes late, and the
process has had no processor time meanwhile, it was stopped, or the machine had other work: what the node did late then
is not to be blamed on it. A node that computes all the time, and keeps its own loop waiting, has no such excuse.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.chaos.journal import STATUS_S, Entry

__all__ = ["Life", "Stalls", "lives_of"]


@dataclass(frozen=True, slots=True)
class Life:
    """One life of a node."""

    node: str
    began_at: float
    last_at: float


def lives_of(entries: Iterable[Entry]) -> dict[str, Life]:
    """By the name of the life."""
    found: dict[str, Life] = {}
    for each in entries:
        old = found.get(each.life)
        began_at, last_at = (each.at, each.at) if old is None else (old.began_at, old.last_at)
        found[each.life] = Life(each.node, min(began_at, each.at), max(last_at, each.at))
    return found


class Stalls:
    """Of all nodes."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        statuses = defaultdict[str, list[Entry]](list)
        for each in entries:
            if each.kind == "status":
                statuses[each.life].append(each)
        self._of_life = {life: list(_stalls(told)) for life, told in statuses.items()}

    def within_s(self, life: str, begin: float, end: float) -> float:
        """For how many seconds within these moments it was without the processor."""
        return sum(
            min(seconds, max(min(ended_at, end) - max(began_at, begin), 0.0))
            for began_at, ended_at, seconds in self._of_life.get(life, ())
        )


def _stalls(statuses: Sequence[Entry]) -> Iterable[tuple[float, float, float]]:
    for one, other in pairwise(statuses):
        computed_s = other.told["cpu_s"] - one.told["cpu_s"]
        if (seconds := other.at - one.at - STATUS_S - computed_s) > 0:
            yield one.at, other.at, seconds
