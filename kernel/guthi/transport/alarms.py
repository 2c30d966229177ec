"""Which of many moments comes first: one timer for all that an endpoint, or the requests of a node, have to do in time.

Moving a moment is frequent and the moment itself rare, so a later moment leaves its old booking in the heap: the alarm
then rings early, finds nothing due, and is booked anew. Times are seconds on whatever clock the caller uses.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Alarms"]

Key = TypeVar("Key", bound=Hashable)


class Alarms(Generic[Key]):
    """At most one moment for each key."""

    def __init__(self) -> None:
        self._moments: dict[Key, float] = {}
        self._booked: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._ticket = 0  # keys need no order of their own

    def __len__(self) -> int:
        return len(self._moments)

    def set(self, key: Key, moment: float) -> None:
        """The key's moment is this one from now on."""
        self._moments[key] = moment
        booked = self._booked.get(key)
        if booked is None or moment < booked:
            self._book(key, moment)

    def clear(self, key: Key) -> None:
        """The key has no moment any more."""
        if self._moments.pop(key, None) is not None:
            self._look()

    def _book(self, key: Key, moment: float) -> None:
        self._ticket += 1
        self._booked[key] = moment
        heapq.heappush(self._heap, (moment, self._ticket, key))
        if len(self._heap) > 2 * len(self._moments) + 64:
            self._rebuild()

    def _rebuild(self) -> None:
        """Leave out the bookings of keys that have no moment any more, and of moments that were moved."""
        self._booked = dict(self._moments)
        self._heap = [(moment, ticket, key) for ticket, (key, moment) in enumerate(self._moments.items())]
        self._ticket = len(self._heap)
        heapq.heapify(self._heap)

    @property
    def first(self) -> float | None:
        """No moment comes before this one; None when there are none."""
        return self._heap[0][0] if self._heap else None

    def _look(self) -> None:
        """Leave out what stands first in the heap for a key that has no moment any more, or an earlier booking."""
        while self._heap:
            moment, _, key = self._heap[0]
            if self._booked.get(key) == moment and key in self._moments:
                return
            self._drop_first()

    def _drop_first(self) -> None:
        moment, _, key = heapq.heappop(self._heap)
        if self._booked.get(key) == moment:
            del self._booked[key]

    def due(self, now: float) -> list[Key]:
        """Take out the keys whose moment has come, earliest first."""
        ready: list[Key] = []
        while self._heap and self._heap[0][0] <= now:
            key = self._heap[0][2]
            self._drop_first()
            actual = self._moments.get(key)
            if actual is None or key in self._booked:
                continue  # gone, or booked for an earlier moment that has been dealt with
            if actual <= now:
                del self._moments[key]
                ready.append(key)
            else:
                self._book(key, actual)
        self._look()
        return ready
