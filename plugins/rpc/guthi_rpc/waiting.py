"""What waits for its turn, the most urgent first; what nobody wants any more leaves for next to nothing.

When a caller with ten thousand calls in a queue is lost, all of them leave in one turn of the loop. To look for each in
the heap would hold the node up for ten seconds. So its entry is only emptied, and stays until it comes to the top, or
until most entries are empty.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, Generic, TypeAlias, TypeVar

__all__ = ["Entry", "Waiting"]

T = TypeVar("T")

Entry: TypeAlias = list[Any]
"""Urgency, number, and what waits, None when it does so no longer. Among equals the one that came first is first."""

MOST_EMPTY = 64  # beside as many as are not


class Waiting(Generic[T]):
    """The queue; its length is how many wait."""

    def __init__(self) -> None:
        self._heap: list[Entry] = []
        self._numbers = count()
        self._wanted = 0

    def __len__(self) -> int:
        return self._wanted

    def put(self, item: T, priority: int) -> Entry:
        """Let it wait; the entry is for `drop`."""
        entry: Entry = [-priority, next(self._numbers), item]
        heappush(self._heap, entry)
        self._wanted += 1
        return entry

    def take(self) -> T | None:
        """What is next, which waits no longer; None where nothing does."""
        while self._heap:
            item: T | None = self._empty(heappop(self._heap))
            if item is not None:
                return item
        return None

    def drop(self, entry: Entry) -> None:
        """It is not wanted any more; nothing where it has been taken."""
        if self._empty(entry) is not None and len(self._heap) > 2 * self._wanted + MOST_EMPTY:
            self._heap = [each for each in self._heap if each[2] is not None]
            heapify(self._heap)

    def _empty(self, entry: Entry) -> T | None:
        item: T | None = entry[2]
        if item is not None:
            entry[2] = None
            self._wanted -= 1
        return item
