"""What was before, of every node: so many points, and no more in all than fit into a bound."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from guthi import NodeId
from guthi_resources.sample import Sample

__all__ = ["History", "Point"]

MOST_POINTS = 60_000
FEWEST_POINTS = 30


class Point(NamedTuple):
    """A moment of a node. `at_s` is this node's wall clock, in seconds since 1970, when it was heard."""

    at_s: float
    cpu_percent: float
    memory_percent: float
    received_bytes_s: int
    sent_bytes_s: int


class History:
    """Keeps `length` points of each node; fewer where all together would be more than MOST_POINTS."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._points: dict[NodeId, deque[Point]] = {}

    def add(self, node: NodeId, sample: Sample, at_s: float) -> None:
        """A sample was taken or heard."""
        points = self._points.setdefault(node, deque())
        points.append(
            Point(
                round(at_s, 1),
                round(sample.cpu_percent, 1),
                round(sample.memory_percent, 1),
                sample.received_bytes_s,
                sample.sent_bytes_s,
            )
        )
        limit = min(self._length, max(MOST_POINTS // len(self._points), FEWEST_POINTS))
        while len(points) > limit:
            points.popleft()

    def of(self, node: NodeId) -> Sequence[Point]:
        """Oldest first."""
        return list(self._points.get(node, ()))

    def forget(self, node: NodeId) -> None:
        """It has left."""
        self._points.pop(node, None)
