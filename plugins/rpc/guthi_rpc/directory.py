"""The global function store: which node has which functions, as each of them announced it.

Each node announces the whole of its own part, with a revision that grows; an older announcement that arrives late is
ignored. A node that was restarted has a new life, and what it says replaces what it said in the former one. So the
store of every node converges on the same picture without anybody being in charge of it (mission A3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from guthi.api import NodeId
from guthi.errors import MalformedMessage
from guthi_rpc.functions import Description

__all__ = ["LIFE_BYTES", "MAX_FUNCTIONS", "MAX_WORKERS", "Announcement", "Directory"]

LIFE_BYTES = 8
MAX_FUNCTIONS = 65_536
MAX_WORKERS = 65_536


@dataclass(frozen=True, slots=True)
class Announcement:
    """One node's part of the store: `life` differs from start to start, `workers` is how many calls it runs at a time.

    On the wire it is a list: life, revision, workers, functions.
    """

    life: bytes
    revision: int
    workers: int
    functions: tuple[Description, ...]

    def to_wire(self) -> list[Any]:
        """The positional list that `from_wire` reads."""
        return [self.life, self.revision, self.workers, [each.to_wire() for each in self.functions]]

    @classmethod
    def from_wire(cls, wire: object) -> Announcement:
        """Read what a peer says; raises MalformedMessage."""
        match wire:
            case [bytes(life), int(revision), int(workers), list(parts)] if (
                len(life) == LIFE_BYTES and 0 < workers <= MAX_WORKERS and len(parts) <= MAX_FUNCTIONS
            ):
                functions = tuple(Description.from_wire(each) for each in parts)
            case _:
                raise MalformedMessage("an announcement is a life, a revision, a number of workers and functions")
        if len({each.name for each in functions}) < len(functions):
            raise MalformedMessage("a function is announced twice by one node")
        return cls(life, revision, workers, functions)

    def replaces(self, other: Announcement) -> bool:
        """Whether this is news to somebody who has heard `other`."""
        return self.life != other.life or self.revision > other.revision


class Directory:
    """The store as one node sees it; `on_new_life` hears of the life that a node had before it announced another."""

    def __init__(
        self, on_change: Callable[[], None], on_new_life: Callable[[NodeId, bytes], None] = lambda _node, _life: None
    ) -> None:
        self._on_change, self._on_new_life = on_change, on_new_life
        self._announced: dict[NodeId, Announcement] = {}
        self._functions: dict[NodeId, dict[str, Description]] = {}
        self._providers: dict[str, dict[NodeId, Description]] = {}

    def announced(self, node: NodeId, announcement: Announcement) -> None:
        """A node said what it has."""
        old = self._announced.get(node)
        if old is not None and not announcement.replaces(old):
            return
        if old is not None and old.life != announcement.life:
            self._on_new_life(node, old.life)
        self._remove(node)
        self._announced[node] = announcement
        for function in announcement.functions:
            self._add(node, function)
        self._on_change()

    def gained(self, node: NodeId, function: Description) -> None:
        """A node has one function more than it said."""
        self._add(node, function)
        self._on_change()

    def lost(self, node: NodeId, name: str) -> None:
        """A node has one function less than it said."""
        self._drop(node, name)
        del self._functions[node][name]
        self._on_change()

    def forget(self, node: NodeId) -> None:
        """A node is gone, and what it had with it."""
        if node in self._announced:
            self._remove(node)
            self._on_change()

    def _add(self, node: NodeId, function: Description) -> None:
        self._functions.setdefault(node, {})[function.name] = function
        self._providers.setdefault(function.name, {})[node] = function

    def _remove(self, node: NodeId) -> None:
        self._announced.pop(node, None)
        for name in self._functions.pop(node, ()):
            self._drop(node, name)

    def _drop(self, node: NodeId, name: str) -> None:
        providers = self._providers[name]
        del providers[node]
        if not providers:
            del self._providers[name]

    def knows(self, node: NodeId) -> bool:
        """True if the node has said what it has."""
        return node in self._announced

    def life(self, node: NodeId) -> bytes:
        """The life in which the node announced itself; empty if it has not, or is gone."""
        announcement = self._announced.get(node)
        return announcement.life if announcement is not None else b""

    def has(self, node: NodeId, name: str) -> bool:
        """True if the node has a function of that name."""
        return node in self._providers.get(name, ())

    def functions(self, node: NodeId) -> tuple[Description, ...]:
        """What the node has."""
        return tuple(self._functions.get(node, {}).values())

    def workers(self, node: NodeId) -> int:
        """How many calls the node runs at a time."""
        announcement = self._announced.get(node)
        return announcement.workers if announcement is not None else 1

    def nodes(self) -> list[NodeId]:
        """The nodes that have any function, sorted."""
        return sorted(node for node, functions in self._functions.items() if functions)

    def providers(self, name: str) -> list[NodeId]:
        """The nodes that have a function of that name, sorted."""
        return sorted(self._providers.get(name, ()))

    def names(self) -> list[str]:
        """The names of all functions, sorted."""
        return sorted(self._providers)

    def descriptions(self, name: str) -> list[tuple[NodeId, Description]]:
        """What each provider says of the function, sorted by node."""
        return sorted(self._providers.get(name, {}).items(), key=lambda entry: entry[0])

    def missing(self, nodes: Iterable[NodeId]) -> list[NodeId]:
        """Those of the nodes that have not announced anything yet."""
        return [node for node in nodes if node not in self._announced]
