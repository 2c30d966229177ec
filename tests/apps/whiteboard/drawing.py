"""What tests draw: authors, operations, and pages that keep a Lamport clock as the real page does."""

from __future__ import annotations

import json
from typing import Any

from guthi_whiteboard import Board, Operation, Stamp
from guthi_whiteboard.log import from_json

__all__ = ["ANNE", "BEN", "CLEO", "Pen", "a_line", "author", "op"]

LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def author(number: int) -> str:
    """A page's name that follows from a number."""
    digits = ""
    for _ in range(13):
        number, digit = divmod(number, 32)
        digits += LETTERS[digit]
    return digits


ANNE, BEN, CLEO = author(1), author(2), author(3)


def a_line(x: int = 0) -> dict[str, Any]:
    """Something to be seen."""
    return {"kind": "line", "colour": "red", "width": 40, "ends": [x, 0, x + 100, 100]}


def op(time: int, who: str, value: dict[str, Any] | None, birth: Stamp | None = None) -> Operation:
    """An operation as it comes from a page."""
    born = birth or Stamp(time, who)
    return from_json([time, who, born.time, born.author, json.loads(json.dumps(value))])


class Pen:
    """Somebody who draws on a board that they see."""

    def __init__(self, who: str, board: Board) -> None:
        self.who, self.board = who, board
        self.time = 0

    def _next(self) -> int:
        self.time = max(self.time, self.board.time) + 1
        return self.time

    def add(self, x: int = 0) -> Operation:
        """Something new."""
        return op(self._next(), self.who, a_line(x))

    def change(self, birth: Stamp, x: int) -> Operation:
        """Something that is there, elsewhere."""
        return op(self._next(), self.who, a_line(x), birth)

    def delete(self, birth: Stamp) -> Operation:
        """Something away."""
        return op(self._next(), self.who, None, birth)

    def clear(self, at_s: int = 0) -> Operation:
        """All that is seen away."""
        seen: dict[str, int] = {}
        for each in self.board.visible():
            seen[each.stamp.author] = max(each.stamp.time, seen.get(each.stamp.author, 0))
        return op(self._next(), self.who, {"kind": "clear", "seen": seen, "at_s": at_s})
