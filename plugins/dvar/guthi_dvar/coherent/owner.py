"""What the owner of a variable does: one operation after the other, each of them known to all before it counts.

A write takes one round (see `telling`): when all who keep the variable or have a copy of it have answered, nobody reads
the old version any more and all keepers have the new one. If this node is still certain of its view then, the write has
happened, and it answers the writer.

Who does not answer is waited for until it is left out of the view, which is when its lease has run out. Then the term
is over, and so is all that was under way in it: the next owner finds what has become of it, and the writer asks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from guthi import GuthiError, MalformedMessage, NodeId
from guthi_dvar.bodies import Write, size_of, value_of
from guthi_dvar.coherent.checking import Checker
from guthi_dvar.coherent.ledger import Ledger, Untraceable
from guthi_dvar.coherent.messages import version, view_to_wire
from guthi_dvar.coherent.operations import Asked, Compare, Create, Delete, Operation, Put
from guthi_dvar.coherent.recovery import Recovered
from guthi_dvar.coherent.rounds import Rounds
from guthi_dvar.coherent.shelf import Item, Shelf
from guthi_dvar.coherent.standing import Moved, Standing
from guthi_dvar.coherent.succession import Office, Succession, Term
from guthi_dvar.coherent.telling import Teller
from guthi_dvar.coherent.witnesses import Witness, Witnesses
from guthi_dvar.errors import Unavailable, UnknownVariable, VariableExists
from guthi_dvar.holding import Holding
from guthi_dvar.patches import since
from guthi_dvar.records import Declaration, Record
from guthi_dvar.stamps import Stamp
from guthi_dvar.table import Copy

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["DROP", "Owner"]

DROP = "dvar.drop"
BIRTHS_AN_EPOCH = 1 << 24  # what is created in a later epoch is newer than whatever was left unfinished in one before


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
        self._standing, self._rounds, self._succession = standing, rounds, succession
        self._checker = Checker(holding, shelf)
        self._teller = Teller(node, holding, shelf, standing, rounds, witnesses)

    async def operate(self, term: Term, asked: Asked, witness: Witness | None = None) -> Any:
        """Do what somebody asks for, unless it has been done: True, or for a comparison whether it has written.

        With a `witness` another node, which has asked for it, is told by all whom it concerns.

        Raises Moved, and what is wrong with the operation. It goes on when its caller is cancelled.
        """
        return await self.outcome(self.begin(term, asked, witness))

    def begin(self, term: Term, asked: Asked, witness: Witness | None = None) -> asyncio.Task[Any]:
        """The same; `outcome` tells what has come of it."""
        return self._node.start(self._outcome(self._run(term, asked, witness)), "dvar operation")

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
            return await self._create(term, asked.token, asked.tried_in, operation)
        async with self._held(term, operation.names) as offices:
            try:
                return await self._decide(term, asked, operation, offices, witness)
            except Untraceable:
                raise Unavailable(
                    "the owner failed while the write was under way, and nobody can tell whether it was made; "
                    "read the variable to see"
                ) from None

    @asynccontextmanager
    async def _held(self, term: Term, names: Sequence[str]) -> AsyncIterator[dict[str, Office]]:
        """The offices of variables, while no other operation on them is under way. Raises Moved, UnknownVariable."""
        self._standing.use()
        while True:
            offices = {name: await self._office(term, name) for name in sorted(names)}
            taken: list[asyncio.Lock] = []
            try:
                for office in offices.values():
                    await office.lock.acquire()
                    taken.append(office.lock)
                if all(term.offices.get(name) is office for name, office in offices.items()):
                    await self._teller.finish(term, offices)
                    yield offices
                    return
            finally:
                for lock in taken:
                    lock.release()

    async def _office(self, term: Term, name: str) -> Office:
        office = await self._succession.office(term, name)
        if office is None or self._shelf.item(name) is None:
            raise UnknownVariable(f"there is no variable {name!r:.80}")
        return office

    async def _decide(
        self,
        term: Term,
        asked: Asked,
        operation: Operation,
        offices: Mapping[str, Office],
        witness: Witness | None,
    ) -> bool:
        if isinstance(operation, Delete):
            return await self._delete(term, operation.name)
        todo = {name for name in offices if not self._checker.item(name).ledger.has(asked.token, asked.tried_in)}
        if isinstance(operation, Compare):
            if not todo:
                return True
            if not self._checker.is_as_expected(operation):
                await self._standing.stays_certain(term.view.id, self._deadline())
                return False
            operation = Put([Write(operation.name, 0, operation.value)], operation.fence)
        assert isinstance(operation, Put)
        writes = [self._checker.checked(each) for each in operation.writes if each.name in todo]
        self._checker.check_fence(todo, operation.fence)
        self._checker.see_to_room(self._shelf.growth(each.name, each.index, each.change) for each in writes)
        for each in writes:
            prepared = self._checker.prepared(term.view.id.epoch, asked.token, each)
            kept, events = self._shelf.prepared(prepared, self._holding.now)
            assert kept
            self._holding.tell(events)
        fences = {operation.fence.lock: operation.fence.number} if operation.fence is not None else {}
        for name in sorted(todo):
            self._shelf.note(name, asked.token, term.view.id.epoch, fences)
            offices[name].notes.append((asked.token, fences))
        await self._teller.finish(term, offices, witness)
        return True

    def _deadline(self) -> float:
        return self._holding.now + self._standing.patience_s

    # ---- creating and deleting

    async def _create(self, term: Term, token: bytes, tried_in: int | None, create: Create) -> bool:
        before = term.offices.get(create.name)
        if before is not None:
            await self._succession.office(term, create.name)
            is_there = self._shelf.item(create.name) is not None and not before.is_orphan
            if is_there and self._checker.item(create.name).ledger.has(token, None):
                return True
        else:
            is_there = self._holding.table.get(create.name) is not None
        if is_there:
            raise VariableExists(
                f"there is a variable {create.name!r} already; delete it first, or choose another name"
            )
        values = {index: value_of(create.declaration, index, value) for index, value in sorted(create.values.items())}
        self._checker.see_to_room((1, size_of(value)) for value in values.values())
        record = self._holding.declare(create.name, create.declaration, term.view.id.epoch * BIRTHS_AN_EPOCH)
        office = term.offices[create.name] = Office(self._first(term, token, record, values))
        await self._appoint(term, create.name, create.declaration, office, values)
        await self._standing.stays_certain(term.view.id, self._deadline())
        return True

    def _first(self, term: Term, token: bytes, record: Record, values: Mapping[int, Any]) -> Recovered:
        stamp = version(1, NodeId(token[: NodeId.SIZE]), term.view.id.epoch)
        newest = dict.fromkeys(values, stamp)
        ledger = Ledger()
        ledger.done(token, term.view.id.epoch)
        return Recovered(record, False, newest, {index: [self._me] for index in values}, ledger, {}, frozenset())

    async def _appoint(
        self, term: Term, name: str, declaration: Declaration, office: Office, values: Mapping[int, Any]
    ) -> None:
        assert office.plan is not None
        keepers = term.roles.keepers(name, declaration.replicas)
        office.keepers = tuple(id for id in keepers if id != self._me)
        for index, stamp in office.plan.newest.items():
            self._shelf.hand(name, index, stamp, values[index], self._holding.now)
        await self._succession.open(term, [name])

    async def _delete(self, term: Term, name: str) -> bool:
        record = self._holding.delete(name, term.view.id.epoch * BIRTHS_AN_EPOCH)
        body = [view_to_wire(term.view.id), record.to_wire()]
        others = [id for id in term.roles.among if id != self._me]
        await self._rounds.ask(term.view.id, DROP, [(id, body) for id in others])
        await self._standing.stays_certain(term.view.id, self._deadline())
        term.offices.pop(name, None)
        return True

    # ---- fetches

    def fetched_at_once(self, term: Term, to: NodeId, name: str, index: int, have: Stamp | None) -> list[Any] | None:
        """The answer to a fetch, where nothing has to be waited for."""
        office, item = term.offices.get(name), self._shelf.get(name)
        self._standing.use()
        if office is None or item is None or not office.is_open or office.lock.locked() or item.pending:
            return None
        if not self._standing.is_certain(term.view.id):
            return None
        return self._answer(office, item, to, index, have)

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


def answer_of(copy: Copy, have: Stamp | None, *, is_written: bool) -> list[Any]:
    """What is said of a version to who has another one."""
    if copy.stamp == have:
        return ["same", copy.stamp.to_wire()]
    if not is_written:
        return ["zeros", copy.stamp.to_wire()]
    patches = since(copy.steps, have) if have is not None else None
    if patches is not None:
        return ["patches", copy.stamp.to_wire(), [each.to_wire() for each in patches]]
    return ["value", copy.stamp.to_wire(), copy.value]
