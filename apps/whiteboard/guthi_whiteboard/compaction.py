"""Decides what of a node's own logs need not be kept, so that nothing that anybody could still see is lost.

A node rewrites its own files only, and looks at its own replica of the others'. Of an operation in its files

- nothing stays, where a later one on the same object is in some file here, or a file of a node whose id sorts before
  this one's has the same operation;
- only the name stays (a husk: it deletes), where it is hidden by a clear that is older than a day, and in some file.
  The name must stay, for somebody who was away may bring an earlier value of the object;
- all of it stays otherwise.

Since the one before this node in the order never counts on this node, two nodes cannot both drop what they both have.
Until a day has passed a clear can be undone, and pages are let do so for half a day: `REPENTANCE_S`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from guthi_whiteboard.board import Board
from guthi_whiteboard.log import NAME_BYTES, Key, Operation

__all__ = ["CLEARED_S", "REPENTANCE_S", "SEGMENT_BYTES", "is_due", "is_worth", "kept", "left_bytes"]

CLEARED_S = 86_400.0
REPENTANCE_S = CLEARED_S / 2
SEGMENT_BYTES = 256 << 10
MOST_SMALL_FILES = 12


def is_due(sizes_bytes: Sequence[int], since_last_bytes: int) -> bool:
    """Whether to look: when as much has come as was left the last time, or the files are many and small."""
    total = sum(sizes_bytes)
    if len(sizes_bytes) > MOST_SMALL_FILES + 2 * (total // SEGMENT_BYTES):
        return True
    return total >= SEGMENT_BYTES and total >= 2 * since_last_bytes


def is_worth(sizes_bytes: Sequence[int], left_bytes: int) -> bool:
    """Whether to rewrite: a third goes away, or many small files become one."""
    total = sum(sizes_bytes)
    return 3 * left_bytes <= 2 * total or len(sizes_bytes) > MOST_SMALL_FILES + 2 * (total // SEGMENT_BYTES)


def left_bytes(
    sizes: Iterable[tuple[Key, int]], board: Board, before_us: Collection[Key], in_files: Collection[Key], now_s: float
) -> int:
    """About how large what is `kept` of operations of these sizes will be, told by their names alone."""
    horizon = _old_horizon(board, in_files, now_s)
    left = 0
    for key, size in sizes:
        stamp, birth, _ = key
        last = board.winner(birth)
        if (last is None or last.stamp <= stamp) and key not in before_us:
            is_husk = stamp.time <= horizon.get(stamp.author, 0) and not (last is not None and last.is_clear)
            left += NAME_BYTES if is_husk else size
    return left


def kept(
    own: Iterable[Operation],
    board: Board,
    in_files: Collection[Key],
    before_us: Collection[Key],
    now_s: float,
) -> list[Operation]:
    """What is to be left of the operations in this node's files, each once, in order.

    `in_files` are the keys of all operations in files of this node's replica, `before_us` those in files of nodes that
    sort before this one; `now_s` is wall time.
    """
    horizon = _old_horizon(board, in_files, now_s)
    left: dict[Key, Operation] = {}
    for operation in own:
        key, last = operation.key, board.winner(operation.birth)
        is_overtaken = last is not None and last.rank > operation.rank and last.key in in_files
        if is_overtaken or key in before_us:
            continue
        is_long_gone = not operation.is_clear and operation.stamp.time <= horizon.get(operation.stamp.author, 0)
        if is_long_gone:
            operation = operation._replace(value=None)
            key = operation.key
        left[key] = operation
    return sorted(left.values(), key=lambda each: (each.rank, each.birth))


def _old_horizon(board: Board, in_files: Collection[Key], now_s: float) -> dict[str, int]:
    """Up to where old clears that are in force have seen each author."""
    horizon: dict[str, int] = {}
    for clear in board.clears():
        value = clear.object
        if value is None or clear.key not in in_files or now_s - value["at_s"] < CLEARED_S:
            continue
        for author, count in value["seen"].items():
            horizon[author] = max(count, horizon.get(author, 0))
    return horizon
