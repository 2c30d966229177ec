"""Decides whether the system has little memory left: when the share of it that is in use reaches a limit."""

from __future__ import annotations

from collections.abc import Callable

import psutil

__all__ = ["MemoryProbe", "system_memory_share"]

LOOK_AGAIN_S = 0.5


def system_memory_share() -> float:
    """The share of the system's memory that is in use, from 0 to 1; what can be given back at once counts as free."""
    return float(psutil.virtual_memory().percent) / 100


class MemoryProbe:
    """Asks the system now and then. `clock` is loop time; `share_in_use` another source than the system, for tests."""

    def __init__(
        self, limit: float, clock: Callable[[], float], share_in_use: Callable[[], float] = system_memory_share
    ) -> None:
        self._limit, self._clock, self._share_in_use = limit, clock, share_in_use
        self._is_short, self._asked_at = False, float("-inf")

    @property
    def is_short(self) -> bool:
        """Whether the limit is reached, as of half a second ago at most."""
        now = self._clock()
        if now - self._asked_at >= LOOK_AGAIN_S:
            self._is_short, self._asked_at = self._share_in_use() >= self._limit, now
        return self._is_short
