"""Decides what the configuration exports: which folder of the disk is where in the tree, and what may be done there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from guthi import ConfigError
from guthi_gutfs.config import ExportTable
from guthi_gutfs.errors import BadPath, NotFound
from guthi_gutfs.exports.patterns import Patterns
from guthi_gutfs.paths import ROOT, is_name, is_within, names_of, parents_of, tree_path

__all__ = ["RESERVED", "Export", "Exports"]

RESERVED = ".gutfs-"
"""Names that begin so are no part of any export: under them stand files that are not written to their end."""

WORDS = ("ro", "rw", "sync")


@dataclass(frozen=True, slots=True)
class Export:
    """A folder of this node's disk that all nodes see at a path of the tree. `quota_bytes` 0: no bound."""

    at: str
    folder: Path
    is_writable: bool
    is_sync: bool
    patterns: Patterns
    quota_bytes: int

    @classmethod
    def read(cls, written: Path | ExportTable) -> Export:
        """From the configuration; raises ConfigError."""
        table = written if isinstance(written, ExportTable) else _table(str(written))
        if not table.folder.is_dir():
            raise ConfigError(f"{table.folder} cannot be exported: there is no such folder; make it first")
        try:
            at, patterns = tree_path(table.at), Patterns(table.include, table.exclude)
        except (BadPath, re.error) as error:
            raise ConfigError(f"{table.folder} cannot be exported at {table.at!r}: {error}") from None
        is_writable = table.writable or table.sync
        return cls(at, table.folder.resolve(), is_writable, table.sync, patterns, table.quota)

    def names_below(self, path: str) -> tuple[str, ...]:
        """The names from the export's folder to a path in it."""
        return names_of(path)[len(names_of(self.at)) :]

    def path_of(self, place: str) -> str | None:
        """The path in the tree of a place on the disk; None for one that is no part of this export."""
        try:
            names = Path(place).relative_to(self.folder).parts
        except ValueError:
            return None
        if not all(map(is_name, names)) or any(name.startswith(RESERVED) for name in names):
            return None
        return ROOT + "/".join((*names_of(self.at), *names))

    def admits(self, names: Sequence[str], *, is_folder: bool) -> bool:
        """Whether what is under these names below the folder is part of the export."""
        return not any(name.startswith(RESERVED) for name in names) and self.patterns.admit(names, is_folder=is_folder)


def _table(text: str) -> ExportTable:
    """The short form: FOLDER:PATH, and after another colon words with commas between them."""
    # A colon as the second character is that of a drive, and belongs to the folder.
    match = re.fullmatch(r"(.[^:]*|.:[\\/][^:]*)(?::(/?[^:]*))?(?::([a-z,]+))?", text, re.DOTALL)
    words = match[3].split(",") if match and match[3] else []
    if match is None or any(word not in WORDS for word in words):
        raise ConfigError(
            f'{text!r} is not an export; write FOLDER:PATH, for example "./data:/photos", and :rw or :sync after it'
        )
    folder, at = Path(match[1]), match[2]
    return ExportTable(folder, folder.name if at is None else at or ROOT, "rw" in words, "sync" in words)


class Exports:
    """All exports of a node; no two have a path in common."""

    def __init__(self, written: Iterable[Path | ExportTable], data_dir: Path | None = None) -> None:
        self.all = tuple(sorted((Export.read(each) for each in written), key=lambda each: each.at))
        self._parents = {parent for export in self.all for parent in parents_of(export.at)} | {ROOT}
        for export in self.all:
            self._refuse_secrets(export, data_dir)
            for other in self.all:
                if other is not export and is_within(other.at, export.at):
                    raise ConfigError(f"two exports have {other.at} in common; give each a path of its own")

    def _refuse_secrets(self, export: Export, data_dir: Path | None) -> None:
        if data_dir is not None and data_dir.resolve().is_relative_to(export.folder):
            raise ConfigError(
                f"{export.folder} cannot be exported: the node's own data, with its key, is in {data_dir}; "
                "export a folder beside it"
            )

    def of(self, path: str) -> Export:
        """The export that a path is in; raises NotFound."""
        for export in self.all:
            if is_within(path, export.at):
                return export
        raise NotFound(f"{path} is in no export of this node; it has {', '.join(self.paths) or 'none'}")

    def has(self, path: str) -> bool:
        """Whether a path is in an export."""
        return any(is_within(path, export.at) for export in self.all)

    @property
    def paths(self) -> list[str]:
        """Where the exports are, sorted."""
        return [each.at for each in self.all]

    def is_above(self, path: str) -> bool:
        """Whether a path is a folder only because an export is below it."""
        return path in self._parents and all(path != each.at for each in self.all)

    def next_below(self, path: str) -> list[str]:
        """The paths just below such a folder, sorted."""
        count = len(names_of(path)) + 1
        below = [each.at for each in self.all if is_within(each.at, path)]
        return sorted({ROOT + "/".join(names_of(each)[:count]) for each in below})
