"""The hook that the plugin brings: somebody's resources are known anew."""

from __future__ import annotations

import guthi
from guthi_resources.sample import Sample

__all__ = ["ResourcesHooks"]


class ResourcesHooks:
    """The hooks of the plugin resources."""

    @guthi.hookspec
    def resources_changed(self, node: guthi.NodeId, sample: Sample) -> None:
        """A newer sample of a node, this one included, is known here."""
