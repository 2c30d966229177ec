"""What the owner of a variable does: one operation after the other, each of them known to all before it counts.

A write takes one round (see `telling`): when all who keep the variable or have a copy of it have answered, nobody reads
the old version any more and all keepers have the new one. If this node is still certain of its view then, the write has
happened, and it answers the writer. Where nothing else is under way, that round begins in the very turn of the loop in
which the write is asked for, and whatever can wait comes after it.

Who does not answer is waited for until it is left out of the view, which is when its lease has run out. Then the term
is over, and so is all that was under way in it: the next owner finds what has become of it, and the writer asks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from guthi import GuthiError, MalformedMessage, NodeId
from guthi_dvar.bodies import Write
from guthi_dvar.coherent.checking import Checker
from guthi_dvar.coherent.copies import answer_of
from guthi_dvar.coherent.founding import Founder
from guthi_dvar.coherent.items import Item
from guthi_dvar.coherent.ledger import Untraceable
from guthi_dvar.coherent.operations import Asked, Compare, Create, Delete, Put
from guthi_dvar.coherent.rounds import Rounds
from guthi_dvar.coherent.shelf import Shelf
from guthi_dvar.coherent.standing import Moved, Standing
from guthi_dvar.coherent.succession import Succession
from guthi_dvar.coherent.telling import Teller
from guthi_dvar.coherent.terms import Office, Term
from guthi_dvar.coherent.turns import Turns
from guthi_dvar.coherent.witnesses import Witness, Witnesses
from guthi_dvar.errors import Unavailable, UnknownVariable
from guthi_dvar.holding import Holding
from guthi_dvar.stamps import Stamp
from guthi_dvar.table import Event

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Owner"]


class Owner:
    """The owner's part of one node; of which variables it is one, the succession says."""

    def __init__(
        self,
        node: Node,
        holding: Holding,
        shelf: Shelf,
        standing: Standing,
        rounds: Rounds,
        succession: Succession,
        witnesses: Witnesses,
    ) -> None:
        self._me = node.id
        self._node, self._holding, self._shelf = node, holding, shelf
        self._standing, self._succession = standing, succession
        self._checker = Checker(holding, shelf)
        self._founder = Founder(node, holding, shelf, standing, rounds, succession, self._checker)
        self._teller = Teller(node, holding, shelf, standing, rounds, witnesses)

    def operate(self, term: Term, asked: Asked, witness: Witness | None = None) -> Coroutine[Any, Any, Any]:
        """Do what somebody asks for, unless it has been done: True, or for a comparison whether it has written.

        With a `witness` another node, which has asked for it, is told by all whom it concerns.

        It begins now, and goes on when its caller is cancelled. Awaited it raises Moved, and what is wrong with the
        operation.
        """
        return self.outcome(self.begin(term, asked, witness))

    def begin(self, term: Term, asked: Asked, witness: Witness | None = None) -> asyncio.Task[Any]:
        """The same; `outcome` tells what has come of it."""
        work = self._at_once(term, asked, witness) or self._run(term, asked, witness)
        return self._node.start(self._outcome(work), "dvar operation")

    async def outcome(self, begun: asyncio.Task[Any]) -> Any:
        """As `operate`."""
        outcome = await asyncio.shield(begun)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _outcome(self, work: Awaitable[Any]) -> Any:
        try:
            return await work
        except (GuthiError, Moved) as error:
            return error

    async def _run(self, term: Term, asked: Asked, witness: Witness | None) -> bool:
        operation = asked.operation
        if isinstance(operation, Create):
            await self._succession.claimed(term)
            return await self._founder.create(term, asked.token, operation)
        async with self._held(term, operation.names) as offices:
            if isinstance(operation, Delete):
                return await self._founder.delete(term, operation.name)
            return await self._decide(term, asked, operation, offices, witness)

    def _at_once(self, term: Term, asked: Asked, witness: Witness | None) -> Coroutine[Any, Any, bool] | None:
        """What is left to do of a write that is on its way now; None if something has to be waited for before."""
        operation = asked.operation
        if isinstance(operation, (Create, Delete)):
            return None
        offices = self._free(term, operation.names)
        if offices is None or not all(office.turns.take_at_once() for office in offices.values()):
            return None
        try:
            rest = self._decide(term, asked, operation, offices, witness)
        except Exception as error:  # noqa: BLE001 - it is for who awaits the outcome
            rest = _raised(error)
        return _left([office.turns for office in offices.values()], rest)

    def _free(self, term: Term, names: Sequence[str]) -> dict[str, Office] | None:
        """The offices of variables, if all are open, nothing is under way on them, and nothing was left undone."""
        self._standing.use()
        if not self._standing.is_in(term.view.id):
            return None
        offices: dict[str, Office] = {}
        for name in names:
            office, item = term.offices.get(name), self._shelf.get(name)
            if office is None or item is None or not office.is_open or office.turns.is_taken or item.pending:
                return None
            offices[name] = office
        return offices

    @asynccontextmanager
    async def _held(self, term: Term, names: Sequence[str]) -> AsyncIterator[dict[str, Office]]:
        """The offices of variables, while no other operation on them is under way. Raises Moved, UnknownVariable."""
        self._standing.use()
        while True:
            offices = {name: await self._office(term, name) for name in sorted(names)}
            taken: list[Turns] = []
            try:
                for office in offices.values():
                    await office.turns.take()
                    taken.append(office.turns)
                if all(term.offices.get(name) is office for name, office in offices.items()):
                    await self._teller.finish(term, offices)
                    yield offices
                    return
            finally:
                for turns in taken:
                    turns.leave()

    async def _office(self, term: Term, name: str) -> Office:
        office = await self._succession.office(term, name)
        if office is None or self._shelf.item(name) is None:
            raise UnknownVariable(f"there is no variable {name!r:.80}")
        return office

    def _decide(
        self,
        term: Term,
        asked: Asked,
        operation: Put | Compare,
        offices: Mapping[str, Office],
        witness: Witness | None,
    ) -> Coroutine[Any, Any, bool]:
        """Prepare here what is to be written, and tell all whom it concerns; awaited, it happens.

        Raises what is wrong with the operation.
        """
        todo = self._todo(asked, offices)
        if isinstance(operation, Compare):
            if todo and not self._checker.is_as_expected(operation):
                return self._refused(term)
            operation = Put([Write(operation.name, 0, operation.value)], operation.fence)
        writes = [self._checker.checked(each) for each in operation.writes if each.name in todo]
        if operation.fence is not None:
            self._checker.check_fence(todo, operation.fence)
        self._checker.see_to_room([self._shelf.growth(each.name, each.index, each.change) for each in writes])
        events: list[Event] = []
        try:
            for each in writes:
                prepared = self._checker.prepared(term.view.id.epoch, asked.token, each)
                kept, of_each = self._shelf.prepared(prepared, self._holding.now)
                assert kept
                events += of_each
            fences = {operation.fence.lock: operation.fence.number} if operation.fence is not None else {}
            for name in sorted(todo):
                self._shelf.note(name, asked.token, term.view.id.epoch, fences)
                offices[name].notes.append((asked.token, fences))
            told = self._teller.finish(term, offices, witness)
        except BaseException:
            self._holding.tell(events)
            raise
        return self._written(events, told)

    def _todo(self, asked: Asked, offices: Mapping[str, Office]) -> set[str]:
        """The variables on which it has not been done; raises Unavailable."""
        try:
            return {name for name in offices if not self._checker.item(name).ledger.has(asked.token, asked.tried_in)}
        except Untraceable:
            raise Unavailable(
                "the owner failed while the write was under way, and nobody can tell whether it was made; "
                "read the variable to see."
            ) from None

    async def _refused(self, term: Term) -> bool:
        await self._standing.stays_certain(term.view.id, self._deadline())
        return False

    async def _written(self, events: Sequence[Event], told: Awaitable[None]) -> bool:
        self._holding.tell(events)  # those on this node can hear of it while it is on its way to the others
        await told
        return True

    def _deadline(self) -> float:
        return self._holding.now + self._standing.patience_s

    # ---- fetches

    def fetched_at_once(self, term: Term, to: NodeId, name: str, index: int, have: Stamp | None) -> list[Any] | None:
        """The answer to a fetch, where nothing has to be waited for."""
        offices = self._free(term, [name])
        if offices is None or not self._standing.is_certain(term.view.id):
            return None
        return self._answer(offices[name], self._checker.item(name), to, index, have)

    async def fetched(self, term: Term, to: NodeId, name: str, index: int, have: Stamp | None) -> list[Any]:
        """The newest version, for a member that has it from now on; raises Moved, UnknownVariable."""
        async with self._held(term, [name]) as offices:
            await self._standing.stays_certain(term.view.id, self._deadline())
            return self._answer(offices[name], self._checker.item(name), to, index, have)

    def _answer(self, office: Office, item: Item, to: NodeId, index: int, have: Stamp | None) -> list[Any]:
        if item.variable.declaration is None or not 0 <= index < item.variable.declaration.count:
            raise MalformedMessage("a value is fetched that the variable has not")
        office.holders.setdefault(index, set()).add(to)
        return answer_of(self._checker.latest(item, index), have, is_written=item.latest(index) is not None)

    async def followed(self, term: Term, by: NodeId, name: str, *, follows: bool) -> list[tuple[int, Stamp]]:
        """The newest versions of all values; who follows is told of each that comes after."""
        async with self._held(term, [name]) as offices:
            await self._standing.stays_certain(term.view.id, self._deadline())
            if follows:
                offices[name].followers.add(by)
            return [(index, stamp) for index, stamp, _ in self._checker.item(name).stamps()]


async def _left(turns: Sequence[Turns], rest: Awaitable[bool]) -> bool:
    """Do the rest, and let the next ones have their turns."""
    try:
        return await rest
    finally:
        for each in turns:
            each.leave()


async def _raised(error: Exception) -> bool:
    raise error
