"""Decides who owns a variable in a view, and who keeps its values beside the owner: the first ones by rank.

All who know the same nodes think of the same owner (highest random weight, see `places`), so nobody is asked; a node
that comes or goes moves only the variables that concern it.
"""

from __future__ import annotations

from collections.abc import Iterable

from guthi import NodeId
from guthi_dvar.places import ranked

__all__ = ["Roles"]

MOST_REMEMBERED = 65_536


class Roles:
    """The roles among the nodes of one view that run the plugin."""

    def __init__(self, among: Iterable[NodeId]) -> None:
        self.among = tuple(sorted(among))
        self._orders: dict[str, list[NodeId]] = {}

    def _order(self, name: str) -> list[NodeId]:
        order = self._orders.get(name)
        if order is None:
            if len(self._orders) >= MOST_REMEMBERED:
                self._orders.clear()
            order = self._orders[name] = ranked(name, 0, self.among)
        return order

    def owner(self, name: str) -> NodeId:
        """Who decides on the order of all writes of a variable."""
        return self._order(name)[0]

    def keepers(self, name: str, replicas: int) -> tuple[NodeId, ...]:
        """Who keeps all values of a variable: the owner, and so many others."""
        return tuple(self._order(name)[: replicas + 1])
