"""The global function store: which node has which functions, as each of them announced it.

Each node announces the whole of its own part, with a revision that grows; an older announcement that arrives late is
ignored. So the store of every node converges on the same picture without anybody being in charge of it (mission A3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from guthi.api import NodeId
from guthi.errors import MalformedMessage
from guthi_rpc.functions import Description

__all__ = ["Announcement", "Directory"]

MAX_FUNCTIONS = 65_536


@dataclass(frozen=True, slots=True)
class Announcement:
    """One node's part of the store; `workers` is how many calls it runs at a time."""

    revision: int
    workers: int
    functions: tuple[Description, ...]

    def to_wire(self) -> list[Any]:
        """The positional list that `from_wire` reads."""
        return [self.revision, self.workers, [each.to_wire() for each in self.functions]]

    @classmethod
    def from_wire(cls, wire: object) -> Announcement:
        """Read what a peer says; raises MalformedMessage."""
        match wire:
            case [int(revision), int(workers), list(functions)] if workers > 0 and len(functions) <= MAX_FUNCTIONS:
                return cls(revision, workers, tuple(Description.from_wire(each) for each in functions))
        raise MalformedMessage("an announcement is a revision, a number of workers, and a list of functions")


class Directory:
    """The store as one node sees it."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._announced: dict[NodeId, Announcement] = {}
        self._providers: dict[str, dict[NodeId, Description]] = {}

    def announced(self, node: NodeId, announcement: Announcement) -> None:
        """A node said what it has."""
        old = self._announced.get(node)
        if old is not None and old.revision >= announcement.revision:
            return
        self._remove(node)
        self._announced[node] = announcement
        for function in announcement.functions:
            self._providers.setdefault(function.name, {})[node] = function
        self._on_change()

    def forget(self, node: NodeId) -> None:
        """A node is gone, and what it had with it."""
        if node in self._announced:
            self._remove(node)
            self._on_change()

    def _remove(self, node: NodeId) -> None:
        announcement = self._announced.pop(node, None)
        for function in announcement.functions if announcement is not None else ():
            providers = self._providers[function.name]
            del providers[node]
            if not providers:
                del self._providers[function.name]

    def has(self, node: NodeId, name: str) -> bool:
        """True if the node has a function of that name."""
        return node in self._providers.get(name, ())

    def workers(self, node: NodeId) -> int:
        """How many calls the node runs at a time."""
        announcement = self._announced.get(node)
        return announcement.workers if announcement is not None else 1

    def providers(self, name: str) -> list[NodeId]:
        """The nodes that have a function of that name, sorted."""
        return sorted(self._providers.get(name, ()))

    def names(self) -> list[str]:
        """The names of all functions, sorted."""
        return sorted(self._providers)

    def descriptions(self, name: str) -> list[tuple[NodeId, Description]]:
        """What each provider says of the function, sorted by node."""
        return sorted(self._providers.get(name, {}).items())

    def missing(self, nodes: Iterable[NodeId]) -> list[NodeId]:
        """Those of the nodes that have not announced anything yet."""
        return [node for node in nodes if node not in self._announced]
