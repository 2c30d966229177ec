"""Decides who takes part: which members can keep values, and where the copies of one value belong."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, TypeAlias

from guthi import Member, MemberState, NodeId, Role
from guthi_dvar.places import places, ranked
from guthi_dvar.table import Variable

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Peers", "has_dvar"]

PLACES, OTHERS = 0, 1
MOST_ORDERS = 65_536

Key: TypeAlias = tuple[int, str, int]


def has_dvar(member: Member) -> bool:
    """Whether a member knows variables; a client does too."""
    return any(name == "dvar" for name, _ in member.plugins)


class Peers:
    """The nodes that keep values: present, no clients, and with the plugin. This node may be one."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._orders: dict[Key, tuple[Collection[NodeId], list[NodeId]]] = {}
        self.is_keeper = node.me.role is Role.PEER

    @property
    def others(self) -> list[NodeId]:
        """All others, sorted."""
        return [each.id for each in self._node.members if each.role is Role.PEER and has_dvar(each)]

    def is_there(self, node: NodeId) -> bool:
        """Whether a node keeps values, this one included."""
        return node in self.others or (self.is_keeper and node == self._node.id)

    def places(self, variable: Variable, index: int) -> list[NodeId]:
        """Where copies of the newest version belong, this node included; the source first. None with a suspect."""
        declaration = variable.declaration
        replicas = declaration.replicas if declaration is not None else 0
        source = variable.newest(index).node
        if not replicas and self.is_keeper and source == self._node.id:
            return [source]  # whoever else is there
        suspects = self._suspects
        sound = [each for each in self.others if each not in suspects]
        present = [*sound, self._node.id] if self.is_keeper else sound
        order = self._order((PLACES, variable.name, index), present)
        return places(order, source, replicas)

    def to_ask(self, variable: Variable, index: int) -> list[NodeId]:
        """Who may have the newest version: its source first, then the others by their rank, sound ones first."""
        source = variable.newest(index).node
        order = self.ranked(variable.name, index)
        first = [source] if source in order else []
        return first + [each for each in order if each != source]

    def ranked(self, name: str, index: int = 0) -> list[NodeId]:
        """The others by their rank; those that are suspected come last."""
        suspects = self._suspects
        order = self._order((OTHERS, name, index), self.others)
        return sorted(order, key=lambda each: each in suspects)

    def _order(self, key: Key, nodes: Collection[NodeId]) -> list[NodeId]:
        """These nodes by their rank, which is remembered while they are the same: hashing takes long."""
        known = self._orders.get(key)
        if known is None or known[0] != nodes:
            if len(self._orders) >= MOST_ORDERS:
                self._orders.clear()
            known = self._orders[key] = (nodes, ranked(key[1], key[2], nodes))
        return known[1]

    @property
    def _suspects(self) -> set[NodeId]:
        return {each.id for each in self._node.members if each.state is MemberState.SUSPECT}

    def name_of(self, node: NodeId) -> str:
        """What people call it."""
        return self._node.name if node == self._node.id else self._node.network.name_of(node)
