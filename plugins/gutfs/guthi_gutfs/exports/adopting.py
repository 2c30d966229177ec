"""Decides how a replica takes a version that another node has made: as it is, with its vector, time and writer.

What to take is for `conflicts.reconciling`. Here it is done, if what is here still is what the decision was made on.
"""

from __future__ import annotations

from dataclasses import replace

from guthi_gutfs.conflicts.naming import conflict_path
from guthi_gutfs.entries import Entry, Kind, Version
from guthi_gutfs.errors import FileChanged, WrongKind
from guthi_gutfs.exports.drafts import DraftFile
from guthi_gutfs.exports.folders import entered
from guthi_gutfs.exports.refusals import refusals_of
from guthi_gutfs.exports.rows import Row, Seen, seen_of
from guthi_gutfs.exports.rules import Export
from guthi_gutfs.exports.writing import Writer, replaceable
from guthi_gutfs.paths import is_within, name_of, parents_of
from guthi_gutfs.vectors import VersionVector

__all__ = ["Adopter"]

ALL = 1 << 62


class Adopter:
    """Takes the versions of others; its methods wait for the disk, and are called in the thread of the writer."""

    def __init__(self, writer: Writer) -> None:
        self._writer, self._catalogue = writer, writer.catalogue

    def adopt(self, entry: Entry, draft: DraftFile | None, expected: Version | None, keep: bool) -> Entry:
        """Have the version that another node has; `keep` what was here, as a copy beside it.

        Of a file whose content is not here, `draft` has it. Raises FileChanged if this node's version is not `expected`
        any more, FolderNotEmpty for a folder that is gone elsewhere and has something in it here.
        """
        path, export, names = self._writer.to_write(entry.path, is_folder=entry.kind is not Kind.FILE)
        row, noted = self._writer.current(path), self._catalogue.index.row(path)
        if (noted.entry.version if noted is not None else None) != expected:
            raise FileChanged(f"{path} is another version here by now")
        self._catalogue.require_room(export, path, 0)
        if entry.kind is Kind.GONE:
            return self._gone(entry, export, names, row)
        self._require_fit(entry, draft, export, None if keep else row)
        if keep and row is not None:
            self._keep(row, export, names)
        elif row is not None and row.entry.kind is not entry.kind:
            self._remove(row, export, names)
        if draft is not None:
            return self._writer.name_it(draft, path, entry.version, entry.modified_s)
        if entry.kind is Kind.FOLDER:
            return self._folder(entry, export, names)
        if row is None or row.signature is None or entry.root is None or row.entry.root != entry.root:
            raise FileChanged(f"{path} has another content here, and none was brought")
        same = Seen(Kind.FILE, row.signature, row.entry.modified_s)
        return self._noted(path, same, entry.version, row.entry.root, path)

    def _require_fit(self, entry: Entry, draft: DraftFile | None, export: Export, replaced: Row | None) -> None:
        if draft is None:
            return
        if draft.digests()[1] != entry.root:
            raise FileChanged(f"what came for {entry.path} is another content than was told of")
        less_bytes = replaced.entry.size_bytes if replaced is not None else 0
        self._catalogue.require_room(export, entry.path, draft.size_bytes - less_bytes)

    def _remove(self, row: Row, export: Export, names: tuple[str, ...]) -> None:
        with refusals_of(row.entry.path), entered(export.folder, names[:-1]) as folder:
            if row.entry.kind is Kind.FOLDER:
                folder.remove_folder(names[-1])
            else:
                folder.remove(names[-1])
            folder.sync()

    def make_way(self, text: str) -> None:
        """See that all that a path goes through are folders; a file that is in the way gets the name of a copy."""
        path, export, _ = self._writer.to_write(text, is_folder=False)
        for parent in parents_of(path):
            names = export.names_below(parent) if is_within(parent, export.at) else ()
            row = self._writer.current(parent) if names else None
            if not names or (row is not None and row.entry.kind is Kind.FOLDER):
                continue
            if row is not None:
                self._keep(row, export, names)
            self._writer.make_folder(parent, self._catalogue.name, False)

    def revive(self, text: str, following: VersionVector) -> Entry:
        """Let a folder be newer than what it follows on."""
        path, export, names = self._writer.to_write(text, is_folder=True)
        row = self._writer.existing(path)
        version = self._catalogue.next_version(
            row, writer=self._catalogue.name, at=self._catalogue.now(), base=following
        )
        return self._folder(replace(row.entry, version=version), export, names)

    def _noted(self, path: str, seen: Seen, version: Version, root: bytes | None, digests_of: str) -> Entry:
        index = self._catalogue.index
        with index.transaction():
            digests = index.digests(digests_of, 0, ALL)
            change = self._catalogue.note(path, seen, version, root)
            index.remember(path, version.timestamp, digests)
        self._writer.changes.append(change)
        return change.entry

    def _folder(self, entry: Entry, export: Export, names: tuple[str, ...]) -> Entry:
        with refusals_of(entry.path), entered(export.folder, names[:-1]) as folder:
            try:
                folder.make_folder(names[-1])
                folder.sync()
            except FileExistsError:
                pass
            seen = seen_of(folder.look(names[-1]))
        if seen is None or seen.kind is not Kind.FOLDER:
            raise WrongKind(f"{entry.path} is no folder here")
        return self._noted(entry.path, seen, entry.version, None, entry.path)

    def _gone(self, entry: Entry, export: Export, names: tuple[str, ...], row: Row | None) -> Entry:
        if row is None:
            return self._catalogue.index.put(entry, None)
        self._remove(row, export, names)
        with self._catalogue.index.transaction():
            changes = self._catalogue.note_gone(entry.path, version=entry.version)
        self._writer.changes += changes
        return changes[-1].entry

    def _keep(self, row: Row, export: Export, names: tuple[str, ...]) -> None:
        """Move what is here to the name of the copy, where it is the same version."""
        path, version, number = row.entry.path, row.entry.version, 1
        copy = conflict_path(path, version)
        while (there := self._writer.current(copy)) is not None:
            if there.entry.root == row.entry.root:
                return  # another replica has kept it, and its copy has come here already
            number += 1
            copy = conflict_path(path, version, number)
        with refusals_of(path), entered(export.folder, names[:-1]) as folder:
            replaceable(folder, name_of(copy), copy)
            folder.move(names[-1], folder, name_of(copy))
            folder.sync()
            seen = seen_of(folder.look(name_of(copy)))
        assert seen is not None
        self._noted(copy, seen, version, row.entry.root, path)
        self._catalogue.note_gone(path)
