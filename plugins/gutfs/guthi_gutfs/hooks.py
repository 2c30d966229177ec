"""The hooks that the plugin brings: what becomes of files, as this node learns of it."""

from __future__ import annotations

import guthi
from guthi_gutfs.entries import Change

__all__ = ["GutfsHooks"]


class GutfsHooks:
    """The hooks of the plugin gutfs."""

    @guthi.hookspec
    def file_changed(self, change: Change, owner: guthi.NodeId) -> None:
        """A file or folder of a node, this one included, was created, changed, moved or deleted."""

    @guthi.hookspec
    def file_conflict(self, path: str, copy: str, owner: guthi.NodeId) -> None:
        """Two versions of a file knew not of each other; the one that lost the path is kept as `copy`, at `owner`."""
