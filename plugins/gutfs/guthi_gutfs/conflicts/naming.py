"""Decides the name of a copy that is kept because two writes knew not of each other: `cat.conflict-NODE-TIME.png`.

NODE is the name of the node that wrote the version which lost the path, and TIME when it did, in UTC. The name follows
from path and version alone, so all nodes that keep the copy give it the same name.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from guthi_gutfs.entries import Version
from guthi_gutfs.paths import child_of, name_of, parent_of
from guthi_gutfs.timestamps import unix_from_ntp

__all__ = ["conflict_path", "original_path"]

MOST_NAME_BYTES = 255
MOST_NODE_CHARACTERS = 40
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_S = (datetime(9999, 12, 31, tzinfo=UTC) - EPOCH).total_seconds()

_COPY = re.compile(r"(?P<stem>.*)\.conflict-[^/]*?-\d{8}-\d{6}(?:-\d+)?(?P<ending>\.[^./]*)?", re.DOTALL)


def conflict_path(path: str, version: Version, number: int = 1) -> str:
    """Where the copy of a version of `path` is kept; a `number` beyond 1 when a node lost twice in one second."""
    name = name_of(path)
    stem, dot, ending = name.rpartition(".")
    if not stem:  # no dot, or only the one that hides a file
        stem, dot, ending = name, "", ""
    node = re.sub(r"[^A-Za-z0-9_-]", "_", version.writer)[:MOST_NODE_CHARACTERS] or "node"
    seconds = min(max(unix_from_ntp(version.timestamp), 0.0), LAST_S)
    moment = (EPOCH + timedelta(seconds=int(seconds))).strftime("%Y%m%d-%H%M%S")
    mark = f".conflict-{node}-{moment}" + (f"-{number}" if number > 1 else "")
    room = MOST_NAME_BYTES - len(mark.encode())
    if len((dot + ending).encode()) > room // 2:
        stem, dot, ending = name, "", ""
    stem = stem.encode()[: room - len((dot + ending).encode())].decode(errors="ignore")
    return child_of(parent_of(path), f"{stem}{mark}{dot}{ending}")


def original_path(path: str) -> str | None:
    """Which path a copy is of; None for what is no such copy. Of a name that was too long, its beginning."""
    match = _COPY.fullmatch(name_of(path))
    return child_of(parent_of(path), match["stem"] + (match["ending"] or "")) if match and match["stem"] else None
