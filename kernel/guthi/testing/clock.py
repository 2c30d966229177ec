"""A machine's own clocks, which may gain, lose and jump: what a node on it takes for the time."""

from __future__ import annotations

import math

from guthi.errors import UsageError

__all__ = ["MachineClock"]

WORLD_BEGINS_AT_S = 1_893_456_000.0  # the first of January 2030
ROUNDING_S = 1e-9


class MachineClock:
    """The clock for timers, which never jumps, and the wall clock, which does.

    `rate` is how many seconds it shows for a second of the world, `wall_offset_s` how far the wall clock is ahead.
    """

    def __init__(self) -> None:
        self.rate = 1.0
        self.wall_offset_s = 0.0
        self._since = self._local_since = 0.0  # when the rate was last changed, on the world's clock and on our own

    def set_rate(self, rate: float, now: float) -> None:
        """Let the clock gain or lose from now on. Timers that are already set may come late by it, but never early."""
        if not 0 < rate < math.inf:
            raise UsageError(f"a clock runs at a rate above 0, such as 1.01, not {rate}")
        self._since, self._local_since = now, self.local_time(now)
        self.rate = rate

    def local_time(self, now: float) -> float:
        """What the clock shows at the world's time `now`."""
        return self._local_since + (now - self._since) * self.rate

    def world_time(self, local: float) -> float:
        """When the clock shows `local`; by a nanosecond too late rather than by a rounding error too early, for who
        sets a timer for a moment must not find that it has not come yet, and set it again for ever."""
        if self._since == 0.0 and self.rate == 1.0:
            return local
        return self._since + (local - self._local_since) / self.rate + ROUNDING_S

    def wall_time_s(self, now: float) -> float:
        """Seconds since 1970."""
        return WORLD_BEGINS_AT_S + self.local_time(now) + self.wall_offset_s
