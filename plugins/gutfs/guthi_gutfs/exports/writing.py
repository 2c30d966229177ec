"""Decides what a write does to disk and index: it is checked, done and noted with no other write of this node between.

Every call returns when the change is on disk, and leaves the old state or the new one if it is killed before: of a file
by a draft (`drafts`), of a folder that is deleted by moving it out of sight first, of an append by a note of the size
before (`appending`). The index is written last; what it missed because of a crash is found by the next survey.

A writer may say on which version it builds. If the file is another one by then, both versions are kept: what is there
stays, and what comes is put beside it under a name from `conflicts.naming`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence

from guthi import GuthiError
from guthi_gutfs.chunks import CHUNK_BYTES
from guthi_gutfs.conflicts.naming import conflict_path
from guthi_gutfs.entries import Change, Entry, Kind, Version, Written
from guthi_gutfs.errors import (
    FolderNotEmpty,
    NotFound,
    PathExists,
    PermissionDenied,
    QuotaExceeded,
    WrongKind,
)
from guthi_gutfs.exports.appending import end_append, grow
from guthi_gutfs.exports.catalogue import Catalogue
from guthi_gutfs.exports.drafts import DraftFile, draft_prefix, remove_all, remove_drafts
from guthi_gutfs.exports.folders import Folder, entered, reached
from guthi_gutfs.exports.refusals import refusals_of
from guthi_gutfs.exports.rows import Row, Seen, seen_of
from guthi_gutfs.exports.rules import RESERVED, Export
from guthi_gutfs.exports.survey import survey
from guthi_gutfs.paths import is_within, name_of, parent_of
from guthi_gutfs.vectors import Order, VersionVector

__all__ = ["Writer", "replaceable"]

log = logging.getLogger("guthi_gutfs")

MOST_COPIES_A_SECOND = 1000


class Writer:
    """Changes the exported files of one node; its methods wait for the disk, and are called in one thread.

    `changes` gathers what has changed, also what another program has, which is noticed on the way. `token` gives text
    for names that nothing else has.
    """

    def __init__(self, catalogue: Catalogue, token: Callable[[], str]) -> None:
        self.catalogue, self._token = catalogue, token
        self._prefix = draft_prefix(str(catalogue.node))
        self.changes: list[Change] = []

    def recover(self, now_s: float) -> None:
        """At the start: end what an earlier life has left half done, and look at all there is."""
        self.changes += self.catalogue.forget_former()
        for path, inode, size_bytes, until_bytes in self.catalogue.index.appends():
            try:
                with refusals_of(path):
                    end_append(self.catalogue, path, inode, size_bytes, until_bytes)
            except GuthiError as error:  # the note stays, for the next start
                log.warning("%s may end with what was half appended to it: %s", path, error)
        for export in self.catalogue.exports.all:
            if export.is_writable:
                with refusals_of(export.at), entered(export.folder, ()) as folder:
                    remove_drafts(folder, self._prefix, now_s)
        self.refresh(self.catalogue.exports.paths, deep=True)

    def refresh(self, paths: Sequence[str], *, deep: bool = False) -> None:
        """Look whether another program has changed what is under the paths."""
        self.changes += survey(self.catalogue, paths, deep=deep)

    def taken(self) -> list[Change]:
        """What has changed since it was last taken."""
        changes, self.changes = self.changes, []
        return changes

    # ---- whole files

    def begin(self, text: str) -> DraftFile:
        """A draft of the file at a path."""
        path, export, names = self.to_write(text, is_folder=False)
        with refusals_of(path):
            folder = reached(export.folder, names[:-1])
            try:
                return DraftFile(folder, self._prefix + self._token())
            except BaseException:
                folder.close()
                raise

    def commit(self, draft: DraftFile, text: str, writer: str, base: Version | None) -> Written:
        """Let a draft be the file at its path, or beside it if the file is not what `base` was any more."""
        path, export, _ = self.to_write(text, is_folder=False)
        row = self.current(path)
        if row is not None and row.entry.kind is Kind.FOLDER:
            raise WrongKind(f"{path} is a folder")
        conflicts = base is not None and row is not None and is_beyond(row.entry, base)
        goal = self._free_copy(path, writer) if conflicts else path
        replaced_bytes = row.entry.size_bytes if row is not None and not conflicts else 0
        self.catalogue.require_room(export, goal, draft.size_bytes - replaced_bytes)
        before = self.catalogue.index.row(goal)
        vector = base.vector if base is not None else None
        version = self.catalogue.next_version(before, writer=writer, at=self.catalogue.now(), base=vector)
        entry = self.name_it(draft, goal, version)
        return Written(row.entry, entry) if conflicts and row is not None else Written(entry)

    def write(self, text: str, data: bytes, writer: str, base: Version | None) -> Written:
        """The same with content that is in memory."""
        draft = self.begin(text)
        try:
            with refusals_of(text):
                draft.write(data)
            return self.commit(draft, text, writer, base)
        finally:
            draft.discard()

    def name_it(self, draft: DraftFile, path: str, version: Version, modified_s: float | None = None) -> Entry:
        """Let a draft be the file at a path, as a version that is given."""
        export = self.catalogue.exports.of(path)
        digests, root = draft.digests()
        with refusals_of(path), entered(export.folder, export.names_below(parent_of(path))) as folder:
            name = name_of(path)
            replaced = replaceable(folder, name, path)
            seen = seen_of(draft.name_it(folder, name, replaced=replaced, modified_s=modified_s))
        return self._note(path, seen, version, root, dict(enumerate(digests)))

    def _note(
        self, path: str, seen: Seen | None, version: Version, root: bytes | None, digests: Mapping[int, bytes]
    ) -> Entry:
        assert seen is not None  # it is a file or a folder that this node has just made
        with self.catalogue.index.transaction():
            change = self.catalogue.note(path, seen, version, root)
            self.catalogue.index.remember(path, version.timestamp, digests)
        self.changes.append(change)
        return change.entry

    def _free_copy(self, path: str, writer: str) -> str:
        version = Version(VersionVector(), self.catalogue.now(), writer)
        for number in range(1, MOST_COPIES_A_SECOND):
            copy = conflict_path(path, version, number)
            if self.catalogue.row(copy) is None and self.current(copy) is None:
                return copy
        raise QuotaExceeded(f"{writer} has made {MOST_COPIES_A_SECOND} copies of {path} in a second; resolve conflicts")

    def append(self, text: str, data: bytes, writer: str) -> Written:
        """Write at the end of a file; of one that is not there, the beginning."""
        path, export, names = self.to_write(text, is_folder=False)
        row = self.current(path)
        if row is None:
            return self.write(path, data, writer, None)
        if row.entry.kind is Kind.FOLDER:
            raise WrongKind(f"{path} is a folder")
        self.catalogue.require_room(export, path, len(data))
        digests = self.catalogue.index.digests(path, 0, row.entry.size_bytes // CHUNK_BYTES)
        seen = grow(self.catalogue.index, export, names, row, data)
        version = self.catalogue.next_version(row, writer=writer, at=self.catalogue.now())
        entry = self._note(path, seen, version, None, digests)
        self.catalogue.index.append_ends(path)
        return Written(entry)

    # ---- names

    def rename(self, text: str, to_text: str, writer: str, replace: bool) -> Entry:
        """Give a file, or a folder with all that is in it, another path in the same export."""
        path, export, names = self.to_write(text, is_folder=True)
        row = self.existing(path)
        is_folder = row.entry.kind is Kind.FOLDER
        to, to_export, to_names = self.to_write(to_text, is_folder=is_folder)
        if to_export is not export:
            raise PermissionDenied(f"{to} is in another export than {path}; copy it, then delete it")
        if is_within(to, path):
            raise PathExists(f"{path} cannot be moved to {to}, which is itself or in it")
        self._require_replaceable(to, is_folder=is_folder, replace=replace)
        with (
            refusals_of(to),
            entered(export.folder, names[:-1]) as folder,
            entered(export.folder, to_names[:-1]) as to_folder,
        ):
            replaceable(to_folder, to_names[-1], to)
            folder.move(names[-1], to_folder, to_names[-1])
            to_folder.sync()
            folder.sync()
            seen = seen_of(to_folder.look(to_names[-1]))
        assert seen is not None
        return self._note_renamed(path, to, seen, writer)

    def _require_replaceable(self, to: str, *, is_folder: bool, replace: bool) -> None:
        there = self.current(to)
        if there is None:
            return
        if not replace:
            raise PathExists(f"{to} is there already; say replace=True to put another in its place")
        if (there.entry.kind is Kind.FOLDER) is not is_folder:
            raise WrongKind(f"{to} is {'no ' if is_folder else 'a '}folder, and cannot be replaced by one that is not")
        if is_folder and self.catalogue.index.children(to):
            raise FolderNotEmpty(f"the folder {to} is not empty")

    def _note_renamed(self, path: str, to: str, seen: Seen, writer: str) -> Entry:
        with self.catalogue.index.transaction():
            for row in self.catalogue.index.below(path):
                goal = to + row.entry.path[len(path) :]
                export = self.catalogue.exports.of(goal)
                if not export.admits(export.names_below(goal), is_folder=row.entry.kind is Kind.FOLDER):
                    continue
                assert row.signature is not None
                inner = Seen(row.entry.kind, row.signature, row.entry.modified_s)
                at = seen if goal == to else inner
                self.changes.append(self.catalogue.note_moved(row, goal, at, writer=writer))
            self.changes += self.catalogue.note_gone(path, writer=writer)
        return self.existing(to).entry

    def make_folder(self, text: str, writer: str, parents: bool) -> Entry:
        """Make a folder; with `parents` those above it as well, and it is no error if it is there."""
        path, export, names = self.catalogue.place(text)
        if parents and not names:
            return self.existing(path).entry
        path, export, names = self.to_write(text, is_folder=True)
        there = self.current(path)
        if there is not None:
            if parents and there.entry.kind is Kind.FOLDER:
                return there.entry
            raise PathExists(f"{path} is there already")
        if parents:
            self.make_folder(parent_of(path), writer, True)
        self.catalogue.require_room(export, path, 0)
        with refusals_of(path), entered(export.folder, names[:-1]) as folder:
            folder.make_folder(names[-1])
            folder.sync()
            seen = seen_of(folder.look(names[-1]))
        row = self.catalogue.index.row(path)
        version = self.catalogue.next_version(row, writer=writer, at=self.catalogue.now())
        return self._note(path, seen, version, None, {})

    def delete(self, text: str, writer: str, recursive: bool) -> None:
        """Delete a file, or an empty folder; where `recursive`, a folder with all that is in it."""
        path, export, names = self.to_write(text, is_folder=True)
        row = self.existing(path)
        hidden = self._prefix + self._token()
        with refusals_of(path), entered(export.folder, names[:-1]) as folder:
            if row.entry.kind is Kind.FILE:
                folder.remove(names[-1])
            elif not recursive:
                folder.remove_folder(names[-1])
            else:
                _require_exported(folder, export, names, path)
                folder.move(names[-1], folder, hidden)
            folder.sync()
            with self.catalogue.index.transaction():
                self.changes += self.catalogue.note_gone(path, writer=writer)
            if recursive and row.entry.kind is Kind.FOLDER:
                try:
                    remove_all(folder, hidden, is_folder=True)
                except OSError as error:
                    log.warning("%s is deleted; what was in it is removed at the next start: %s", path, error)

    # ---- what all of them need

    def to_write(self, text: str, *, is_folder: bool) -> tuple[str, Export, tuple[str, ...]]:
        """The path, its export and the names below that, if it may be written; raises PermissionDenied, NotFound."""
        path, export, names = self.catalogue.place(text, to_write=True)
        if not names:
            raise PermissionDenied(f"{path} is where an export begins; only its node's configuration can change that")
        if not export.admits(names, is_folder=is_folder):
            raise PermissionDenied(f"{path} is left out of its export, by its patterns or because its name is reserved")
        return path, export, names

    def current(self, path: str) -> Row | None:
        """What is there now, after a look."""
        self.refresh([path])
        return self.catalogue.row(path)

    def existing(self, path: str) -> Row:
        """The same; raises NotFound."""
        row = self.current(path)
        if row is None:
            raise NotFound(f"there is no {path}")
        return row


def is_beyond(entry: Entry, base: Version) -> bool:
    return entry.version.vector.compared(base.vector) in (Order.NEWER, Order.CONCURRENT)


def replaceable(folder: Folder, name: str, path: str) -> os.stat_result | None:
    """What is to be replaced under a name. Raises PermissionDenied for what is no part of the export: links, pipes."""
    try:
        looked_at = folder.look(name)
    except FileNotFoundError:
        return None
    if seen_of(looked_at) is None:
        raise PermissionDenied(f"at {path} is a link or a device, which no export has; only its node can replace it")
    return looked_at


def _require_exported(folder: Folder, export: Export, names: tuple[str, ...], path: str) -> None:
    """Raise FolderNotEmpty if something in a folder is not exported: who does not see it shall not delete it."""
    inner = folder.enter(names[-1])
    try:
        for name, looked_at in inner.look_at_all():
            seen, below = seen_of(looked_at), (*names, name)
            is_draft = name.startswith(RESERVED)
            is_folder = seen is not None and seen.kind is Kind.FOLDER
            if not is_draft and (seen is None or not export.admits(below, is_folder=is_folder)):
                raise FolderNotEmpty(f"{path} has something in it that is not exported; only its node can delete it")
            if is_folder:
                _require_exported(inner, export, below, f"{path}/{name}")
    finally:
        inner.close()
