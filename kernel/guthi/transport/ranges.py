"""A set of whole numbers kept as sorted, disjoint ranges: received packets, acknowledged bytes, bytes to send again."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

__all__ = ["RangeSet"]


class RangeSet:
    """Half-open ranges `start <= n < stop`, merged where they touch.

    Adding at the upper end, which is what nearly every packet does, costs no search.
    """

    __slots__ = ("_starts", "_stops")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    def add(self, start: int, stop: int) -> None:
        """Add every number of `start <= n < stop`; an empty range adds nothing."""
        if start >= stop:
            return
        starts, stops = self._starts, self._stops
        if not starts or start > stops[-1]:
            starts.append(start)
            stops.append(stop)
        elif start >= starts[-1]:
            stops[-1] = max(stops[-1], stop)
        else:
            self._insert(start, stop)

    def extend(self, number: int) -> bool:
        """Add the number if it is the next after the highest; False if it is not, and nothing has changed."""
        stops = self._stops
        if stops and stops[-1] == number:
            stops[-1] = number + 1
            return True
        is_first = not stops and not number
        if is_first:
            self.add(0, 1)
        return is_first

    def _insert(self, start: int, stop: int) -> None:
        first = bisect_left(self._stops, start)  # the first range that touches or follows
        last = bisect_right(self._starts, stop)  # one past the last range that touches
        if first < last:
            start = min(start, self._starts[first])
            stop = max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def remove(self, start: int, stop: int) -> None:
        """Take every number of `start <= n < stop` out."""
        if start >= stop:
            return
        first = bisect_right(self._stops, start)
        last = bisect_left(self._starts, stop)
        if first >= last:
            return
        left = (self._starts[first], start) if self._starts[first] < start else None
        right = (stop, self._stops[last - 1]) if self._stops[last - 1] > stop else None
        kept = [piece for piece in (left, right) if piece is not None]
        self._starts[first:last] = [piece[0] for piece in kept]
        self._stops[first:last] = [piece[1] for piece in kept]

    def forget_below(self, number: int) -> None:
        """Take every lower number out."""
        starts, stops = self._starts, self._stops
        while stops and stops[0] <= number:
            del starts[0], stops[0]
        if starts and starts[0] < number:
            starts[0] = number

    def pop_first(self) -> tuple[int, int]:
        """Take out and return the lowest range; IndexError when there is none."""
        return self._starts.pop(0), self._stops.pop(0)

    def keep_highest(self, count: int) -> None:
        """Forget all but the `count` highest ranges."""
        if len(self._starts) > count:
            del self._starts[:-count], self._stops[:-count]

    def covers(self, start: int, stop: int) -> bool:
        """True when every number of `start <= n < stop`, of which there is at least one, is in the set."""
        index = bisect_right(self._starts, start) - 1
        return index >= 0 and self._stops[index] >= stop

    def next_expected(self) -> int:
        """One more than the highest number in the set; 0 for an empty set."""
        return self._stops[-1] if self._stops else 0

    def size(self) -> int:
        """How many numbers are in the set."""
        return sum(self._stops) - sum(self._starts)

    def __contains__(self, number: int) -> bool:
        return self.covers(number, number + 1)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._starts, self._stops, strict=True))

    def closed_descending(self) -> list[tuple[int, int]]:
        """The ranges as `start <= n <= last`, highest first."""
        starts, stops = self._starts, self._stops
        if len(starts) == 1:
            return [(starts[0], stops[0] - 1)]
        return [(starts[each], stops[each] - 1) for each in range(len(starts) - 1, -1, -1)]

    def __len__(self) -> int:
        """The number of ranges, not of numbers."""
        return len(self._starts)

    def __bool__(self) -> bool:
        return bool(self._starts)

    def __repr__(self) -> str:
        return f"RangeSet({list(self)})"
