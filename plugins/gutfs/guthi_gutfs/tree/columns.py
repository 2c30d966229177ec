"""Decides how many entries travel at once: by columns, with what repeats told once, so that 10,000 fit in one answer.

`[folder, names, kinds, sizes, times, versions, which version, timestamps, sequences, roots]`: paths are told without
the folder that they are all in; a version is told once for all entries that have it but for its timestamp, as
`[vector, writer]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from guthi import MalformedMessage
from guthi_gutfs.chunks import DIGEST_BYTES
from guthi_gutfs.entries import Entry, Kind, Version, is_time
from guthi_gutfs.errors import BadPath
from guthi_gutfs.paths import tree_path
from guthi_gutfs.timestamps import TIMESTAMP_LIMIT
from guthi_gutfs.vectors import VersionVector

__all__ = ["MOST_ENTRIES", "entries_from_wire", "entries_to_wire"]

MOST_ENTRIES = 10_000
"""In one answer."""
NUMBER_LIMIT = 2**62
KINDS = tuple(Kind)
NUMBERS = {kind: number for number, kind in enumerate(KINDS)}


def entries_to_wire(folder: str, entries: Sequence[Entry]) -> list[Any]:
    """The columns of entries that are all below a folder."""
    skipped = len(folder) if folder.endswith("/") else len(folder) + 1
    versions: dict[tuple[VersionVector, str], int] = {}
    which = [versions.setdefault((each.version.vector, each.version.writer), len(versions)) for each in entries]
    return [
        folder,
        [each.path[skipped:] for each in entries],
        bytes(NUMBERS[each.kind] for each in entries),
        [each.size_bytes for each in entries],
        [each.modified_s for each in entries],
        [[vector.to_wire(), writer] for vector, writer in versions],
        which,
        [each.version.timestamp for each in entries],
        [each.sequence for each in entries],
        [each.root for each in entries],
    ]


def entries_from_wire(wire: object) -> list[Entry]:
    """Read what a peer says; raises MalformedMessage."""
    if not isinstance(wire, list) or len(wire) != 10:
        raise MalformedMessage("a listing has ten columns")
    folder, names, kinds, sizes, times, versions, which, stamps, sequences, roots = wire
    columns = (names, sizes, times, versions, which, stamps, sequences, roots)
    if not isinstance(kinds, bytes) or not all(isinstance(each, list) for each in columns):
        raise MalformedMessage("the columns of a listing are lists")
    count = len(names)
    if count > MOST_ENTRIES or any(
        len(each) != count for each in (kinds, sizes, times, which, stamps, sequences, roots)
    ):
        raise MalformedMessage("the columns of a listing are not of one length, or too long")
    known = [_version(each) for each in versions]
    if any(type(each) is not int or not 0 <= each < len(known) for each in which):
        raise MalformedMessage("an entry has a version that is not told")
    try:
        return [
            _entry(folder, name, kind, size_bytes, modified_s, known[version], stamp, sequence, root)
            for name, kind, size_bytes, modified_s, version, stamp, sequence, root in zip(
                names, kinds, sizes, times, which, stamps, sequences, roots, strict=True
            )
        ]
    except BadPath as error:
        raise MalformedMessage(str(error)) from None


def _version(wire: object) -> tuple[VersionVector, str]:
    version = Version.from_wire([wire[0], 0, wire[1]] if isinstance(wire, list) and len(wire) == 2 else None)
    return version.vector, version.writer


def _entry(
    folder: Any,
    name: Any,
    kind: int,
    size_bytes: Any,
    modified_s: Any,
    version: tuple[VersionVector, str],
    stamp: Any,
    sequence: Any,
    root: Any,
) -> Entry:
    if type(name) is not str or type(folder) is not str or kind >= len(KINDS):
        raise MalformedMessage("an entry has no name or kind")
    if type(size_bytes) is not int or not 0 <= size_bytes < NUMBER_LIMIT:
        raise MalformedMessage("an entry has a size that is none")
    if type(sequence) is not int or not 0 <= sequence < NUMBER_LIMIT:
        raise MalformedMessage("an entry has a sequence number that is none")
    if not is_time(modified_s):
        raise MalformedMessage("an entry was modified at a time")
    if type(stamp) is not int or not 0 <= stamp < TIMESTAMP_LIMIT:
        raise MalformedMessage("an entry has a timestamp that is none")
    if root is not None and (type(root) is not bytes or len(root) != DIGEST_BYTES):
        raise MalformedMessage("a root digest has another length")
    path = tree_path(f"{folder}/{name}")
    return Entry(path, KINDS[kind], size_bytes, modified_s, Version(version[0], stamp, version[1]), sequence, root)
