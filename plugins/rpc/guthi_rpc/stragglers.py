"""Decides which chunks are so late that a copy of them, on a node that has nothing to do, is likely to be quicker.

Late is what has taken more than LATE times the mean per item so far, as in LATE's reading of MapReduce (Zaharia et al.
2008): there is one copy of a chunk at most.
"""

from __future__ import annotations

from collections.abc import Sequence

from guthi.api import NodeId
from guthi_rpc.items import Item

__all__ = ["Stragglers"]

LATE = 2.0
LEAST_S = 0.05  # less than this is not worth a copy


class Stragglers:
    """What one map knows of how long its items take."""

    def __init__(self) -> None:
        self._items, self._seconds = 0, 0.0
        self._copied: set[int] = set()

    def took(self, elapsed_s: float, items: int) -> None:
        """A chunk came back."""
        self._items += items
        self._seconds += elapsed_s

    def copies(
        self, chunks: Sequence[tuple[float, Sequence[Item], NodeId]], idle: Sequence[NodeId], now: float
    ) -> list[tuple[NodeId, Sequence[Item]]]:
        """Which idle node gets which items; `chunks` are given as when they were given out, and to whom."""
        if not self._items:
            return []
        late = [
            (given_at, items, node)
            for given_at, items, node in chunks
            if items[0].index not in self._copied and now - given_at >= self._patience_s(len(items))
        ]
        late.sort(key=lambda chunk: chunk[0])
        given: list[tuple[NodeId, Sequence[Item]]] = []
        free = list(idle)
        for _, items, node in late:
            other = next((each for each in free if each != node), None)
            if other is None:
                continue
            free.remove(other)
            self._copied.add(items[0].index)
            given.append((other, items))
        return given

    def next_look(self, now: float) -> float | None:
        """When it is worth looking again."""
        return now + self._patience_s(1) if self._items else None

    def _patience_s(self, items: int) -> float:
        return max(LATE * self._seconds / self._items * items, LEAST_S)
