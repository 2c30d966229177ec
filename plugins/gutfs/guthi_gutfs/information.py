"""What users are told of a file or folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from guthi_gutfs.entries import FileId, Kind, Version
from guthi_gutfs.paths import name_of
from guthi_gutfs.tree.view import Found

__all__ = ["ExporterInfo", "FileInfo", "info_of"]


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file or folder of the tree. `nodes` are the names of those that have it, the first of which this tells of."""

    path: str
    is_folder: bool
    size_bytes: int
    modified_s: float
    nodes: tuple[str, ...]
    id: FileId | None
    version: Version
    root: bytes | None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return name_of(self.path)


@dataclass(frozen=True, slots=True)
class ExporterInfo:
    """A node that exports folders: `exports` are their paths, each with `ro`, `rw` or `sync`."""

    name: str
    exports: tuple[tuple[str, str], ...]
    clock_offset_s: float | None


def info_of(found: Found, nodes: Iterable[str], address: str) -> FileInfo:
    """What is told of what was found; `address` is that of the first node."""
    entry = found.entry
    return FileInfo(
        found.path,
        entry.kind is Kind.FOLDER,
        entry.size_bytes,
        entry.modified_s,
        tuple(nodes),
        entry.id_at(address) if found.nodes else None,
        entry.version,
        entry.root,
    )
