"""How many items a node is given at once: so many that they take about TARGET_S, by what it took for the last ones.

Small items are given by the thousand, so that it is not their way that costs; long ones singly, so that none waits
behind another. When the end of the input can be seen, chunks shrink (guided self-scheduling: Polychronopoulos and Kuck
1987), so that all nodes are done at the same time.
"""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

__all__ = ["TARGET_S", "ChunkSize", "length_of"]

TARGET_S = 0.05  # a hundred times what a call costs, and short enough that nobody minds
MAX_ITEMS = 4096


class ChunkSize:
    """The size for one node, from one chunk to the next."""

    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items = 1

    def took(self, items: int, elapsed_s: float) -> None:
        """A chunk of so many items came back after so many seconds, its way and its waiting there included."""
        if items >= self.items and elapsed_s < TARGET_S / 2:
            self.items = min(2 * self.items, MAX_ITEMS)
        elif elapsed_s > 2 * TARGET_S:
            self.items = max(min(items, self.items) // 2, 1)

    def within(self, remaining: int | None, places: int) -> int:
        """The size now; `remaining` items are left (None: nobody knows) for as many chunks at a time as `places`."""
        return self.items if remaining is None else min(self.items, max(-(-remaining // (2 * places)), 1))


def length_of(items: Any) -> int | None:
    """How many there are, where one can know."""
    return len(items) if isinstance(items, Sized) else None
