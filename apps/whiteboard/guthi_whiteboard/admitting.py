"""Decides whether what a page has drawn is taken: the bounds of a board, and what comes too late."""

from __future__ import annotations

from dataclasses import dataclass

from guthi_whiteboard.board import Board
from guthi_whiteboard.compaction import REPENTANCE_S
from guthi_whiteboard.log import Operation

__all__ = ["Bounds", "refusal"]

MOST_AHEAD = 100_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one board may hold. What other nodes have taken is taken twice as far, so that all have the same."""

    objects: int
    characters: int

    def has_room(self, board: Board, operation: Operation, times: int = 1) -> bool:
        """Whether an operation may go on the board; what makes it smaller, or no larger, always may."""
        if operation.value is None or board.winner(operation.birth) is not None:
            return True
        return len(board) < times * self.objects and board.characters < times * self.characters


def refusal(operation: Operation, board: Board, bounds: Bounds, now_s: float) -> str | None:
    """Why an operation of a page is not taken, for people; None: it is. `now_s` is wall time."""
    if operation.stamp.time > board.time + MOST_AHEAD:
        return "this page is too far ahead of the board; load it anew"
    if not bounds.has_room(board, operation):
        return f"the board is full: it has {len(board)} objects; begin another one"
    if operation.value is None and operation.birth != operation.stamp:
        before = board.winner(operation.birth)
        if before is not None and before.is_clear and now_s - (before.object or {})["at_s"] > REPENTANCE_S:
            return "the board was cleared too long ago to undo it"
    return None
