"""What a member of a view does when the owner of a variable speaks to it: it hears owners of its own view only.

A message of a later view is kept waiting until this node is in that view; one of an earlier view is answered LATER, and
whoever sent it finds out. Each answer is a promise: what was prepared here, no read on this node gives the version
before any more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from guthi import Incoming, MalformedMessage, NodeId
from guthi_dvar.coherent.founding import DROP
from guthi_dvar.coherent.messages import Entry, Prepared, fences_from_wire, view_from_wire
from guthi_dvar.coherent.roles import Roles
from guthi_dvar.coherent.rounds import LATER
from guthi_dvar.coherent.shelf import Shelf
from guthi_dvar.coherent.standing import Standing
from guthi_dvar.coherent.succession import CLAIM, GIVE, HAND, SECURE, Succession
from guthi_dvar.coherent.telling import COMMIT, PREPARE
from guthi_dvar.coherent.witnesses import Witness, Witnesses
from guthi_dvar.errors import TableFull, Unavailable
from guthi_dvar.holding import Holding
from guthi_dvar.records import Record
from guthi_dvar.stamps import Stamp
from guthi_mutex import ViewId

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Hearer"]

MOST_NODES = 4096


class Hearer:
    """The handlers of one node."""

    def __init__(
        self,
        node: Node,
        holding: Holding,
        shelf: Shelf,
        standing: Standing,
        succession: Succession,
        witnesses: Witnesses,
    ) -> None:
        self._holding, self._shelf, self._standing, self._succession = holding, shelf, standing, succession
        self._witnesses = witnesses
        node.handle(CLAIM, self._in_its_view(self._claimed))
        node.handle(GIVE, self._in_its_view(self._given))
        node.handle(HAND, self._in_its_view(self._handed))
        node.handle(SECURE, self._in_its_view(self._secured))
        node.handle(PREPARE, self._in_its_view(self._prepared))
        node.handle(COMMIT, self._in_its_view(self._committed))
        node.handle(DROP, self._in_its_view(self._dropped))

    def _in_its_view(self, answer: Callable[[NodeId, ViewId, list[Any]], Any]) -> Callable[[Incoming], Any]:
        """A handler that answers at once where this node is in the view of the message."""

        def handler(incoming: Incoming) -> Any | Awaitable[Any]:
            match incoming.value:
                case [view, *rest]:
                    view_id = view_from_wire(view)
                case _:
                    raise MalformedMessage("what an owner says names its view first")
            if self._standing.is_in(view_id):
                return answer(incoming.peer, view_id, rest)
            return self._when_there(view_id, lambda: answer(incoming.peer, view_id, rest))

        return handler

    async def _when_there(self, view_id: ViewId, answer: Callable[[], Any]) -> Any:
        try:
            deadline = self._holding.now + self._standing.views.lease_s
            return answer() if await self._standing.reached(view_id, deadline) else LATER
        except Unavailable:
            return LATER

    # ---- a new view

    def _claimed(self, owner: NodeId, view_id: ViewId, rest: list[Any]) -> list[Any]:
        match rest:
            case [list(among)] if 0 < len(among) <= MOST_NODES and all(_is_id(each) for each in among):
                roles = Roles(NodeId(each) for each in among)
            case _:
                raise MalformedMessage("a claim names nodes")
        self._succession.begin()  # there are variables, and this node may own some
        mine = [item for item in self._shelf.items() if roles.owner(item.variable.name) == owner]
        is_known = (
            item for item in mine if item.secured_in or item.pending or item.variable.name in self._shelf.followed
        )
        return [self._shelf.report(item).to_wire() for item in is_known]

    def _given(self, owner: NodeId, view_id: ViewId, rest: list[Any]) -> list[Any]:
        match rest:
            case [str(name), int(index), stamp]:
                wanted, item = Stamp.from_wire(stamp), self._shelf.get(name)
            case _:
                raise MalformedMessage("a value is asked for by a name, which value, and its version")
        copy = item.latest(index) if item is not None else None
        if copy is None or copy.stamp != wanted:
            raise MalformedMessage("a version is asked for that was not reported")
        return [copy.value]

    def _handed(self, owner: NodeId, view_id: ViewId, rest: list[Any]) -> bool:
        match rest:
            case [record, list(values)]:
                read = Record.from_wire(record)
            case _:
                raise MalformedMessage("values are handed over with a record")
        self._holding.merge([read])
        variable = self._holding.table.get(read.name)
        if variable is not None and variable.birth == read.birth:
            given = [_value(each) for each in values]
            if not self._has_room([(read.name, index, value) for index, _, value in given]):
                return False
            for index, stamp, value in given:
                self._shelf.hand(read.name, index, stamp, value, self._holding.now)
        return True

    def _secured(self, owner: NodeId, view_id: ViewId, rest: list[Any]) -> list[Any]:
        match rest:
            case [list(entries)]:
                return [self._opened(view_id, Entry.from_wire(each)) for each in entries]
        raise MalformedMessage("what is opened is a list of entries")

    def _opened(self, view_id: ViewId, entry: Entry) -> list[Any] | bool:
        """True; what is known of a later variable of that name; or False, if this keeper lacks something."""
        self._holding.merge([entry.record])
        known = self._holding.table.known(entry.record.name)
        if known is None:  # the table is full
            return True
        if known.birth != entry.record.birth:
            return known.record(self._holding.now).to_wire()
        item = self._shelf.get(entry.record.name)
        if item is not None and item.is_open:  # once a view is enough, and what was written since is newer
            return True
        if entry.is_keeper and self._shelf.lacking(entry):
            return False
        self._holding.tell(self._shelf.secure(entry, view_id.epoch))
        return True

    def _has_room(self, changes: Sequence[tuple[str, int, Any]]) -> bool:
        """Whether this node can keep that; who cannot is no keeper any more."""
        growths = [self._shelf.growth(*each) for each in changes]
        try:
            self._holding.see_to_room(sum(count for count, _ in growths), sum(size_bytes for _, size_bytes in growths))
        except TableFull:
            return False
        return True

    # ---- writes

    def _prepared(self, owner: NodeId, view_id: ViewId, rest: list[Any]) -> list[bool]:
        match rest:
            case [list(prepared), list(notes), witness_wire]:
                found = [Prepared.from_wire(each) for each in prepared]
                noted = [_note(each) for each in notes]
                witness = Witness.from_wire(witness_wire)
            case _:
                raise MalformedMessage("what is prepared is a list of versions, notes, and who is to hear of it")
        kept = []
        for each in found:
            if each.change is not None and not self._has_room([(each.name, each.index, each.change)]):
                kept.append(False)
                continue
            is_kept, events = self._shelf.prepared(each, self._holding.now)
            self._holding.tell(events)
            kept.append(is_kept)
        lacking = {each.name for each, is_kept in zip(found, kept, strict=True) if not is_kept}
        for name, token, fences in noted:
            if name in lacking:  # it is not done here yet
                continue
            self._shelf.note(name, token, view_id.epoch, fences)
        if witness is not None and all(kept):
            self._witnesses.testify(witness, view_id, owner)
        return kept

    def _committed(self, owner: NodeId, view_id: ViewId, rest: list[Any]) -> None:
        match rest:
            case [list(told)]:
                for name, stamps in map(_versions, told):
                    self._holding.tell(self._shelf.committed(name, stamps))
                return
        raise MalformedMessage("what is committed is a list of names and versions")

    def _dropped(self, owner: NodeId, view_id: ViewId, rest: list[Any]) -> bool:
        match rest:
            case [record]:
                self._holding.merge([Record.from_wire(record)])
                return True
        raise MalformedMessage("what is dropped is a record")


def _is_id(wire: object) -> bool:
    return isinstance(wire, bytes) and len(wire) == NodeId.SIZE


def _value(wire: object) -> tuple[int, Stamp, Any]:
    match wire:
        case [int(index), stamp, value] if type(index) is int:
            return index, Stamp.from_wire(stamp), value
    raise MalformedMessage("a value is handed over with its number and its version")


def _note(wire: object) -> tuple[str, bytes, dict[str, int]]:
    match wire:
        case [str(name), bytes(token), fences]:
            return name, token, fences_from_wire(fences)
    raise MalformedMessage("a note is a name, a token and fences")


def _versions(wire: object) -> tuple[str, dict[int, Stamp]]:
    match wire:
        case [str(name), list(versions)] if all(isinstance(each, list) and len(each) == 2 for each in versions):
            return name, {index: Stamp.from_wire(stamp) for index, stamp in versions if type(index) is int}
    raise MalformedMessage("versions are told with the name of their variable")
