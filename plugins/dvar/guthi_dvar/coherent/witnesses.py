"""Lets a writer that is not the owner know half a round trip sooner that its write has happened.

    writer --operation--> owner --prepare--> keepers, holders --answer--> owner --done--> writer     two round trips
                          owner --called---------------------------------------> writer
                                             keepers, holders --witnessed------> writer              one and a half

A write has happened when all whom the owner tells have answered in its view, and the owner is certain of that view at
a moment after it had the new version itself. Nothing in that needs the answers to be counted by the owner. So each that
answers says so to the writer as well, and the owner says to it who they are, when it sends to them and is certain. From
then on the new version is in the report of whoever can tell a later owner of the old one (see `recovery`).

It is no more than a hint that is sooner there: the answer of the owner, who also goes on to commit, serves as well, and
is waited for where somebody could not take the change, or it takes several messages. Each asking has a ticket of its
own; a token may stand for several operations that were one, and an answer to one of them says nothing of the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from guthi import Incoming, MalformedMessage, NodeClosed, NodeId, PeerLost
from guthi_dvar.coherent.messages import view_from_wire, view_to_wire
from guthi_dvar.coherent.operations import MOST_TOKEN_BYTES
from guthi_mutex import ViewId

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Witness", "Witnesses"]

CALLED, WITNESSED = "dvar.called", "dvar.witnessed"
MOST_NODES = 4096


class Witness(NamedTuple):
    """Who is to be told, and of which asking."""

    writer: NodeId
    ticket: bytes

    def to_wire(self) -> list[Any]:
        """What `from_wire` reads."""
        return [bytes(self.writer), self.ticket]

    @classmethod
    def from_wire(cls, wire: object) -> Witness | None:
        """Read what an owner says; raises MalformedMessage."""
        match wire:
            case None:
                return None
            case [bytes(writer), bytes(ticket)] if len(writer) == NodeId.SIZE and len(ticket) <= MOST_TOKEN_BYTES:
                return cls(NodeId(writer), ticket)
        raise MalformedMessage("a witness is a writer and its ticket")


class _Key(NamedTuple):
    view_id: ViewId
    owner: NodeId
    ticket: bytes


@dataclass(slots=True, eq=False)
class _Hearing:
    """What a writer has heard of its operation."""

    is_done: asyncio.Future[None]
    called: frozenset[NodeId] | None = None
    heard: set[NodeId] = field(default_factory=set)

    def settle(self) -> None:
        if self.called is not None and self.called <= self.heard and not self.is_done.done():
            self.is_done.set_result(None)


class Witnesses:
    """What one node says, and is told, of writes."""

    def __init__(self, node: Node) -> None:
        self._node, self._loop = node, asyncio.get_running_loop()
        self._hearings: dict[_Key, _Hearing] = {}
        node.handle(CALLED, self._called)
        node.handle(WITNESSED, self._witnessed)

    @contextmanager
    def of(self, view_id: ViewId, owner: NodeId, ticket: bytes) -> Iterator[asyncio.Future[None]]:
        """Within this context: the future is done when the operation that this owner was asked for has happened."""
        key, hearing = _Key(view_id, owner, ticket), _Hearing(self._loop.create_future())
        self._hearings[key] = hearing
        try:
            yield hearing.is_done
        finally:
            if self._hearings.get(key) is hearing:
                del self._hearings[key]

    def call(self, witness: Witness, view_id: ViewId, told: Sequence[NodeId]) -> None:
        """By the owner: these are told."""
        self._cast(witness.writer, CALLED, [view_to_wire(view_id), witness.ticket, [bytes(each) for each in told]])

    def testify(self, witness: Witness, view_id: ViewId, owner: NodeId) -> None:
        """By one who was told: it is prepared here."""
        if witness.writer == self._node.id:
            self._heard(self._node.id, _Key(view_id, owner, witness.ticket))
        else:
            self._cast(witness.writer, WITNESSED, [view_to_wire(view_id), witness.ticket, bytes(owner)])

    def _cast(self, to: NodeId, topic: str, body: list[Any]) -> None:
        with suppress(PeerLost, NodeClosed):  # it hears of it from the owner
            self._node.network.requests.cast(to, topic, body)

    def _called(self, incoming: Incoming) -> None:
        match incoming.value:
            case [view, bytes(ticket), list(told)] if 0 < len(told) <= MOST_NODES:
                hearing = self._hearings.get(_Key(view_from_wire(view), incoming.peer, ticket))
            case _:
                raise MalformedMessage("an owner calls witnesses in a view, of a ticket")
        if hearing is not None:
            hearing.called = frozenset(told)
            hearing.settle()

    def _witnessed(self, incoming: Incoming) -> None:
        match incoming.value:
            case [view, bytes(ticket), bytes(owner)] if len(owner) == NodeId.SIZE:
                self._heard(incoming.peer, _Key(view_from_wire(view), NodeId(owner), ticket))
            case _:
                raise MalformedMessage("a witness names a view, a ticket and an owner")

    def _heard(self, who: NodeId, key: _Key) -> None:
        hearing = self._hearings.get(key)
        if hearing is not None:
            hearing.heard.add(who)
            hearing.settle()
