"""How the owner of a variable answers members that ask it (see `asking`); who is not the owner says who might be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from guthi import Incoming, MalformedMessage, NodeId
from guthi_dvar.coherent.asking import FOLLOW, OBTAIN, OPERATE
from guthi_dvar.coherent.messages import view_from_wire
from guthi_dvar.coherent.operations import MOST_TOKEN_BYTES, Asked
from guthi_dvar.coherent.owner import Owner
from guthi_dvar.coherent.rounds import LATER
from guthi_dvar.coherent.standing import Moved, Standing
from guthi_dvar.coherent.succession import Succession
from guthi_dvar.coherent.terms import Term
from guthi_dvar.coherent.witnesses import Witness
from guthi_dvar.holding import Holding
from guthi_dvar.records import is_name
from guthi_dvar.stamps import Stamp

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Answerer"]


class Answerer:
    """The answers that one node gives as an owner."""

    def __init__(self, node: Node, holding: Holding, standing: Standing, succession: Succession, owner: Owner) -> None:
        self._me = node.id
        self._holding, self._standing, self._succession, self._owner = holding, standing, succession, owner
        node.handle(OPERATE, self._operated)
        node.handle(OBTAIN, self._obtained)
        node.handle(FOLLOW, self._followed)

    def _term(self, view_wire: object) -> Term | None:
        """The term of a message, if this node is in it now."""
        view_id = view_from_wire(view_wire)
        return self._succession.begin() if self._standing.is_in(view_id) else None

    async def _there(self, view_wire: object, names: Iterable[str], answer: Callable[[Term], Awaitable[Any]]) -> Any:
        """Answer as an owner in that view, when this node is in it."""
        view_id = view_from_wire(view_wire)
        try:
            if not await self._standing.reached(view_id, self._holding.now + self._standing.views.lease_s):
                return LATER
            term = self._succession.begin()
            if not term.claimed.is_set():
                await self._succession.claimed(term)
            if any(term.roles.owner(name) != self._me for name in names):
                return ["elsewhere", [bytes(id) for id in term.roles.among]]
            return ["done", await answer(term)]
        except Moved:
            return LATER

    def _operated(self, incoming: Incoming) -> Any:
        match incoming.value:
            case [view, bytes(ticket), *rest] if 0 < len(ticket) <= MOST_TOKEN_BYTES:
                asked, witness = Asked.from_wire(rest), Witness(incoming.peer, ticket)
            case _:
                raise MalformedMessage("an operation is asked for in a view, under a ticket")
        names = asked.operation.names
        if not names:
            raise MalformedMessage("an operation is on a variable")
        term = self._term(view)
        if term is not None and term.claimed.is_set() and all(term.roles.owner(name) == self._me for name in names):
            return self._done(self._owner.begin(term, asked, witness))  # it begins before this is a task
        return self._there(view, names, lambda term: self._owner.operate(term, asked, witness))

    async def _done(self, begun: asyncio.Task[Any]) -> Any:
        try:
            return ["done", await self._owner.outcome(begun)]
        except Moved:
            return LATER

    def _obtained(self, incoming: Incoming) -> Any:
        match incoming.value:
            case [view, str(name), int(index), have_wire] if is_name(name):
                have = Stamp.from_wire(have_wire) if have_wire is not None else None
            case _:
                raise MalformedMessage("a value is obtained by a view, a name, which value, and the version there is")
        term, peer = self._term(view), incoming.peer
        if term is not None:
            answer = self._owner.fetched_at_once(term, peer, name, index, have)
            if answer is not None:
                return ["done", answer]
        return self._there(view, [name], lambda term: self._owner.fetched(term, peer, name, index, have))

    def _followed(self, incoming: Incoming) -> Any:
        match incoming.value:
            case [view, str(name), bool(follows)] if is_name(name):
                return self._there(view, [name], lambda term: self._versions(term, incoming.peer, name, follows))
        raise MalformedMessage("a variable is followed by a view, its name, and whether to go on")

    async def _versions(self, term: Term, peer: NodeId, name: str, follows: bool) -> list[Any]:
        found = await self._owner.followed(term, peer, name, follows=follows)
        return [[index, stamp.to_wire()] for index, stamp in found]
