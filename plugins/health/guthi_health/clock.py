"""How far another node's wall clock is off ours, and how sure that is: NTP's arithmetic and its clock filter.

An echo has four moments, each read from a wall clock: sent (t1, ours), received and answered (t2, t3, the peer's),
back (t4, ours). Then

    offset = ((t2 - t1) + (t3 - t4)) / 2        delay = (t4 - t1) - (t3 - t2)

and the true offset lies within delay/2 of that, however unequal the two ways were. Of the last eight samples the one
with the shortest delay says most (RFC 5905, section 10); its bound grows with its age, since two clocks may drift
apart. Sections 8 and 11.1: clocks are taken to drift by at most 15 µs a second each, so 30 µs against one another.

A sample that contradicts what is believed, its interval and ours being disjoint, means that a clock was set: then all
older samples are dropped.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

__all__ = ["ClockFilter", "ClockOffset", "ClockSample"]

STAGES = 8
DRIFT = 30e-6  # twice PHI of RFC 5905
READING_S = 1e-6  # what a wall clock is read to, at best


class ClockSample(NamedTuple):
    """One echo: the wall times of its four moments, in seconds."""

    sent: float
    received: float
    answered: float
    back: float

    @property
    def offset_s(self) -> float:
        """How far the peer's clock is ahead of ours."""
        return ((self.received - self.sent) + (self.answered - self.back)) / 2

    @property
    def delay_s(self) -> float:
        """How long both ways took together."""
        return (self.back - self.sent) - (self.answered - self.received)


class ClockOffset(NamedTuple):
    """The peer's wall clock shows ours plus `offset_s`, give or take `bound_s`."""

    offset_s: float
    bound_s: float


class ClockFilter:
    """The last samples of one peer. `now` is loop time, which no one sets."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, ClockSample]] = deque(maxlen=STAGES)

    def add(self, sample: ClockSample, now: float) -> None:
        """One more; one with a negative delay, because a clock was set under way, is left out."""
        if sample.delay_s < 0:
            return
        believed = self.offset(now)
        if believed is not None:
            apart_s = abs(sample.offset_s - believed.offset_s)
            if apart_s > believed.bound_s + sample.delay_s / 2 + READING_S:
                self._samples.clear()
        self._samples.append((now, sample))

    def offset(self, now: float) -> ClockOffset | None:
        """The best of what the samples say; None before the first."""
        said = [ClockOffset(each.offset_s, self._bound_s(each, now - at)) for at, each in self._samples]
        return min(said, key=lambda each: each.bound_s, default=None)

    @staticmethod
    def _bound_s(sample: ClockSample, age_s: float) -> float:
        return sample.delay_s / 2 + age_s * DRIFT + READING_S
