"""Entries and nodes for tests of machines."""

from __future__ import annotations

from guthi import NodeId
from guthi_gutfs.chunks import root_of
from guthi_gutfs.entries import Change, ChangeKind, Entry, Kind, Version
from guthi_gutfs.timestamps import ntp_from_unix
from guthi_gutfs.vectors import VersionVector

NODES = [NodeId(bytes([number] * 16)) for number in range(1, 6)]
ALICE, BOB, CAROL, DAVE, ERIN = NODES
NAMES = dict(zip(NODES, ["alice", "bob", "carol", "dave", "erin"], strict=True))


def a_file(
    path: str,
    content: str | None = "x",
    *,
    writer: NodeId = ALICE,
    vector: VersionVector | None = None,
    sequence: int = 1,
) -> Entry:
    """A file; of unknown root without content."""
    version = Version(vector or VersionVector(((writer, 1),)), ntp_from_unix(1e9 + sequence), NAMES[writer])
    root = None if content is None else root_of(len(content), [content.encode().ljust(32, b"\0")])
    return Entry(path, Kind.FILE, len(content or "x"), 1e9, version, sequence, root)


def a_folder(path: str) -> Entry:
    return Entry(path, Kind.FOLDER, 0, 1e9, Version(VersionVector(), 0, "alice"), 1)


def a_change(path: str, kind: ChangeKind = ChangeKind.CHANGED, moved_from: str | None = None) -> Change:
    return Change(kind, a_file(path), moved_from)


def a_folder_gone(path: str) -> Change:
    return Change(ChangeKind.DELETED, Entry(path, Kind.GONE, 0, 0.0, Version(VersionVector(), 0, "alice"), 1))
