"""Medians, spreads and ratios of what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from performance.goals import GOALS, MEASURES, Goal
from performance.peers import PEERS, Peer
from performance.rounds import Start

__all__ = ["Figure", "Summary"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A median, and the least and the greatest of what it is the median of."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    @property
    def spread_percent(self) -> float:
        """From the least to the greatest, in parts of the median."""
        return (self.high - self.low) / self.median * 100 if self.median else 0.0


class Summary:
    """The starts of one run, looked up by peer and measure."""

    def __init__(self, starts: Sequence[Start]) -> None:
        self._values: dict[tuple[str, str], dict[int, float]] = {}
        measured = {start.peer for start in starts if start.measures}
        self.peers = [peer for peer in PEERS if peer in measured]
        self.missing = {start.peer.title: start.missing for start in starts if start.missing}
        self.failed = {start.peer.title: start.failed for start in starts if start.failed}
        for start in starts:
            for measure, value in start.measures.items():
                self._values.setdefault((start.peer.title, measure), {})[start.round] = value

    def figure(self, peer: str, measure: str) -> Figure | None:
        """Over the starts of a peer; None where it was not measured."""
        values = self._values.get((peer, measure))
        return Figure.of(list(values.values())) if values else None

    def ratio(self, measure: str, ours: str, theirs: str) -> Figure | None:
        """The ratio of two medians, and the least and the greatest ratio within one round."""
        our_values, their_values = self._values.get((ours, measure), {}), self._values.get((theirs, measure), {})
        rounds = sorted(our_values.keys() & their_values.keys())
        if not rounds:
            return None
        within = [our_values[each] / their_values[each] for each in rounds]
        median = statistics.median(our_values.values()) / statistics.median(their_values.values())
        return Figure(median, min(*within, median), max(*within, median))

    def goals(self) -> list[tuple[Goal, Figure | None]]:
        """Every goal, with what was reached where both sides were measured."""
        return [
            (goal, self.ratio(goal.measure, goal.ours, goal.theirs))
            if goal.theirs
            else (goal, self.figure(goal.ours, goal.measure))
            for goal in GOALS
        ]

    def over(self, peer: Peer, measure: str) -> Figure | None:
        """Guthi's ratio over another peer: of the Guthi that it is compared with, or else of the two workers."""
        ratios = (self.ratio(measure, ours, peer.title) for ours in (peer.beside, "Guthi, two workers"))
        return next((ratio for ratio in ratios if ratio), None)

    def measures(self) -> list[str]:
        """What was measured of any peer, in the order of the tables."""
        measured = {measure for _, measure in self._values}
        return [measure for measure in MEASURES if measure in measured]
