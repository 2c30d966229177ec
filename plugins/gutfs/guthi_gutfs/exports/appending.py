"""Decides how a file grows without being written anew, and is the old file or the new one when the node is killed.

Before the file grows, its size and the size that it will have are noted in the index, on disk. The next start cuts off
what is half written; what has the whole size stays.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from guthi_gutfs.errors import FileChanged, NotFound, WrongKind
from guthi_gutfs.exports.catalogue import Catalogue
from guthi_gutfs.exports.folders import APPEND
from guthi_gutfs.exports.index import Index
from guthi_gutfs.exports.reading import opened_file, signature_of
from guthi_gutfs.exports.rows import Row, Seen, seen_of
from guthi_gutfs.exports.rules import Export

__all__ = ["end_append", "grow"]


def grow(index: Index, export: Export, names: Sequence[str], row: Row, data: bytes) -> Seen | None:
    """Write at the end of the file of a row, to the disk; afterwards the caller notes that the append has ended."""
    path, size_bytes = row.entry.path, row.entry.size_bytes
    with opened_file(export, names, path, APPEND) as descriptor:
        signature = signature_of(descriptor)
        if signature != row.signature:
            raise FileChanged(f"{path} was changed by another program just now; try again")
        index.append_begins(path, signature.inode, size_bytes, size_bytes + len(data))
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        except OSError:  # the disk is full, perhaps in the middle of it
            os.ftruncate(descriptor, size_bytes)
            index.append_ends(path)
            raise
        return seen_of(os.fstat(descriptor))


def end_append(catalogue: Catalogue, text: str, inode: int, size_bytes: int, until_bytes: int) -> None:
    """At the start: cut off what an append has half written."""
    try:
        path, export, names = catalogue.place(text)
        with opened_file(export, names, path, APPEND) as descriptor:
            now = signature_of(descriptor)
            if now.inode == inode and size_bytes < now.size_bytes < until_bytes:
                os.ftruncate(descriptor, size_bytes)
                os.fsync(descriptor)
    except (NotFound, WrongKind):
        pass  # it is gone, or no file by now
    catalogue.index.append_ends(text)
