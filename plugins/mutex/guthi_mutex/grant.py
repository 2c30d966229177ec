"""What a caller has in hand while it holds a lock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from guthi_mutex.fences import Fence

__all__ = ["Grant"]


class Grant:
    """One tenure of a lock.

    `fence` is a whole number that is greater than in every earlier grant of that lock: send it along with what is
    written under the lock. `lost` is set when the lock has been lost: when this node has not reached a majority for the
    length of a lease, or the majority has gone on without it. Another may hold it then.
    """

    def __init__(self, lock: str, fence: int, ticket: int, valid_until: Callable[[], float]) -> None:
        self.lock = lock
        self.fence = fence
        self.lost = asyncio.Event()
        self.ticket = ticket
        self.is_released = False
        self._valid_until = valid_until
        self._loop = asyncio.get_running_loop()

    @property
    def is_valid(self) -> bool:
        """Whether the lock is held at this moment; it also knows when the process has slept through its lease."""
        return not self.is_released and not self.lost.is_set() and self._loop.time() < self._valid_until()

    @property
    def token(self) -> Fence:
        """The fence with the name of its lock, as a FenceGate takes it."""
        return Fence(self.lock, self.fence)

    def __repr__(self) -> str:
        state = "released" if self.is_released else "lost" if self.lost.is_set() else "held"
        return f"<grant {self.fence:#x} of {self.lock!r}, {state}>"
