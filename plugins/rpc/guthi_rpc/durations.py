"""How long the calls of one function took: counted by classes, from which any share of them can be told.

A power of two has STEPS classes, so a class is 12 to 25 % wide, and whatever is told is off by half of that at most
(the idea is that of HdrHistogram, Tene 2012). There are 160 of them at most, however many calls there were, and the
counts of several nodes can be added up.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import frexp, ldexp

__all__ = ["LONGEST_S", "SHORTEST_S", "Durations"]

STEPS = 4
SHORTEST_EXPONENT, LONGEST_EXPONENT = -19, 20
SHORTEST_S = ldexp(0.5, SHORTEST_EXPONENT)
"""A microsecond: what is shorter counts as that."""
LONGEST_S = ldexp(0.999, LONGEST_EXPONENT)
"""Twelve days."""


class Durations:
    """The calls of one function on one node, since it was registered; calls that were refused do not count.

    `calls` counts all that ended, `errors` those of them that raised, of which the time is not known; `seconds` is the
    sum of the others.
    """

    __slots__ = ("_counts", "calls", "errors", "seconds")

    def __init__(self) -> None:
        self.calls = self.errors = 0
        self.seconds = 0.0
        self._counts: dict[int, int] = {}

    def add(self, seconds: float, calls: int = 1) -> None:
        """So many calls took so long each."""
        self.calls += calls
        self.seconds += seconds * calls
        mantissa, exponent = frexp(seconds if SHORTEST_S < seconds < LONGEST_S else _bounded(seconds))
        place = exponent * STEPS + int((mantissa - 0.5) * 2 * STEPS)
        counts = self._counts
        counts[place] = counts.get(place, 0) + calls

    def failed(self, calls: int = 1) -> None:
        """So many raised something."""
        self.calls += calls
        self.errors += calls

    def quantile_s(self, share: float) -> float | None:
        """How long that share of the calls took at most, as near as the classes tell; None where there were none."""
        wanted, seen = share * sum(self._counts.values()), 0
        for place in sorted(self._counts):
            seen += self._counts[place]
            if seen >= wanted:
                return (_lower_s(place) + _lower_s(place + 1)) / 2
        return None

    def shorter_than(self, exponent: int) -> int:
        """How many took less than 2 ** `exponent` seconds, exactly."""
        return sum(count for place, count in self._counts.items() if place < (exponent + 1) * STEPS)

    @property
    def counts(self) -> Mapping[int, int]:
        """Calls by their class, a whole number; what `include` takes."""
        return self._counts

    def include(self, calls: int, errors: int, seconds: float, counts: Mapping[int, int]) -> None:
        """Add those of another node."""
        self.calls += calls
        self.errors += errors
        self.seconds += seconds
        for place, count in counts.items():
            self._counts[place] = self._counts.get(place, 0) + count


def _bounded(seconds: float) -> float:
    return min(max(seconds, SHORTEST_S), LONGEST_S)


def _lower_s(place: int) -> float:
    exponent, step = divmod(place, STEPS)
    return ldexp(0.5 + step / (2 * STEPS), exponent)
