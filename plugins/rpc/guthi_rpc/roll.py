"""Which nodes were there when this one was, on disk: after a restart it knows that there are others, not heard yet.

A node that is back may find nobody but others that are back as well, or newcomers, while those who remember are cut
off. Of all that are gone it would know nothing, and take those few for the whole network. So the file `rpc-peers` in
its `data_dir` has the ids of up to COUNT peers, one a line: those that follow it in the order of ids. Who is not there
again counts as gone for the retention. A node that has no such file is new: it has had no life in which it could have
heard of a call. Losing the file loses that protection, and nothing else.
"""

from __future__ import annotations

import logging
import os
from bisect import bisect
from collections.abc import Iterable
from pathlib import Path

from guthi import NodeId

__all__ = ["Roll"]

COUNT = 16
FILE_NAME = "rpc-peers"
_MAX_BYTES = 4096

log = logging.getLogger("guthi_rpc.roll")


class Roll:
    """That of the node `me`; `folder` is its data_dir, None: none is kept, and each start is of a new node.

    `former` are those in it at the start, `is_new` says whether there was none.
    """

    def __init__(self, folder: Path | None, me: NodeId) -> None:
        self._path = folder / FILE_NAME if folder is not None else None
        self._me = me
        found = _read(self._path) if self._path is not None else None
        self.is_new, self.former = found is None, found or ()
        self._written = found
        if self.is_new:
            self.write(())

    def write(self, others: Iterable[NodeId]) -> None:
        """Those are there, or keep a seat."""
        if self._path is None:
            return
        ranked = sorted(others)
        after_me = bisect(ranked, self._me)
        chosen = tuple((*ranked[after_me:], *ranked[:after_me])[:COUNT])
        if chosen == self._written:
            return
        self._written = chosen
        draft = self._path.with_name(f"{FILE_NAME}.new")
        try:
            draft.write_text("".join(f"{node.hex()}\n" for node in chosen), encoding="utf-8")
            os.replace(draft, self._path)
        except OSError as error:
            log.warning(
                "%s cannot be written: %s; after a crash this node may know of too few", self._path, error.strerror
            )


def _read(path: Path) -> tuple[NodeId, ...] | None:
    """The ids in the file; lines that hold none are passed over. None where there is no file."""
    try:
        with path.open("rb") as file:
            lines = file.read(_MAX_BYTES).decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return None
    except OSError:
        return ()
    return tuple(node for line in lines[:COUNT] if (node := _node(line)) is not None)


def _node(line: str) -> NodeId | None:
    try:
        return NodeId(bytes.fromhex(line))
    except ValueError:
        return None
