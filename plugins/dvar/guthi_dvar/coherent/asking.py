"""How a member asks the owner of a variable: again and again, whoever is the owner then, until it loses patience.

On `dvar.operate` it sends an operation (see `operations`), on `dvar.obtain` it asks for a value, on `dvar.follow` for
the versions of all values, each with the view and the topic's own items. Who is not the owner answers with those who,
as it knows, run the plugin. This node may be the owner; then nothing is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from guthi import DeadlineExceeded, MalformedMessage, NodeId, PeerLost, UnknownTopic
from guthi_dvar.bodies import Write
from guthi_dvar.coherent.copies import copy_of
from guthi_dvar.coherent.items import Item
from guthi_dvar.coherent.messages import view_to_wire
from guthi_dvar.coherent.operations import Asked, Operation
from guthi_dvar.coherent.owner import Owner
from guthi_dvar.coherent.questions import Questions
from guthi_dvar.coherent.roles import Roles
from guthi_dvar.coherent.shelf import Shelf
from guthi_dvar.coherent.standing import Moved, Standing
from guthi_dvar.coherent.succession import Succession
from guthi_dvar.coherent.terms import Term
from guthi_dvar.coherent.witnesses import Witnesses
from guthi_dvar.errors import Unavailable, UnknownVariable
from guthi_dvar.holding import Holding
from guthi_dvar.stamps import LIFE_BYTES, Stamp
from guthi_dvar.table import Copy

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Asker", "Split"]

OPERATE, OBTAIN, FOLLOW = "dvar.operate", "dvar.obtain", "dvar.follow"
TIMEOUT_S = 120.0
PAUSE_S = 0.05


class Split(Exception):
    """The variables of an operation have different owners now; it was tried in that epoch, or not at all."""

    def __init__(self, tried_in: int | None) -> None:
        self.tried_in = tried_in


class Asker:
    """The questions of one node."""

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

        def ask(term: Term, owner: NodeId, deadline: float) -> Awaitable[Any]:
            nonlocal tried_in
            if any(term.roles.owner(name) != owner for name in names[1:]):
                raise Split(tried_in)
            asked = Asked(token, tried_in, operation)
            tried_in = term.view.id.epoch if tried_in is None else tried_in
            if owner == self._me:
                return self._own(self._owner.begin(term, asked), deadline)
            return self._operated_by(term, owner, asked, deadline)

        try:
            return await self._insist(names[0], ask)
        except Unavailable as error:
            if tried_in is None:
                raise
            raise Unavailable(f"{error} What was to be written may have been, or be yet.") from None

    async def _own(self, begun: asyncio.Task[Any], deadline: float) -> Any:
        await asyncio.sleep(0)  # what was told leaves now; how to wait for the outcome is seen to after that
        async with asyncio.timeout_at(deadline):
            return await self._owner.outcome(begun)

    def _operated_by(self, term: Term, owner: NodeId, asked: Asked, deadline: float) -> Coroutine[Any, Any, Any]:
        """Ask the owner now; awaited, its answer, or True as soon as witnesses have said that it has happened."""
        ticket = self.token()
        body = [view_to_wire(term.view.id), ticket, *asked.to_wire()]
        questions = Questions(self._node, OPERATE, [(owner, body)], TIMEOUT_S)
        return self._answer(term, owner, ticket, body, questions, deadline)

    async def _answer(
        self, term: Term, owner: NodeId, ticket: bytes, body: list[Any], questions: Questions, deadline: float
    ) -> Any:
        with questions as (answered,), self._witnesses.of(term.view.id, owner, ticket) as witnessed:
            await asyncio.sleep(0)  # as in `_own`
            async with asyncio.timeout_at(deadline), self._standing.during(term.view.id):
                if answered is None:
                    answer = await self._node.request(owner, OPERATE, body, timeout_s=TIMEOUT_S)
                else:
                    await asyncio.wait((answered, witnessed), return_when=asyncio.FIRST_COMPLETED)
                    if witnessed.done():
                        return True
                    answer = answered.result()
        return self._outcome(term, answer)

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

        async def ask(term: Term, owner: NodeId, deadline: float) -> Copy:
            item = self._known(name)
            have = item.latest(index)
            stamp = have.stamp if have is not None else None
            async with asyncio.timeout_at(deadline):
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

        async def ask(term: Term, owner: NodeId, deadline: float) -> list[tuple[int, Stamp]]:
            async with asyncio.timeout_at(deadline):
                if owner == self._me:
                    return await self._owner.followed(term, owner, name, follows=follows)
                answer = await self._request(term, owner, FOLLOW, [name, follows])
            if not isinstance(answer, list):
                raise MalformedMessage("who follows is told versions")
            return [_version(each) for each in answer]

        found: list[tuple[int, Stamp]] = await self._insist(name, ask)
        return found

    async def _insist(self, name: str, ask: Callable[[Term, NodeId, float], Awaitable[Any]]) -> Any:
        """Ask who is the owner now, until there is an answer; `ask` is given the deadline, and raises TimeoutError."""
        deadline = self._deadline
        while True:
            if self._standing.view is None:
                await self._standing.member(deadline)
            self._standing.use()
            term = self._succession.term
            assert term is not None
            try:
                return await ask(term, term.roles.owner(name), deadline)
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
        return self._outcome(term, answer)

    def _outcome(self, term: Term, answer: object) -> Any:
        match answer:
            case [str("done"), outcome]:
                return outcome
            case [str("elsewhere"), list(among)] if among and all(isinstance(each, bytes) for each in among):
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


def _version(wire: object) -> tuple[int, Stamp]:
    match wire:
        case [int(index), stamp] if type(index) is int:
            return index, Stamp.from_wire(stamp)
    raise MalformedMessage("a version is told with the number of its value")
