"""Decides what is read of a file: chunks of exactly the version that was asked for, or nothing.

The system's word on the file, its signature, is taken before and after the bytes are read. If it is another than that
of the version, the bytes are not given out. Digests are computed when they are first asked for, and remembered.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from guthi_gutfs.chunks import chunk_count, chunk_span, digest_of, root_of
from guthi_gutfs.entries import Entry, Kind
from guthi_gutfs.errors import FileChanged, NotFound, WrongKind
from guthi_gutfs.exports.catalogue import Catalogue
from guthi_gutfs.exports.folders import READ, entered
from guthi_gutfs.exports.refusals import refusals_of
from guthi_gutfs.exports.rows import Row, Signature, seen_of
from guthi_gutfs.exports.rules import Export

__all__ = ["Reader", "opened_file", "read_at", "signature_of"]

MOST_DIGESTS = 1024


@contextmanager
def opened_file(export: Export, names: Sequence[str], path: str, flags: int = READ) -> Iterator[int]:
    """The descriptor of a file, as long as the context lasts; raises Guthi's errors."""
    if not names:
        raise WrongKind(f"{path} is a folder")
    with refusals_of(path), entered(export.folder, names[:-1]) as folder:
        descriptor = folder.open(names[-1], flags)
    try:
        with refusals_of(path):
            yield descriptor
    finally:
        os.close(descriptor)


def signature_of(descriptor: int) -> Signature:
    """What the system says of an open file."""
    seen = seen_of(os.fstat(descriptor))
    assert seen is not None  # only plain files are opened
    return seen.signature


def read_at(descriptor: int, offset: int, size_bytes: int) -> bytes:
    """So many bytes from a place on; fewer only at the end of the file. One such call for a descriptor at a time."""
    parts = []
    if not hasattr(os, "pread"):
        os.lseek(descriptor, offset, os.SEEK_SET)
    while size_bytes > 0:
        part = os.pread(descriptor, size_bytes, offset) if hasattr(os, "pread") else os.read(descriptor, size_bytes)
        if not part:
            break
        parts.append(part)
        offset, size_bytes = offset + len(part), size_bytes - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class Reader:
    """Reads the exported files of one node; all methods wait for the disk, and may be called in any thread."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def digests(self, path: str, timestamp: int, first: int, count: int) -> list[bytes]:
        """The digests of `count` chunks from one on, of `MOST_DIGESTS` at most. FileChanged, NotFound, WrongKind."""
        index, row = self._catalogue.index, self._version(path, timestamp)
        first = min(first, chunk_count(row.entry.size_bytes))
        last = min(first + min(count, MOST_DIGESTS), chunk_count(row.entry.size_bytes))
        known = index.digests(path, first, last - first)
        missing = [position for position in range(first, last) if position not in known]
        if missing:
            found = self._computed(row, missing)
            known |= found
            index.remember(path, timestamp, found, self._root_with(row, known))
        return [known[position] for position in range(first, last)]

    def _computed(self, row: Row, positions: Sequence[int]) -> dict[int, bytes]:
        with self._opened(row) as descriptor:
            spans = {position: chunk_span(position, row.entry.size_bytes) for position in positions}
            return {position: digest_of(read_at(descriptor, *span)) for position, span in spans.items()}

    def _root_with(self, row: Row, known: dict[int, bytes]) -> bytes | None:
        """The root digest, if all others are known by now."""
        count = chunk_count(row.entry.size_bytes)
        if row.entry.root is not None or count - 1 not in known:
            return row.entry.root
        every = {**self._catalogue.index.digests(row.entry.path, 0, count), **known}
        if len(every) < count:
            return None
        return root_of(row.entry.size_bytes, (every[position] for position in range(count)))

    def chunk(self, path: str, timestamp: int, position: int) -> bytes:
        """The bytes of a chunk. Raises FileChanged, NotFound, WrongKind."""
        return self.chunks(path, timestamp, [position])[0]

    def chunks(self, path: str, timestamp: int, positions: Sequence[int]) -> list[bytes]:
        """The bytes of several chunks, for which the file is opened once. Raises FileChanged, NotFound, WrongKind."""
        row = self._version(path, timestamp)
        count = chunk_count(row.entry.size_bytes)
        for position in positions:
            if not 0 <= position < count:
                raise NotFound(f"{path} has no chunk {position}; it has {count}")
        with self._opened(row) as descriptor:
            return [read_at(descriptor, *chunk_span(each, row.entry.size_bytes)) for each in positions]

    def read(self, path: str, timestamp: int, offset: int, size_bytes: int) -> bytes:
        """Bytes of a version from a place on, fewer at its end. Raises FileChanged, NotFound, WrongKind."""
        row = self._version(path, timestamp)
        size_bytes = min(size_bytes, row.entry.size_bytes - offset)
        with self._opened(row) as descriptor:
            return read_at(descriptor, offset, size_bytes) if size_bytes > 0 else b""

    def by_digest(self, digest: bytes) -> bytes | None:
        """A chunk of whatever file has it; None if none has."""
        for path, position in self._catalogue.index.places(digest):
            row = self._catalogue.row(path)
            if row is None:
                continue
            try:
                data = self.chunk(path, row.entry.version.timestamp, position)
            except (FileChanged, NotFound, WrongKind):
                continue
            if digest_of(data) == digest:
                return data
        return None

    def root(self, entry: Entry) -> bytes:
        """The root digest of a file; reads all of it if need be. Raises FileChanged, NotFound, WrongKind."""
        count, digests = chunk_count(entry.size_bytes), []
        for first in range(0, count, MOST_DIGESTS):
            digests += self.digests(entry.path, entry.version.timestamp, first, MOST_DIGESTS)
        root = root_of(entry.size_bytes, digests)
        self._catalogue.index.remember(entry.path, entry.version.timestamp, {}, root)
        return root

    def _version(self, path: str, timestamp: int) -> Row:
        row = self._catalogue.row(path)
        if row is None:
            raise NotFound(f"there is no {path}")
        if row.entry.kind is not Kind.FILE:
            raise WrongKind(f"{path} is a folder")
        if row.entry.version.timestamp != timestamp:
            raise FileChanged(f"{path} is another version by now; look at it again")
        return row

    @contextmanager
    def _opened(self, row: Row) -> Iterator[int]:
        """The file of a row; raises FileChanged unless it is that version all the while."""
        path, export, names = self._catalogue.place(row.entry.path)
        with opened_file(export, names, path) as descriptor:
            _require(path, row, descriptor)
            yield descriptor
            _require(path, row, descriptor)


def _require(path: str, row: Row, descriptor: int) -> None:
    if signature_of(descriptor) != row.signature:
        raise FileChanged(f"{path} was changed by another program just now; look at it again")
