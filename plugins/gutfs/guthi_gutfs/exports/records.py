"""Decides how an entry stands in the index: as a row of SQLite's, whose numbers have 64 bits and a sign."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from guthi import NodeId
from guthi_gutfs.entries import Entry, Kind, Version
from guthi_gutfs.exports.rows import Row, Signature
from guthi_gutfs.paths import ROOT, parent_of
from guthi_gutfs.timestamps import packed, unpacked
from guthi_gutfs.vectors import VersionVector

__all__ = ["COLUMNS", "columns_of", "row_of", "signed", "unsigned"]

COLUMNS = "path, kind, size, modified, vector, timestamp, writer, sequence, root, inode, modified_ns, changed_ns"
"""What `row_of` reads."""
SIGN, RANGE = 1 << 63, 1 << 64
_KINDS: Mapping[str, Kind] = MappingProxyType({each.value: each for each in Kind})


def columns_of(entry: Entry, signature: Signature | None) -> tuple[Any, ...]:
    """All columns of an entry, as the table has them."""
    version = entry.version
    vector = b"".join(bytes(node) + count.to_bytes(8, "big") for node, count in version.vector.counts)
    parts = (signature.inode, signature.modified_ns, signature.changed_ns) if signature else (None, None, None)
    inode = signed(parts[0]) if parts[0] is not None else None
    return (
        entry.path,
        parent_of(entry.path) if entry.path != ROOT else "",
        entry.kind.value,
        entry.size_bytes,
        entry.modified_s,
        vector,
        packed(version.timestamp),
        version.writer,
        entry.sequence,
        entry.root,
        inode,
        *parts[1:],
    )


def row_of(columns: tuple[Any, ...]) -> Row:
    """What stands in a row."""
    path, kind, size, modified, vector, timestamp, writer, sequence, root, inode, modified_ns, changed_ns = columns
    version = Version(_vector(vector), unpacked(timestamp), writer)
    entry = Entry(path, _KINDS[kind], size, modified, version, sequence, root)
    return Row(entry, None if inode is None else Signature(unsigned(inode), size, modified_ns, changed_ns))


@lru_cache(maxsize=128)  # most files of a folder were noted together, and have the same
def _vector(packed: bytes) -> VersionVector:
    step = NodeId.SIZE + 8
    counts = (
        (NodeId(packed[at : at + NodeId.SIZE]), int.from_bytes(packed[at + NodeId.SIZE : at + step], "big"))
        for at in range(0, len(packed), step)
    )
    return VersionVector(tuple(counts))


def signed(number: int) -> int:
    """A number of 64 bits as one with a sign; some systems have such inodes."""
    return number - RANGE if number >= SIGN else number


def unsigned(number: int) -> int:
    """The number that `signed` has made one with a sign of."""
    return number % RANGE
