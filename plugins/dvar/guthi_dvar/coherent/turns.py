"""Decides whose turn it is with a variable: one after the other, and at once where nobody else is there.

What asyncio's lock lacks: it can be taken without awaiting anything, so that a write is on its way in the very turn of
the loop in which it is asked for. Who leaves hands it to the first that waits; nobody can get in between.
"""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["Turns"]


class Turns:
    """The operations of one variable."""

    __slots__ = ("_waiting", "is_taken")

    def __init__(self) -> None:
        self.is_taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take_at_once(self) -> bool:
        """Take the turn if nobody has it, and tell whether that was so."""
        if self.is_taken:
            return False
        self.is_taken = True
        return True

    async def take(self) -> None:
        """Wait for the turn, behind those who wait already."""
        if self.take_at_once():
            return
        handed = asyncio.get_running_loop().create_future()
        self._waiting.append(handed)
        try:
            await handed
        except asyncio.CancelledError:
            if not handed.cancelled():
                self.leave()  # it was handed over in the very turn in which the wait was cancelled
            raise

    def leave(self) -> None:
        """Let the next one have it."""
        while self._waiting:
            handed = self._waiting.popleft()
            if not handed.done():  # else nobody waits any more
                handed.set_result(None)
                return
        self.is_taken = False
