"""The hooks that the plugin brings: what has become of values, as this node learns of it."""

from __future__ import annotations

import guthi

__all__ = ["DvarHooks"]


class DvarHooks:
    """The hooks of the plugin dvar."""

    @guthi.hookspec
    def variable_changed(self, name: str, index: int, version: int, writer: guthi.NodeId) -> None:
        """A newer version of a value is known here; `index` is the chunk of an array, and 0 of anything else."""

    @guthi.hookspec
    def variable_invalidated(self, name: str, index: int, version: int, writer: guthi.NodeId) -> None:
        """The copy that this node has is valid no more, for there is this newer version."""
