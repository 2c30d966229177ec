"""What a node remembers of its log: the last lines, and for each who follows them a bounded queue."""

from __future__ import annotations

import asyncio
from collections import deque

from guthi_logs.lines import LONGEST_SOURCE, LONGEST_TEXT, Line, Wish

__all__ = ["Book", "Follower"]

QUEUE_LINES = 500


class Follower:
    """Somebody who is given the lines as they come; of those that it leaves waiting, the oldest are dropped."""

    def __init__(self, wish: Wish) -> None:
        self._wish = wish
        self._waiting: deque[Line] = deque()
        self._missed = 0
        self._some = asyncio.Event()

    def put(self, line: Line) -> None:
        """Something happened."""
        if not self._wish.wants(line):
            return
        if len(self._waiting) == QUEUE_LINES:
            self._waiting.popleft()
            self._missed += 1
        self._waiting.append(line)
        self._some.set()

    async def take(self) -> tuple[int, list[Line]]:
        """How many were dropped since the last time, and those that wait."""
        while not self._waiting:
            self._some.clear()
            await self._some.wait()
        missed, lines = self._missed, list(self._waiting)
        self._missed = 0
        self._waiting.clear()
        return missed, lines


class Book:
    """The last `length` lines of a node."""

    def __init__(self, length: int) -> None:
        self._lines: deque[Line] = deque(maxlen=length)
        self._count = 0
        self.followers: list[Follower] = []

    def add(self, at_s: float, level: int, source: str, text: str) -> None:
        """Something happened."""
        self._count += 1
        line = Line(self._count, at_s, level, _sendable(source[:LONGEST_SOURCE]), _sendable(text[:LONGEST_TEXT]))
        self._lines.append(line)
        for follower in self.followers:
            follower.put(line)

    def last(self, wish: Wish, limit: int) -> list[Line]:
        """The newest lines that are wanted, oldest first."""
        found: list[Line] = []
        for line in reversed(self._lines):
            if len(found) == limit:
                break
            if wish.wants(line):
                found.append(line)
        return found[::-1]


def _sendable(text: str) -> str:
    """The text with what is no Unicode written out: Python has odd characters for odd bytes in names (PEP 383).

    One line that cannot be sent would keep all others back.
    """
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
