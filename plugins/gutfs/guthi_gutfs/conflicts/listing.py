"""What users are told of conflicts, and what they decide about one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from guthi import UsageError
from guthi_gutfs.conflicts.naming import original_path
from guthi_gutfs.errors import NotFound

if TYPE_CHECKING:
    from guthi_gutfs.service import Gutfs

__all__ = ["Conflict", "Keep", "conflicts", "resolve"]

Keep = Literal["original", "copy"]


@dataclass(frozen=True, slots=True)
class Conflict:
    """`copy` is a version of `path` that was written, by `writer`, without knowledge of another, which has the path."""

    path: str
    copy: str
    writer: str
    modified_s: float
    nodes: tuple[str, ...]


async def conflicts(gutfs: Gutfs, folder: str) -> list[Conflict]:
    """All copies that are kept below a folder, sorted by path."""
    found = []
    async for each in gutfs.walk(folder):
        path = original_path(each.path)
        if path is not None and not each.is_folder:
            found.append(Conflict(path, each.path, each.version.writer, each.modified_s, each.nodes))
    return sorted(found, key=lambda each: (each.path, each.copy))


async def resolve(gutfs: Gutfs, copy: str, keep: Keep) -> None:
    """Keep the original, and delete the copy; or put the copy in the place of the original."""
    path = original_path(copy)
    if path is None:
        raise UsageError(f"{copy} is no copy that was kept in a conflict; conflicts() has those there are")
    if not await gutfs.exists(copy):
        raise NotFound(f"there is no {copy}; it may have been resolved already")
    if keep == "original":
        await gutfs.delete(copy)
    elif keep == "copy":
        await gutfs.rename(copy, path, replace=True)
    else:
        raise UsageError(f'keep the "original" or the "copy", not {keep!r}; to keep both, rename the copy')
