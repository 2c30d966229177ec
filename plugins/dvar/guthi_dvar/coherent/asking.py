"""How a member asks the owner of a variable: again and again, whoever is the owner then, until it loses patience.

On `dvar.operate` it sends an operation (see `operations`), on `dvar.obtain` it asks for a value, on `dvar.follow` for
the versions of all values, each with the view and the topic's own items. Who is not the owner answers with those who,
as it knows, run the plugin. This node may be the owner; then nothing is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from guthi import DeadlineExceeded, GuthiError, Incoming, MalformedMessage, NodeId, PeerLost, UnknownTopic
from guthi_dvar.bodies import Write, value_of
from guthi_dvar.coherent.messages import view_from_wire, view_to_wire
from guthi_dvar.coherent.operations import MOST_TOKEN_BYTES, Asked, Operation
from guthi_dvar.coherent.owner import Owner
from guthi_dvar.coherent.roles import Roles
from guthi_dvar.coherent.rounds import LATER
from guthi_dvar.coherent.shelf import Item, Shelf, zeros
from guthi_dvar.coherent.standing import Moved, Standing
from guthi_dvar.coherent.succession import Succession, Term
from guthi_dvar.coherent.witnesses import Witness, Witnesses
from guthi_dvar.errors import Unavailable, UnknownVariable
from guthi_dvar.holding import Holding
from guthi_dvar.patches import Patch
from guthi_dvar.records import is_name
from guthi_dvar.stamps import LIFE_BYTES, Stamp
from guthi_dvar.table import Copy

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Asker", "Split", "copy_of"]

OPERATE, OBTAIN, FOLLOW = "dvar.operate", "dvar.obtain", "dvar.follow"
TIMEOUT_S = 120.0
PAUSE_S = 0.05


class Split(Exception):
    """The variables of an operation have different owners now; it was tried in that epoch, or not at all."""

    def __init__(self, tried_in: int | None) -> None:
        self.tried_in = tried_in


class Asker:
    """The questions of one node, and the answers that it gives as an owner."""

    def __init__(
        self,
        node: Node,
        holding: Holding,
        shelf: Shelf,
        standing: Standing,
        succession: Succession,
        owner: Owner,
        witnesses: Witnesses,
    ) -> None:
        self._me = node.id
        self._node, self._holding, self._shelf = node, holding, shelf
        self._standing, self._succession, self._owner = standing, succession, owner
        self._witnesses = witnesses
        self._life, self._numbers = node.host.entropy(LIFE_BYTES), count(1)
        node.handle(OPERATE, self._operated)
        node.handle(OBTAIN, self._obtained)
        node.handle(FOLLOW, self._followed)

    # ---- asking

    def token(self) -> bytes:
        """One that no other operation has."""
        return bytes(self._me) + self._life + next(self._numbers).to_bytes(8)

    @property
    def _deadline(self) -> float:
        return self._holding.now + self._standing.patience_s

    async def operate(self, operation: Operation, token: bytes, tried_in: int | None = None) -> Any:
        """Have an operation done, once. Raises Unavailable, what the owner raises, and Split.

        `tried_in` is the epoch in which it was tried before.
        """
        names = operation.names

        async def ask(term: Term, owner: NodeId) -> Any:
            nonlocal tried_in
            if any(term.roles.owner(name) != owner for name in names[1:]):
                raise Split(tried_in)
            asked = Asked(token, tried_in, operation)
            tried_in = term.view.id.epoch if tried_in is None else tried_in
            if owner == self._me:
                return await self._owner.operate(term, asked)
            return await self._operated_by(term, owner, asked)

        try:
            return await self._insist(names[0], ask)
        except Unavailable as error:
            if tried_in is None:
                raise
            raise Unavailable(f"{error} What was to be written may have been, or be yet.") from None

    async def _operated_by(self, term: Term, owner: NodeId, asked: Asked) -> Any:
        """The owner's answer, or True as soon as witnesses have said that it has happened."""
        ticket = self.token()
        with self._witnesses.of(term.view.id, owner, ticket) as witnessed:
            request = self._request(term, owner, OPERATE, [ticket, *asked.to_wire()])
            answered = self._node.start(_outcome(request), "dvar write")
            try:
                await asyncio.wait((answered, witnessed), return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                answered.cancel()
                raise
        if witnessed.done():
            return True
        outcome = answered.result()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def by_owner(self, writes: Sequence[Write]) -> list[list[Write]]:
        """The writes, those of each owner together. Raises Unavailable."""
        if len({each.name for each in writes}) == 1:
            return [list(writes)]
        await self._standing.member(self._deadline)
        term = self._succession.term
        assert term is not None
        groups: dict[NodeId, list[Write]] = {}
        for each in writes:
            groups.setdefault(term.roles.owner(each.name), []).append(each)
        return [groups[owner] for owner in sorted(groups)]

    async def obtain(self, name: str, index: int) -> Copy:
        """The newest version of a value, which is kept here as long as that is so. Raises Unavailable, UnknownVariable,
        ValueUnavailable.
        """

        async def ask(term: Term, owner: NodeId) -> Copy:
            item = self._known(name)
            have = item.latest(index)
            stamp = have.stamp if have is not None else None
            if owner == self._me:
                answer = await self._owner.fetched(term, owner, name, index, stamp)
            else:
                body = [name, index, stamp.to_wire() if stamp is not None else None]
                answer = await self._request(term, owner, OBTAIN, body)
            copy = copy_of(item, index, have, answer, self._holding.now)
            if self._standing.is_in(term.view.id):
                self._holding.tell(self._shelf.arrived(name, index, copy))
            return copy

        copy: Copy = await self._insist(name, ask)
        return copy

    async def follow(self, name: str, *, follows: bool) -> list[tuple[int, Stamp]]:
        """The newest versions of all values; who follows is told of each that comes after. Raises as `obtain`."""

        async def ask(term: Term, owner: NodeId) -> list[tuple[int, Stamp]]:
            if owner == self._me:
                return await self._owner.followed(term, owner, name, follows=follows)
            answer = await self._request(term, owner, FOLLOW, [name, follows])
            if not isinstance(answer, list):
                raise MalformedMessage("who follows is told versions")
            return [_version(each) for each in answer]

        found: list[tuple[int, Stamp]] = await self._insist(name, ask)
        return found

    async def _insist(self, name: str, ask: Callable[[Term, NodeId], Awaitable[Any]]) -> Any:
        """Ask who is the owner now, until there is an answer."""
        deadline = self._deadline
        while True:
            await self._standing.member(deadline)
            term = self._succession.term
            assert term is not None
            try:
                async with asyncio.timeout_at(deadline):
                    return await ask(term, term.roles.owner(name))
            except (Moved, PeerLost, UnknownTopic, DeadlineExceeded):
                pass
            except TimeoutError:
                raise Unavailable(
                    f"{self._node.name} got no answer from the owner of {name!r} in time; the members may be about to "
                    "agree that one of them is gone: try again, or look at the network."
                ) from None
            await self._pause(deadline)

    async def _pause(self, deadline: float) -> None:
        """A moment, or until the view is another one."""
        try:
            await self._standing.news(min(self._holding.now + PAUSE_S, deadline))
        except Unavailable:
            if self._holding.now >= deadline:
                raise

    async def _request(self, term: Term, owner: NodeId, topic: str, body: list[Any]) -> Any:
        """The owner's answer; raises Moved where it is not in that view, or not the owner."""
        async with self._standing.during(term.view.id):
            answer = await self._node.request(owner, topic, [view_to_wire(term.view.id), *body], timeout_s=TIMEOUT_S)
        match answer:
            case ["done", outcome]:
                return outcome
            case ["elsewhere", list(among)] if among and all(isinstance(each, bytes) for each in among):
                if not term.claimed.is_set():
                    term.roles = Roles(NodeId(each) for each in among)
                raise Moved
            case str():
                raise Moved
        raise MalformedMessage("an owner answers what is done, or where to ask")

    def _known(self, name: str) -> Item:
        item = self._shelf.item(name)
        if item is None:
            raise UnknownVariable(f"there is no variable {name!r:.80} any more")
        return item

    # ---- answering

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
        if not asked.operation.names:
            raise MalformedMessage("an operation is on a variable")
        return self._there(view, asked.operation.names, lambda term: self._owner.operate(term, asked, witness))

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


async def _outcome(work: Awaitable[Any]) -> Any:
    """What came of it; it may be that nobody waits for that any more."""
    try:
        return await work
    except (GuthiError, Moved) as error:
        return error


def copy_of(item: Item, index: int, have: Copy | None, answer: object, now: float) -> Copy:
    """What was answered to who has that copy; raises MalformedMessage, ValueUnavailable."""
    declaration = item.variable.declaration
    if declaration is None:
        raise UnknownVariable(f"there is no variable {item.variable.name!r:.80} any more")
    match answer:
        case ["same", stamp] if have is not None and Stamp.from_wire(stamp) == have.stamp:
            return Copy(have.stamp, have.value, now, have.steps)
        case ["zeros", stamp]:
            empty = zeros(item.variable, index)
            if empty is not None:
                return Copy(Stamp.from_wire(stamp), empty.value, now)
        case ["value", stamp, value]:
            return Copy(Stamp.from_wire(stamp), value_of(declaration, index, value), now)
        case ["patches", stamp, list(patches)] if have is not None and declaration.grid is not None:
            changed = have.value
            for patch in patches:
                changed = Patch.from_wire(patch).apply(changed)
            return Copy(Stamp.from_wire(stamp), changed, now)
    raise MalformedMessage("a value is obtained whole, as patches, as zeros, or is the same")


def _version(wire: object) -> tuple[int, Stamp]:
    match wire:
        case [int(index), stamp] if type(index) is int:
            return index, Stamp.from_wire(stamp)
    raise MalformedMessage("a version is told with the number of its value")
