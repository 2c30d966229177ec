"""What the index keeps of a path: its entry, and by what the disk shows that it is another version by now."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import NamedTuple

from guthi_gutfs.entries import Entry, Kind

__all__ = ["Row", "Seen", "Signature", "seen_of"]


class Signature(NamedTuple):
    """What the system says of a file, and never says again of another version: `changed_ns` is the time of the inode.

    Of a folder only the inode is looked at, since the times of a folder change with what is in it.
    """

    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int

    def is_moved(self, other: Signature) -> bool:
        """Whether this may be the same file under another name: a move changes no more than the time of the inode."""
        return (self.inode, self.size_bytes, self.modified_ns) == (other.inode, other.size_bytes, other.modified_ns)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is under a path of the disk at a moment."""

    kind: Kind
    signature: Signature
    modified_s: float

    @property
    def size_bytes(self) -> int:
        """The size of a file; 0 of a folder."""
        return self.signature.size_bytes


@dataclass(frozen=True, slots=True)
class Row:
    """What the index has; of what is gone, there is no signature."""

    entry: Entry
    signature: Signature | None


def seen_of(looked_at: os.stat_result) -> Seen | None:
    """What a look has shown; None for what is neither file nor folder: links, pipes, devices."""
    modified_s = looked_at.st_mtime
    if stat.S_ISDIR(looked_at.st_mode):
        return Seen(Kind.FOLDER, Signature(looked_at.st_ino, 0, 0, 0), modified_s)
    if not stat.S_ISREG(looked_at.st_mode):
        return None
    times = (looked_at.st_mtime_ns, looked_at.st_ctime_ns)
    return Seen(Kind.FILE, Signature(looked_at.st_ino, looked_at.st_size, *times), modified_s)
