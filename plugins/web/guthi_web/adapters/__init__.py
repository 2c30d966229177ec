"""Views of plugins that do not bring their own: found by the name of their service, so that none has to be installed.

Each module says by a Protocol what it uses of a service. A plugin that implements `web_views` needs none of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from guthi import Node
from guthi_web.adapters import files, functions, health, locks, variables
from guthi_web.measures import Measure
from guthi_web.service import Web

__all__ = ["add_all", "measures"]


def measures(node: Node) -> Sequence[Measure]:
    """Figures of the services that this node has."""
    return functions.measures(node)


def add_all(node: Node, web: Web) -> None:
    """Views of the services that this node has."""
    for adapter in (functions, variables, locks, files, health):
        adapter.add(node, web)
