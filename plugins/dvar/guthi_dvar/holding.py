"""The table of one node at work: every change of it is told to those on this node that want to know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from guthi.calmlog import CalmLog
from guthi_dvar.coherent.shelf import Shelf
from guthi_dvar.errors import TableFull, UnknownVariable
from guthi_dvar.patches import Patch, Step
from guthi_dvar.peers import Peers
from guthi_dvar.records import Declaration, Record
from guthi_dvar.room import Room
from guthi_dvar.stamps import LIFE_BYTES, Stamp
from guthi_dvar.table import Arrived, Event, Limits, Outdated, Renewed, Table, Vanished, Variable

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Holding"]


class Holding:
    """The table, the clock, and the listeners, who are plain functions."""

    def __init__(self, node: Node, peers: Peers, limits: Limits, room: Room, log: CalmLog) -> None:
        self._node, self._peers, self._log, self.room = node, peers, log, room
        self._loop = asyncio.get_running_loop()
        self.table = Table(node.id, node.host.entropy(LIFE_BYTES), limits)
        self.shelf = Shelf(self.table)
        self.listeners: list[Callable[[Event], None]] = [self._notify]

    @property
    def now(self) -> float:
        """Loop time in seconds."""
        return self._loop.time()

    def variable(self, name: str) -> Variable:
        """The variable of that name; raises UnknownVariable."""
        variable = self.table.get(name)
        if variable is None:
            raise UnknownVariable(f"there is no variable {name!r}")
        return variable

    def declare(self, name: str, declaration: Declaration, least: int = 0) -> Record:
        """Create a variable, with a birth of at least that number, and return its record; raises TableFull."""
        self.tell(self.table.declare(name, declaration, least))
        return self.variable(name).record(self.now)

    def delete(self, name: str, least: int = 0) -> Record:
        """Delete a variable, and return what others are told of that; raises UnknownVariable."""
        self.tell(self.table.delete(name, self.now, least))
        deleted = self.table.known(name)
        assert deleted is not None
        return deleted.record(self.now)

    def write(self, name: str, index: int, value: Any, patch: Patch | None = None) -> Stamp:
        """Make the next version here; raises UnknownVariable, TableFull."""
        self.tell(self.table.write(name, index, value, self.now, patch))
        return self.variable(name).newest(index)

    def arrived(self, variable: Variable, index: int, stamp: Stamp, value: Any, step: Step | None = None) -> None:
        """A value came from another node. Raises TableFull."""
        self.tell(self.table.arrived(variable, index, stamp, value, self.now, step))

    def merge(self, records: Iterable[Record]) -> None:
        """Take in what another node tells; where there is no room for it, that is logged."""
        for record in records:
            try:
                self.tell(self.table.merge(record, self.now))
            except TableFull as error:
                self._log.warning("news of the variable %r are dropped: %s", record.name, error)

    def tell(self, events: Iterable[Event]) -> None:
        """The table has changed: let all on this node know that want to."""
        for event in events:
            if isinstance(event, Arrived):
                self.room.taken((event.name, event.index), event.value)
            elif isinstance(event, Vanished):
                self.room.left(event.name)
                self.shelf.forget(event.name)
            for listener in tuple(self.listeners):
                listener(event)
        self._make_room()

    def see_to_room(self, count: int, size_bytes: int) -> None:
        """Make room for so many more values and bytes of coherent variables; raises TableFull."""
        self.table.see_to_values(count)
        if size_bytes > 0 and not self.room.has_room(size_bytes):
            self._make_room(size_bytes)
            if not self.room.has_room(size_bytes):
                raise TableFull(
                    f"{self._node.name} owns or keeps the variable, and has no room for {size_bytes} bytes more; "
                    "raise most_bytes in [plugins.dvar] on all nodes, or delete something"
                )

    def _make_room(self, coming_bytes: int = 0) -> None:
        for name, index in self.room.to_drop(self.is_needed, coming_bytes):
            variable = self.table.get(name)
            if variable is not None and variable.is_told:
                self.table.drop(variable, index)
            elif variable is not None:
                self.shelf.drop(name, index)

    def is_needed(self, key: tuple[str, int]) -> bool:
        """Whether a copy belongs here, and is not only kept because somebody has read it here."""
        variable = self.table.get(key[0])
        if variable is not None and not variable.is_told:
            item = self.shelf.get(key[0])
            return item is not None and item.is_keeper
        return variable is not None and self._node.id in self._peers.places(variable, key[1])

    def _notify(self, event: Event) -> None:
        if isinstance(event, (Renewed, Outdated)):  # a union would be made anew each time
            hook = "variable_changed" if isinstance(event, Renewed) else "variable_invalidated"
            stamp = event.stamp
            self._node.hooks.notify(hook, name=event.name, index=event.index, version=stamp.number, writer=stamp.node)
