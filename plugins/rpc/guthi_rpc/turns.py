"""Who is next: calls wait for one of a number of places, the more urgent ones first, and not too many of them."""

from __future__ import annotations

import asyncio

from guthi_rpc.waiting import Waiting

__all__ = ["Full", "Turns"]


class Full(Exception):
    """No further call may wait; this one has not begun."""


class Turns:
    """The places of one pool. Among calls of one priority the one that came first is first."""

    def __init__(self, places: int, queue: int) -> None:
        self._free, self._queue = places, queue
        self._waiting: Waiting[asyncio.Future[None]] = Waiting()
        self._closed: Exception | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether no further call may wait."""
        return not self._free and len(self._waiting) >= self._queue

    async def take(self, priority: int) -> None:
        """Wait for a place; whoever has one gives it back. Raises Full, and what `close` was given."""
        if self._closed is not None:
            raise self._closed
        if self.is_full:
            raise Full
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        entry = self._waiting.put(turn, priority)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.done() and turn.exception() is None:
                self.give()  # it came in the same moment
            else:
                self._waiting.drop(entry)
            raise

    def give(self) -> None:
        """A place is free."""
        while (turn := self._waiting.take()) is not None:
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def close(self, reason: Exception) -> None:
        """Let nobody wait any more."""
        self._closed = reason
        while (turn := self._waiting.take()) is not None:
            if not turn.done():
                turn.set_exception(reason)
