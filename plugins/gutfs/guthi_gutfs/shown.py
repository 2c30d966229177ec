"""How files, folders and changes are shown by commands: as cells, as lines of a tree, as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from guthi_gutfs.information import FileInfo
from guthi_gutfs.paths import names_of, tree_path
from guthi_gutfs.watching import FileChange, Lagged

__all__ = ["as_json", "cells", "drawn", "moment", "size_in_words", "told_as_json", "told_as_line"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_S = (datetime(1000, 1, 1, tzinfo=UTC) - EPOCH).total_seconds()
LATEST_S = (datetime(9999, 12, 31, tzinfo=UTC) - EPOCH).total_seconds()
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size_in_words(size_bytes: int) -> str:
    """As in 1.5 MiB."""
    size, unit = float(size_bytes), 0
    while size >= 1024 and unit < len(UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size_bytes} B" if not unit else f"{size:.1f} {UNITS[unit]}"


def cells(info: FileInfo) -> Sequence[str]:
    """Name, size, when modified, and the nodes."""
    name = info.name + ("/" if info.is_folder else "")
    size = "" if info.is_folder else size_in_words(info.size_bytes)
    return name, size, moment(info.modified_s), ", ".join(info.nodes)


def moment(at_s: float) -> str:
    """In UTC, to the second; nothing for folders that are only made up, or what no calendar has."""
    if not at_s or not EARLIEST_S <= at_s <= LATEST_S:
        return ""
    return (EPOCH + timedelta(seconds=int(at_s))).strftime("%Y-%m-%d %H:%M:%S")


def as_json(info: FileInfo) -> dict[str, Any]:
    """All that is known of it."""
    return {
        "path": info.path,
        "kind": "folder" if info.is_folder else "file",
        "size": info.size_bytes,
        "modified": info.modified_s,
        "nodes": list(info.nodes),
        "timestamp": info.version.timestamp,
        "writer": info.version.writer,
    }


def drawn(path: str, found: Sequence[FileInfo]) -> Iterator[str]:
    """The lines of a tree, of what is below a path; `found` has folders before what is in them."""
    depth = len(names_of(tree_path(path)))
    yield tree_path(path)
    for info in sorted(found, key=lambda each: names_of(each.path)):
        indent = "    " * (len(names_of(info.path)) - depth - 1)
        name, size, _, nodes = cells(info)
        yield (
            f"{indent}{name}" + (f"  {size}" if size else "") + (f"  [{nodes}]" if nodes and not info.is_folder else "")
        )


def told_as_line(told: FileChange | Lagged) -> str:
    """What a watcher was told."""
    if isinstance(told, Lagged):
        many = "changes" if told.missed is None else f"{told.missed} changes"
        return f"({many} were missed" + (f" on {told.node})" if told.node else ")")
    moved = f" from {told.moved_from}" if told.moved_from is not None else ""
    return f"{told.kind.value:8} {told.path}{moved}  [{told.node}]"


def told_as_json(told: FileChange | Lagged) -> dict[str, Any]:
    """The same for scripts."""
    if isinstance(told, Lagged):
        return {"missed": told.missed, "node": told.node}
    return {
        "kind": told.kind.value,
        "path": told.path,
        "moved_from": told.moved_from,
        "node": told.node,
        "size": told.entry.size_bytes,
    }
