"""Decides when the first, doubling growth of the congestion window has gone far enough: HyStart++ (RFC 9406).

Each round (the time in which one window is acknowledged) is judged by its shortest round trip. When that rises over
the round before, a queue is building up: growth is slowed, and after CAUTIOUS_ROUNDS such rounds it is over. Should the
round trips fall again, it was noise, and doubling goes on. The window is paced, so a round may add all that arrived.

| phase    | growth for each byte acknowledged | leaves by                                                    |
|----------|-----------------------------------|--------------------------------------------------------------|
| DOUBLING | 1                                 | round trips that rise -> CAUTIOUS; a loss -> OVER             |
| CAUTIOUS | 1/4                               | round trips that fall -> DOUBLING; 5 rounds, a loss -> OVER    |
| OVER     | none: congestion avoidance        | persistent congestion, which starts anew                     |
"""

from __future__ import annotations

from enum import Enum, auto

__all__ = ["SlowStart", "SlowStartPhase"]

SHORTEST_RISE_S, LONGEST_RISE_S = 0.004, 0.016
RISE_DIVISOR = 8  # a rise of an eighth of the round trip, within those bounds, is a queue
SAMPLES_A_ROUND = 8
CAUTIOUS_DIVISOR = 4
CAUTIOUS_ROUNDS = 5
_NEVER = float("inf")


class SlowStartPhase(Enum):
    """How the window grows."""

    DOUBLING = auto()
    CAUTIOUS = auto()
    OVER = auto()


class SlowStart:
    """The rounds of one slow start."""

    __slots__ = ("_baseline_s", "_cautious_rounds", "_ends_at_number", "_last_s", "_samples", "_shortest_s", "phase")

    def __init__(self) -> None:
        self.phase = SlowStartPhase.DOUBLING
        self._ends_at_number = 0  # the round is over when this packet is acknowledged
        self._last_s = self._shortest_s = self._baseline_s = _NEVER
        self._samples = self._cautious_rounds = 0

    def growth_bytes(self, acknowledged_bytes: int) -> float:
        """By how much the window grows."""
        return acknowledged_bytes if self.phase is SlowStartPhase.DOUBLING else acknowledged_bytes / CAUTIOUS_DIVISOR

    def end(self) -> None:
        """A packet was lost."""
        self.phase = SlowStartPhase.OVER

    def sampled(self, round_trip_s: float, number: int, next_number: int) -> None:
        """Packet `number` was acknowledged after `round_trip_s`; the next to be sent is `next_number`."""
        if number >= self._ends_at_number:
            self._next_round(next_number)
        self._samples += 1
        self._shortest_s = min(self._shortest_s, round_trip_s)
        if self._samples < SAMPLES_A_ROUND:
            return
        if self.phase is SlowStartPhase.DOUBLING and self._has_risen():
            self.phase, self._baseline_s, self._cautious_rounds = SlowStartPhase.CAUTIOUS, self._shortest_s, 0
        elif self.phase is SlowStartPhase.CAUTIOUS and self._shortest_s < self._baseline_s:
            self.phase, self._baseline_s = SlowStartPhase.DOUBLING, _NEVER

    def _next_round(self, next_number: int) -> None:
        self._ends_at_number = next_number
        self._last_s, self._shortest_s, self._samples = self._shortest_s, _NEVER, 0
        if self.phase is SlowStartPhase.CAUTIOUS:
            self._cautious_rounds += 1
            if self._cautious_rounds >= CAUTIOUS_ROUNDS:
                self.phase = SlowStartPhase.OVER

    def _has_risen(self) -> bool:
        if self._last_s == _NEVER:
            return False
        rise_s = min(max(self._last_s / RISE_DIVISOR, SHORTEST_RISE_S), LONGEST_RISE_S)
        return self._shortest_s >= self._last_s + rise_s
