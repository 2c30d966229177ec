"""Finds out what other programs have done to exported files: looks at the disk, and compares with the index.

A file is another version when its signature is another one. What is gone under one path and there under another, with
the same inode, size and time, was moved. All of it happens in the writing thread, so nothing of this node's own writing
is taken for that of another program.

What cannot be looked at counts as unchanged, never as gone: not what is in a folder that the system keeps closed, nor
what was in an export whose folder is missing, or is another and empty one, as under a disk that is not mounted.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from guthi import GuthiError
from guthi_gutfs.chunks import chunk_count, chunk_span, digest_of, root_of
from guthi_gutfs.entries import Change, Kind
from guthi_gutfs.errors import NotFound, WrongKind
from guthi_gutfs.exports.catalogue import Catalogue
from guthi_gutfs.exports.folders import Folder, entered, opened
from guthi_gutfs.exports.reading import opened_file, read_at, signature_of
from guthi_gutfs.exports.refusals import refusals_of
from guthi_gutfs.exports.rows import Row, Seen, seen_of
from guthi_gutfs.exports.rules import Export
from guthi_gutfs.paths import child_of, is_within

__all__ = ["look", "stale_in", "survey"]

log = logging.getLogger("guthi_gutfs")

Listed: TypeAlias = list[tuple[str, os.stat_result]]


def look(export: Export, names: tuple[str, ...], path: str) -> Seen | None:
    """What is there now; None also where an export leaves it out, or a folder on the way is none any more."""
    try:
        with refusals_of(path):
            if not names:
                return seen_of(os.stat(export.folder))
            with entered(export.folder, names[:-1]) as folder:
                seen = seen_of(folder.look(names[-1]))
    except (NotFound, WrongKind):
        return None
    return seen if seen is not None and export.admits(names, is_folder=seen.kind is Kind.FOLDER) else None


def survey(catalogue: Catalogue, paths: Iterable[str], *, deep: bool) -> list[Change]:
    """Bring the index up to date with what is under the paths; where `deep`, with all below them."""
    found = _Survey(catalogue)
    for path in paths:
        try:
            found.look_around(path, deep)
        except GuthiError as error:
            found.leave_unchanged(path)
            if not isinstance(error, NotFound):  # it is left out, or has just gone, and that will be noticed
                log.warning("%s cannot be looked at, and counts as unchanged: %s", path, error)
    with catalogue.index.transaction():
        return list(found.differences())


def stale_in(catalogue: Catalogue, text: str) -> list[str]:
    """The paths in a folder of which the index is not up to date."""
    path, export, names = catalogue.place(text)
    there: dict[str, Seen] = {}
    with refusals_of(path), entered(export.folder, names) as folder:
        for name, looked_at in folder.look_at_all():
            seen = seen_of(looked_at)
            if seen is not None and export.admits((*names, name), is_folder=seen.kind is Kind.FOLDER):
                there[child_of(path, name)] = seen
    known = catalogue.index.signatures(path)
    differ = [each for each, seen in there.items() if known.get(each) != seen.signature]
    return sorted([*differ, *(known.keys() - there.keys())])


class _Survey:
    """What was known, and what is there, under the paths that were looked at."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._known: dict[str, Row] = {}
        self._there: dict[str, Seen] = {}
        self._left_out = 0

    def look_around(self, text: str, deep: bool) -> None:
        path, export, names = self._catalogue.place(text)
        row, seen = self._catalogue.row(path), look(export, names, path)
        if not names and (seen is None or (row is not None and row.signature != seen.signature and _is_empty(export))):
            log.warning("%s is missing, or another folder and empty: what was in it counts as unchanged", export.folder)
            return
        if row is not None:
            self._known[path] = row
        if seen is not None:
            self._there[path] = seen
        is_same = row is not None and seen is not None and row.signature == seen.signature
        if not is_same or deep:
            self._look_below(path, export, names, seen)

    def _look_below(self, path: str, export: Export, names: tuple[str, ...], seen: Seen | None) -> None:
        self._known |= {each.entry.path: each for each in self._catalogue.index.below(path)}
        if seen is not None and seen.kind is Kind.FOLDER:
            with refusals_of(path), entered(export.folder, names) as folder:
                for below, found in self._all_in(folder, folder.look_at_all(), export, names, path):
                    self._there[below] = found

    def _all_in(
        self, folder: Folder, listed: Listed, export: Export, names: tuple[str, ...], path: str
    ) -> Iterator[tuple[str, Seen]]:
        for name, looked_at in listed:
            seen, inner = seen_of(looked_at), (*names, name)
            if seen is None or not export.admits(inner, is_folder=seen.kind is Kind.FOLDER):
                continue
            below = child_of(path, name)
            yield below, seen
            if seen.kind is Kind.FOLDER:
                yield from self._inside(folder, name, export, inner, below)

    def _inside(
        self, folder: Folder, name: str, export: Export, names: tuple[str, ...], path: str
    ) -> Iterator[tuple[str, Seen]]:
        try:
            held = folder.enter(name)
        except OSError as error:
            self._closed(path, error)
            return
        try:
            listed = held.look_at_all()
        except OSError as error:  # its names may be shown, and nothing else of them
            self._closed(path, error)
        else:
            yield from self._all_in(held, listed, export, names, path)
        finally:
            held.close()

    def _closed(self, folder: str, error: OSError) -> None:
        log.warning("%s cannot be looked into (%s): what was in it counts as unchanged", folder, error.strerror)
        self.leave_unchanged(folder, besides=folder)

    def leave_unchanged(self, folder: str, besides: str | None = None) -> None:
        """Take nothing that is in a folder for gone, nor for there."""
        for gathered in (self._known, self._there):
            for path in [each for each in gathered if is_within(each, folder) and each != besides]:
                del gathered[path]

    def differences(self) -> Iterator[Change]:
        """Note what is different, and tell of it."""
        gone = {path: row for path, row in self._known.items() if path not in self._there}
        by_inode = {row.signature.inode: row for row in gone.values() if row.signature is not None}
        for path, seen in sorted(self._there.items()):
            row = self._known.get(path)
            if row is not None and row.signature == seen.signature and row.entry.kind is seen.kind:
                continue
            moved = by_inode.get(seen.signature.inode) if row is None else None
            if moved is not None and moved.signature is not None and moved.signature.is_moved(seen.signature):
                del by_inode[seen.signature.inode]
                yield self._catalogue.note_moved(moved, path, seen)
            else:
                yield from self._appeared(path, row, seen)
        for path in sorted(gone, reverse=True):
            yield from self._catalogue.note_gone(path)
        if self._left_out:
            log.warning(
                "%d files are left out: the node knows as many entries as it may (most_entries)", self._left_out
            )

    def _appeared(self, path: str, row: Row | None, seen: Seen) -> Iterator[Change]:
        catalogue = self._catalogue
        if row is None and not catalogue.has_room_for(path):
            self._left_out += 1
            return
        _, export, names = catalogue.place(path)
        if not export.is_sync or seen.kind is not Kind.FILE:
            yield catalogue.note(path, seen, catalogue.found(path, seen))
            return
        digests = _digests(export, names, path, seen)
        if digests is None:
            return  # somebody writes it just now, and will be noticed again
        root = root_of(seen.size_bytes, digests)
        if row is not None and row.entry.root == root:
            catalogue.index.resign(path, seen.signature)  # touched, or its rights changed: the content is the same
            return
        version = catalogue.found(path, seen)
        yield catalogue.note(path, seen, version, root)
        catalogue.index.remember(path, version.timestamp, dict(enumerate(digests)))


def _is_empty(export: Export) -> bool:
    held = opened(export.folder)
    try:
        return not held.look_at_all()
    finally:
        held.close()


def _digests(export: Export, names: tuple[str, ...], path: str, seen: Seen) -> list[bytes] | None:
    """The digests of all chunks of what was seen; None if it is something else by now."""
    size_bytes = seen.size_bytes
    try:
        with opened_file(export, names, path) as descriptor:
            spans = [chunk_span(position, size_bytes) for position in range(chunk_count(size_bytes))]
            digests = [digest_of(read_at(descriptor, *span)) for span in spans]
            return digests if signature_of(descriptor) == seen.signature else None
    except (NotFound, WrongKind):
        return None
