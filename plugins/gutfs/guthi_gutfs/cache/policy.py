"""Decides which chunks are kept in memory, which on disk, and which go: least recently used first, in two tiers.

| event            | memory is plentiful            | the system's memory is short    |
|------------------|--------------------------------|---------------------------------|
| a chunk comes    | into memory                    | onto disk                       |
| memory is full   | the oldest goes from memory to disk                              |
| disk is full     | the oldest goes                                                  |
| a chunk is read  | it is the newest; from disk it comes back into memory as well | it is the newest |

A chunk may be in both tiers; then it leaves memory without being written, and disk without being lost, so it is the
first to do so. What is pinned never goes, though it may be moved; a chunk for which pinned ones leave no room is not
kept. What follows from a decision is a `Moves`: the
chunks to write to disk, and those to remove there. The bytes are the business of others.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["Moves", "Tiers"]

SHED_AT_ONCE = 4


@dataclass(slots=True)
class Moves:
    """What is to be done: `written` from memory to disk, `forgotten` in memory, `removed` on disk; in this order."""

    written: list[bytes] = field(default_factory=list)
    forgotten: list[bytes] = field(default_factory=list)
    removed: list[bytes] = field(default_factory=list)


class _Tier:
    """Chunks with their sizes, the one that was used last at the end."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes, self.taken_bytes = most_bytes, 0
        self.sizes: OrderedDict[bytes, int] = OrderedDict()

    def add(self, digest: bytes, size_bytes: int) -> None:
        self.remove(digest)
        self.sizes[digest] = size_bytes
        self.taken_bytes += size_bytes

    def remove(self, digest: bytes) -> None:
        self.taken_bytes -= self.sizes.pop(digest, 0)


class Tiers:
    """Which chunks are where. Sizes in bytes; 0 means that there is no such tier."""

    def __init__(self, memory_bytes: int, disk_bytes: int) -> None:
        self._memory, self._disk = _Tier(memory_bytes), _Tier(disk_bytes)
        self._pins: dict[bytes, int] = {}

    # ---- what is where

    def in_memory(self, digest: bytes) -> bool:
        """Whether a chunk is kept in memory."""
        return digest in self._memory.sizes

    def on_disk(self, digest: bytes) -> bool:
        """Whether a chunk is kept on disk."""
        return digest in self._disk.sizes

    def __contains__(self, digest: bytes) -> bool:
        return self.in_memory(digest) or self.on_disk(digest)

    def __len__(self) -> int:
        return len(self._memory.sizes.keys() | self._disk.sizes.keys())

    @property
    def memory_bytes(self) -> int:
        """What is taken in memory."""
        return self._memory.taken_bytes

    @property
    def disk_bytes(self) -> int:
        """What is taken on disk."""
        return self._disk.taken_bytes

    @property
    def pinned(self) -> int:
        """How many chunks are pinned."""
        return len(self._pins)

    def all(self) -> list[bytes]:
        """All chunks, sorted."""
        return sorted(self._memory.sizes.keys() | self._disk.sizes.keys())

    # ---- what happens

    def found(self, digest: bytes, size_bytes: int) -> Moves:
        """A chunk is on disk since before; the oldest are told of first."""
        moves = Moves()
        if not self._make_room_on_disk(size_bytes, moves):
            moves.removed.append(digest)
        else:
            self._disk.add(digest, size_bytes)
        return moves

    def came(self, digest: bytes, size_bytes: int, *, is_short: bool) -> Moves:
        """A chunk has been fetched, and is to be kept; `is_short`: the system has little memory left."""
        moves = Moves()
        if digest in self:
            return self.used(digest, is_short=is_short)
        if is_short:
            self._shed(moves)
        if not is_short and self._make_room_in_memory(size_bytes, moves):
            self._memory.add(digest, size_bytes)
        elif self._make_room_on_disk(size_bytes, moves):
            self._disk.add(digest, size_bytes)
            moves.written.append(digest)
        return moves

    def used(self, digest: bytes, *, is_short: bool) -> Moves:
        """A chunk has been read."""
        moves = Moves()
        if self.on_disk(digest):
            self._disk.sizes.move_to_end(digest)
        if self.in_memory(digest):
            self._memory.sizes.move_to_end(digest)
        elif not is_short and self.on_disk(digest):
            self._promote(digest, moves)
        return moves

    def gone(self, digest: bytes) -> Moves:
        """A chunk is not to be kept any longer, or is damaged; pins do not hold it."""
        moves = Moves(forgotten=[digest], removed=[digest] if self.on_disk(digest) else [])
        self._memory.remove(digest)
        self._disk.remove(digest)
        return moves

    def pin(self, digests: Iterable[bytes]) -> None:
        """Keep these, and those of them that are yet to come, until each is unpinned as often as it was pinned."""
        for digest in digests:
            self._pins[digest] = self._pins.get(digest, 0) + 1

    def unpin(self, digests: Iterable[bytes]) -> None:
        """Take back one pin of each."""
        for digest in digests:
            count = self._pins.pop(digest, 0) - 1
            if count > 0:
                self._pins[digest] = count

    # ---- making room

    def _promote(self, digest: bytes, moves: Moves) -> None:
        """Have a chunk of the disk in memory. It comes first, so that what it displaces can have its place on disk."""
        size_bytes = self._disk.sizes[digest]
        if size_bytes > self._memory.most_bytes:
            return
        self._memory.add(digest, size_bytes)
        if not self._make_room_in_memory(0, moves, besides=digest):
            self._memory.remove(digest)
            moves.forgotten.append(digest)

    def _make_room_in_memory(self, size_bytes: int, moves: Moves, besides: bytes | None = None) -> bool:
        if size_bytes > self._memory.most_bytes:
            return False
        while self._memory.taken_bytes + size_bytes > self._memory.most_bytes:
            others = (each for each in self._memory.sizes if each != besides)
            oldest = next((each for each in others if self._may_leave_memory(each)), None)
            if oldest is None:
                return False
            self._leave_memory(oldest, moves)
        return True

    def _may_leave_memory(self, digest: bytes) -> bool:
        return digest not in self._pins or self.on_disk(digest) or self._has_room_on_disk(self._memory.sizes[digest])

    def _leave_memory(self, digest: bytes, moves: Moves) -> None:
        size_bytes = self._memory.sizes[digest]
        if not self.on_disk(digest) and self._make_room_on_disk(size_bytes, moves):
            self._disk.add(digest, size_bytes)
            moves.written.append(digest)
        self._memory.remove(digest)
        moves.forgotten.append(digest)

    def _shed(self, moves: Moves) -> None:
        """Give some memory back to a system that is short of it."""
        for digest in [each for each in self._memory.sizes if self._may_leave_memory(each)][:SHED_AT_ONCE]:
            self._leave_memory(digest, moves)

    def _has_room_on_disk(self, size_bytes: int) -> bool:
        if self._disk.taken_bytes + size_bytes <= self._disk.most_bytes:
            return True
        pinned_bytes = sum(self._disk.sizes.get(each, 0) for each in self._pins if not self.in_memory(each))
        return pinned_bytes + size_bytes <= self._disk.most_bytes

    def _make_room_on_disk(self, size_bytes: int, moves: Moves) -> bool:
        if not self._has_room_on_disk(size_bytes):
            return False
        while self._disk.taken_bytes + size_bytes > self._disk.most_bytes:
            oldest = next((each for each in self._disk.sizes if self.in_memory(each)), None)
            oldest = oldest or next(each for each in self._disk.sizes if each not in self._pins)
            self._disk.remove(oldest)
            moves.removed.append(oldest)
        return True
