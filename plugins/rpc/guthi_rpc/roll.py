"""Which nodes were there when this one was, on disk: after a restart it knows that there are others, not heard yet.

A node that is back may find nobody but others that are back as well, or newcomers, while those who remember are cut
off. Of all that are gone it would know nothing, and take those few for the whole network. So the file `rpc-peers` in
its `data_dir` has the ids of up to COUNT peers, one a line: those that follow it in the order of ids. Who is not there
again counts as gone for the retention, or, where it was gone already, for the seconds that stand behind its id. A node
that has no such file is new: it has had no life in which it could have heard of a call. Losing the file loses that
protection, and nothing else.
"""

from __future__ import annotations

import logging
import math
import os
from bisect import bisect
from collections.abc import Mapping
from pathlib import Path

from guthi import NodeId

__all__ = ["Roll"]

COUNT = 16
FILE_NAME = "rpc-peers"
_MAX_BYTES = 4096

log = logging.getLogger("guthi_rpc.roll")


class Roll:
    """That of the node `me`; `folder` is its data_dir, None: none is kept, and each start is of a new node.

    `former` are those in it at the start, and for how many seconds each counts as gone, infinity: for the retention;
    `is_new` says whether there was none.
    """

    def __init__(self, folder: Path | None, me: NodeId) -> None:
        self._path = folder / FILE_NAME if folder is not None else None
        self._me = me
        found = _read(self._path) if self._path is not None else None
        self.is_new, self.former = found is None, found or {}
        self._written = found
        if self.is_new:
            self.write({})

    def write(self, others: Mapping[NodeId, float]) -> None:
        """Those are there, or keep a seat, for so many seconds yet."""
        if self._path is None:
            return
        ranked = sorted(others)
        after_me = bisect(ranked, self._me)
        chosen = {node: others[node] for node in (*ranked[after_me:], *ranked[:after_me])[:COUNT]}
        if chosen == self._written:
            return
        self._written = chosen
        draft = self._path.with_name(f"{FILE_NAME}.new")
        try:
            draft.write_text("".join(map(_line, chosen, chosen.values())), encoding="utf-8")
            os.replace(draft, self._path)
        except OSError as error:
            log.warning(
                "%s cannot be written: %s; after a crash this node may know of too few", self._path, error.strerror
            )


def _read(path: Path) -> dict[NodeId, float] | None:
    """What the file says; lines that hold no id are passed over. None where there is no file."""
    try:
        with path.open("rb") as file:
            lines = file.read(_MAX_BYTES).decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return None
    except OSError:
        return {}
    return dict(found for line in lines[:COUNT] if (found := _node(line)) is not None)


def _line(node: NodeId, for_s: float) -> str:
    return f"{node.hex()}\n" if for_s == math.inf else f"{node.hex()} {math.ceil(for_s)}\n"


def _node(line: str) -> tuple[NodeId, float] | None:
    text, _, seconds = line.partition(" ")
    try:
        return NodeId(bytes.fromhex(text)), float(int(seconds)) if seconds.isdecimal() else math.inf
    except ValueError:
        return None
