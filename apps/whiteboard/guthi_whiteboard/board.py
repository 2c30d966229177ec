"""Decides what is on a board: the merge of all operations that were ever heard of, in whichever order they came.

For each object the operation that is last in the order of stamps has won; of two with one stamp, which only a faulty
page makes, the one whose value sorts last. So the merge is a maximum: it is the same for every order, and hearing an
operation again changes nothing (a last-writer-wins map: Shapiro, Preguiça, Baquero and Zawirski 2011).

A clear is an object too. While it is on the board it hides every object whose last change it has seen; what somebody
draws meanwhile, or changes afterwards, stays. To undo it is to delete it.

The board also numbers what it hears, in its own order of arrival, so that a page that has all up to a number can be
given the rest. A number means nothing to any other board.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from guthi_whiteboard.log import Operation, Stamp

__all__ = ["Board"]

SHARE_OF_STALE = 2


class _Place(NamedTuple):
    operation: Operation
    number: int


class Board:
    """One board, as far as this node has heard of it."""

    def __init__(self) -> None:
        self._places: dict[Stamp, _Place] = {}
        self._arrivals: list[tuple[int, Stamp]] = []  # sorted; an object that changed again is also further on
        self._clears: dict[Stamp, dict[str, int]] = {}
        self._horizon: dict[str, int] = {}
        self.number = 0
        """That of the newest arrival."""
        self.time = 0
        """The latest Lamport time."""
        self.characters = 0
        """How long all values together are."""

    def __len__(self) -> int:
        """How many objects there are, the deleted and hidden ones included."""
        return len(self._places)

    def winner(self, birth: Stamp) -> Operation | None:
        """The last operation on an object."""
        place = self._places.get(birth)
        return place.operation if place is not None else None

    def apply(self, operation: Operation) -> bool:
        """Hear of an operation, perhaps again; whether it is the last one on its object, and new."""
        self.time = max(self.time, operation.stamp.time)
        before = self._places.get(operation.birth)
        if before is not None and before.operation.rank >= operation.rank:
            return False
        self.number += 1
        self._places[operation.birth] = _Place(operation, self.number)
        self._arrivals.append((self.number, operation.birth))
        self.characters += len(operation.value or "") - (len(before.operation.value or "") if before else 0)
        if operation.is_clear or operation.birth in self._clears:
            self._note_clear(operation)
        if len(self._arrivals) > SHARE_OF_STALE * len(self._places) + 100:
            self._forget_stale()
        return True

    def _note_clear(self, operation: Operation) -> None:
        value = operation.object
        self._clears.pop(operation.birth, None)
        if value is not None and operation.is_clear:
            self._clears[operation.birth] = value["seen"]
        self._horizon = {}
        for seen in self._clears.values():
            for author, count in seen.items():
                self._horizon[author] = max(count, self._horizon.get(author, 0))

    def _forget_stale(self) -> None:
        self._arrivals = [(number, birth) for number, birth in self._arrivals if self._places[birth].number == number]

    def is_hidden(self, operation: Operation) -> bool:
        """Whether a clear has seen it."""
        return not operation.is_clear and operation.stamp.time <= self._horizon.get(operation.stamp.author, 0)

    def visible(self) -> list[Operation]:
        """The objects that are to be seen, the lowest first."""
        return [operation for operation in self.winners() if operation.value is not None and self._is_seen(operation)]

    def _is_seen(self, operation: Operation) -> bool:
        return not operation.is_clear and not self.is_hidden(operation)

    def winners(self) -> list[Operation]:
        """The last operation on each object, also on deleted ones, in the order of birth."""
        return [self._places[birth].operation for birth in sorted(self._places)]

    def clears(self) -> list[Operation]:
        """Those that are in force, in the order of birth."""
        return [self._places[birth].operation for birth in sorted(self._clears)]

    def after(self, number: int, most_characters: int) -> tuple[list[Operation], int]:
        """What has arrived after a number, about so much of it, and the number that it reaches to."""
        found: list[Operation] = []
        for at, operation in self._from(number):
            number = at
            found.append(operation)
            most_characters -= operation.size
            if most_characters <= 0:
                return found, number
        return found, self.number

    def _from(self, number: int) -> Iterator[tuple[int, Operation]]:
        first = bisect_right(self._arrivals, number, key=lambda arrival: arrival[0])
        for index in range(first, len(self._arrivals)):
            at, birth = self._arrivals[index]
            place = self._places[birth]
            if place.number == at:
                yield at, place.operation
