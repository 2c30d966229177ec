"""What nodes tell one another of files: entries of the tree with their versions, and what has changed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from guthi import MalformedMessage
from guthi_gutfs.chunks import DIGEST_BYTES
from guthi_gutfs.errors import BadPath
from guthi_gutfs.paths import tree_path
from guthi_gutfs.timestamps import TIMESTAMP_LIMIT
from guthi_gutfs.vectors import VersionVector

__all__ = ["Change", "ChangeKind", "Entry", "FileId", "Kind", "Version", "Written", "is_time"]

MOST_WRITER_CHARACTERS = 255
NUMBER_LIMIT = 2**62
LATEST_S = 1e12  # in 31,000 years


class Kind(Enum):
    """What is under a path; GONE is the memory that something was there."""

    FILE = "file"
    FOLDER = "folder"
    GONE = "gone"


class ChangeKind(Enum):
    """What has happened to a file or folder."""

    CREATED = "created"
    CHANGED = "changed"
    MOVED = "moved"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class FileId:
    """One version of one file: its path at its node, the node's address, and the NTP timestamp of the modification.

    A node gives no timestamp twice for a path, so a file that was deleted and made anew has another id.
    """

    name: str
    address: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a file: what it follows on, and when and by which node (its name) it was made."""

    vector: VersionVector
    timestamp: int
    writer: str

    def to_wire(self) -> list[Any]:
        """The positional list that `from_wire` reads."""
        return [self.vector.to_wire(), self.timestamp, self.writer]

    @classmethod
    def from_wire(cls, wire: object) -> Version:
        """Read what a peer says; raises MalformedMessage."""
        if not isinstance(wire, list) or len(wire) != 3:
            raise MalformedMessage("a version is a vector, a timestamp and a writer")
        vector, timestamp, writer = wire
        if type(timestamp) is not int or not 0 <= timestamp < TIMESTAMP_LIMIT:
            raise MalformedMessage("a version has a timestamp that is none")
        if type(writer) is not str or len(writer) > MOST_WRITER_CHARACTERS:
            raise MalformedMessage("a version was made by a node with a name")
        return cls(VersionVector.from_wire(vector), timestamp, writer)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is under a path of one node.

    `modified_s` is in seconds since 1970 on the clock of that node; `sequence` numbers the changes of that node;
    `root` is the root digest of a file whose content has been read for it.
    """

    path: str
    kind: Kind
    size_bytes: int
    modified_s: float
    version: Version
    sequence: int
    root: bytes | None = None

    @property
    def is_gone(self) -> bool:
        """Whether this is the memory of something that was deleted."""
        return self.kind is Kind.GONE

    def id_at(self, address: str) -> FileId:
        """The id of this version at the node of that address."""
        return FileId(self.path, address, self.version.timestamp)

    def to_wire(self) -> list[Any]:
        """The positional list that `from_wire` reads."""
        version = self.version.to_wire()
        return [self.path, self.kind.value, self.size_bytes, self.modified_s, version, self.sequence, self.root]

    @classmethod
    def from_wire(cls, wire: object) -> Entry:
        """Read what a peer says; raises MalformedMessage."""
        if not isinstance(wire, list) or len(wire) != 7:
            raise MalformedMessage("an entry has seven parts")
        path, kind, size_bytes, modified_s, version, sequence, root = wire
        if not is_time(modified_s):
            raise MalformedMessage("an entry was modified at a time")
        if root is not None and (type(root) is not bytes or len(root) != DIGEST_BYTES):
            raise MalformedMessage("a root digest has another length")
        return cls(
            _path(path),
            _member(Kind, kind),
            _natural(size_bytes),
            modified_s,
            Version.from_wire(version),
            _natural(sequence),
            root,
        )


@dataclass(frozen=True, slots=True)
class Change:
    """What has happened, and the entry since; of what was deleted, the memory of it."""

    kind: ChangeKind
    entry: Entry
    moved_from: str | None = None

    def to_wire(self) -> list[Any]:
        """The positional list that `from_wire` reads."""
        return [self.kind.value, self.entry.to_wire(), self.moved_from]

    @classmethod
    def from_wire(cls, wire: object) -> Change:
        """Read what a peer says; raises MalformedMessage."""
        if not isinstance(wire, list) or len(wire) != 3:
            raise MalformedMessage("a change is a kind, an entry and where it was before")
        kind, entry, moved_from = wire
        return cls(_member(ChangeKind, kind), Entry.from_wire(entry), None if moved_from is None else _path(moved_from))


@dataclass(frozen=True, slots=True)
class Written:
    """What a write has made: the entry of the path, and of the copy that was kept if two writes knew not each other."""

    entry: Entry
    conflict: Entry | None = None

    def to_wire(self) -> list[Any]:
        """The positional list that `from_wire` reads."""
        return [self.entry.to_wire(), self.conflict.to_wire() if self.conflict else None]

    @classmethod
    def from_wire(cls, wire: object) -> Written:
        """Read what a peer says; raises MalformedMessage."""
        if not isinstance(wire, list) or len(wire) != 2:
            raise MalformedMessage("what was written is an entry, and that of a copy")
        entry, conflict = wire
        return cls(Entry.from_wire(entry), None if conflict is None else Entry.from_wire(conflict))


def is_time(wire: object) -> bool:
    """Whether a peer tells a time that a disk can keep."""
    return type(wire) is float and abs(wire) < LATEST_S  # false for what is no number


def _path(wire: object) -> str:
    try:
        path = tree_path(wire)  # type: ignore[arg-type]  # it refuses what is no text
    except BadPath as error:
        raise MalformedMessage(str(error)) from None
    if path != wire:
        raise MalformedMessage("a path is written in another way than it should")
    return path


def _natural(wire: object) -> int:
    if type(wire) is not int or not 0 <= wire < NUMBER_LIMIT:
        raise MalformedMessage("a number of an entry is out of range")
    return wire


def _member(cls: Any, wire: object) -> Any:
    try:
        return cls(wire)
    except ValueError:
        raise MalformedMessage(f"an entry has a {cls.__name__} that is none") from None
