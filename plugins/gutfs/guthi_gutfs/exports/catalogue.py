"""Decides what versions the files of this node have: what a change of the disk, or through Guthi, makes of the index.

The timestamp of a version is when the file was modified, by the network's time; but it is greater than every timestamp
that the path has had, so that no file id names two versions. Times of files can be set to anything, so what is in the
future counts as now, and what is older than the version before it as a moment after that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from guthi import NodeId
from guthi_gutfs.entries import Change, ChangeKind, Entry, Kind, Version
from guthi_gutfs.errors import NotFound, PermissionDenied, QuotaExceeded
from guthi_gutfs.exports.index import Index
from guthi_gutfs.exports.rows import Row, Seen
from guthi_gutfs.exports.rules import Export, Exports
from guthi_gutfs.paths import ROOT, tree_path
from guthi_gutfs.timestamps import ntp_from_unix, unix_from_ntp
from guthi_gutfs.vectors import VersionVector

__all__ = ["Catalogue"]

BURIED_AT_ONCE = 16  # one in so many of the entries there may be

log = logging.getLogger("guthi_gutfs")


class Catalogue:
    """The entries of one node. `wall_time_s` is its clock, `correction_s` how far the network's time is ahead of it."""

    def __init__(
        self,
        exports: Exports,
        index: Index,
        node: NodeId,
        name: str,
        wall_time_s: Callable[[], float],
        most_entries: int,
    ) -> None:
        self.exports, self.index, self.node, self.name = exports, index, node, name
        self._wall_time_s, self._most_entries = wall_time_s, most_entries
        self.correction_s = 0.0
        self._sizes = {export.at: index.size_bytes(export.at) for export in exports.all}

    def now(self) -> int:
        """The network's time, as an NTP timestamp."""
        return ntp_from_unix(self._wall_time_s() + self.correction_s)

    # ---- looking things up

    def row(self, path: str) -> Row | None:
        """What is under a path now, None if nothing is."""
        row = self.index.row(path)
        return row if row is not None and not row.entry.is_gone else None

    def place(self, text: str, *, to_write: bool = False) -> tuple[str, Export, tuple[str, ...]]:
        """The path, its export and the names below that. Raises BadPath, NotFound, PermissionDenied."""
        path = tree_path(text)
        export = self.exports.of(path)
        names = export.names_below(path)
        if to_write and not export.is_writable:
            raise PermissionDenied(f"{path} is exported read-only; its node has to export it with :rw")
        if not export.admits(names, is_folder=True):
            raise _left_out(path, to_write)
        return path, export, names

    def require_room(self, export: Export, path: str, more_bytes: int) -> None:
        """Raise QuotaExceeded if the export may not grow by so much, or the index by another entry."""
        taken_bytes = self._sizes[export.at] + more_bytes
        if more_bytes > 0:
            self._require_quota(export, path, taken_bytes)
        if not self.has_room_for(path):
            raise QuotaExceeded(f"{path} does not fit: its node knows as many entries as it may")

    def require_space(self, path: str, size_bytes: int) -> None:
        """Raise QuotaExceeded for what is larger than all there may be in its export."""
        self._require_quota(self.exports.of(path), path, size_bytes)

    def _require_quota(self, export: Export, path: str, taken_bytes: int) -> None:
        if export.quota_bytes and taken_bytes > export.quota_bytes:
            room = f"{export.at} would have {taken_bytes:,} bytes, and its quota is {export.quota_bytes:,}"
            raise QuotaExceeded(f"{path} does not fit: {room}")

    def has_room_for(self, path: str) -> bool:
        """Whether the index may have an entry for a path; what was deleted first is forgotten early, if need be."""
        if self.index.count < self._most_entries or self.index.row(path) is not None:
            return True
        buried = self.index.bury_oldest(max(self._most_entries // BURIED_AT_ONCE, 1))
        if buried and any(each.is_sync for each in self.exports.all):
            log.warning(
                "the node knows as many entries as it may (most_entries), and forgets early that %d were deleted: a "
                "replica that is away may bring them back",
                buried,
            )
        return buried > 0

    # ---- versions

    def next_version(self, row: Row | None, *, writer: str, at: int, base: VersionVector | None = None) -> Version:
        """The version that a change at a timestamp makes."""
        vector, least = base or VersionVector(), self.index.floor + 1
        if row is not None:
            vector = vector.merged(row.entry.version.vector)
            least = row.entry.version.timestamp + 1
        timestamp = max(at, least)
        return Version(vector.bumped(self.node, max(int(unix_from_ntp(at)), 1)), timestamp, writer)

    def found(self, path: str, seen: Seen) -> Version:
        """The version of what another program has made or changed."""
        at = min(ntp_from_unix(seen.modified_s + self.correction_s), self.now())
        return self.next_version(self.index.row(path), writer=self.name, at=at)

    # ---- noting

    def note(self, path: str, seen: Seen, version: Version, root: bytes | None = None) -> Change:
        """Note a version of what is there now."""
        before = self.row(path)
        self._resize(path, (0 if before is None else -before.entry.size_bytes) + seen.size_bytes)
        entry = Entry(path, seen.kind, seen.size_bytes, seen.modified_s, version, 0, root)
        kind = ChangeKind.CREATED if before is None else ChangeKind.CHANGED
        return Change(kind, self.index.put(entry, seen.signature))

    def note_gone(self, path: str, *, writer: str | None = None, version: Version | None = None) -> list[Change]:
        """Note that a path, and all below it, is there no more; what is deepest first."""
        changes = []
        for row in reversed(self.index.below(path)):
            gone = version if version is not None and row.entry.path == path else None
            gone = gone or self.next_version(row, writer=writer or self.name, at=self.now())
            self._resize(row.entry.path, -row.entry.size_bytes)
            memory = replace(row.entry, kind=Kind.GONE, size_bytes=0, version=gone, root=None)
            changes.append(Change(ChangeKind.DELETED, self.index.put(memory, None)))
        return changes

    def note_moved(self, row: Row, to: str, seen: Seen, *, writer: str | None = None) -> Change:
        """Note that one file or folder, without what is in it, is under another path; its chunks are still known.

        That the old path is gone is to be noted after it, so that others who take it over have the content at hand.
        """
        path, digests = row.entry.path, self.index.digests(row.entry.path, 0, 1 << 62)
        version = self.next_version(self.index.row(to), writer=writer or self.name, at=self.now())
        noted = self.note(to, seen, version, row.entry.root)
        self.index.remember(to, version.timestamp, digests)
        return Change(ChangeKind.MOVED, noted.entry, moved_from=path)

    def forget_former(self) -> list[Change]:
        """Note as gone what was in exports that there are no more."""
        index, at = self.index, self.now()
        former = [row for row in reversed(index.below(ROOT)) if not self.exports.has(row.entry.path)]
        with index.transaction():
            versions = [self.next_version(row, writer=self.name, at=at) for row in former]
            gone = [
                replace(row.entry, kind=Kind.GONE, size_bytes=0, root=None, version=version)
                for row, version in zip(former, versions, strict=True)
            ]
            return [Change(ChangeKind.DELETED, index.put(each, None)) for each in gone]

    def _resize(self, path: str, more_bytes: int) -> None:
        self._sizes[self.exports.of(path).at] += more_bytes


def _left_out(path: str, to_write: bool) -> Exception:
    if to_write:
        return PermissionDenied(f"{path} is left out of its export, by its patterns or because its name is reserved")
    return NotFound(f"there is no {path}")
