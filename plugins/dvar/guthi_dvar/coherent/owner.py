"""What the owner of a variable does: one operation after the other, each of them known to all before it counts.

A write takes one round. The owner tells the keepers the new version and all who have a copy that theirs is old
(`prepared`, see `shelf`); when each has answered, nobody reads the old version any more and all keepers have the new
one. If this node is still certain of its view then, the write has happened: it answers the writer, and tells the
keepers, who wait for no more than that, that they may read it (a cast).

Who does not answer is waited for until it is left out of the view, which is when its lease has run out. Then the term
is over, and so is all that was under way in it: the next owner finds what has become of it, and the writer asks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from guthi import GuthiError, MalformedMessage, NodeClosed, NodeId, PeerLost
from guthi_dvar.bodies import Change, Write, size_of, value_of
from guthi_dvar.coherence import AtVersion
from guthi_dvar.coherent.ledger import Ledger, Untraceable
from guthi_dvar.coherent.messages import Prepared, version, view_to_wire
from guthi_dvar.coherent.operations import Asked, Compare, Create, Delete, Operation, Put
from guthi_dvar.coherent.recovery import Recovered
from guthi_dvar.coherent.rounds import Rounds
from guthi_dvar.coherent.shelf import Item, Shelf, zeros
from guthi_dvar.coherent.standing import Moved, Standing
from guthi_dvar.coherent.succession import MOST_BYTES_A_MESSAGE, Office, Succession, Term
from guthi_dvar.errors import Unavailable, UnknownVariable, ValueUnavailable, VariableExists
from guthi_dvar.holding import Holding
from guthi_dvar.patches import Patch, since
from guthi_dvar.records import Declaration, Record
from guthi_dvar.same import is_same
from guthi_dvar.stamps import Stamp
from guthi_dvar.table import Copy
from guthi_mutex import Fence, StaleFence

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["COMMIT", "DROP", "PREPARE", "Owner"]

PREPARE, COMMIT, DROP = "dvar.prepare", "dvar.commit", "dvar.drop"
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
    ) -> None:
        self._me = node.id
        self._node, self._holding, self._shelf = node, holding, shelf
        self._standing, self._rounds, self._succession = standing, rounds, succession

    async def operate(self, term: Term, asked: Asked) -> Any:
        """Do what somebody asks for, unless it has been done: True, or for a comparison whether it has written.

        Raises Moved, and what is wrong with the operation. It goes on when its caller is cancelled.
        """
        outcome = await asyncio.shield(self._node.start(self._outcome(self._run(term, asked)), "dvar operation"))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _outcome(self, work: Awaitable[Any]) -> Any:
        try:
            return await work
        except (GuthiError, Moved) as error:
            return error

    async def _run(self, term: Term, asked: Asked) -> bool:
        operation = asked.operation
        if isinstance(operation, Create):
            await self._succession.claimed(term)
            return await self._create(term, asked.token, asked.tried_in, operation)
        async with self._held(term, operation.names) as offices:
            try:
                return await self._decide(term, asked, operation, offices)
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
                    await self._finish(term, offices)
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

    async def _decide(self, term: Term, asked: Asked, operation: Operation, offices: Mapping[str, Office]) -> bool:
        if isinstance(operation, Delete):
            return await self._delete(term, operation.name)
        todo = {name for name in offices if not self._item(name).ledger.has(asked.token, asked.tried_in)}
        if isinstance(operation, Compare):
            if not todo:
                return True
            if not self._is_as_expected(operation):
                await self._standing.stays_certain(term.view.id, self._deadline())
                return False
            operation = Put([Write(operation.name, 0, operation.value)], operation.fence)
        assert isinstance(operation, Put)
        writes = [self._checked(each) for each in operation.writes if each.name in todo]
        self._check_fence(todo, operation.fence)
        self._see_to_room(self._shelf.growth(each.name, each.index, each.change) for each in writes)
        for each in writes:
            kept, events = self._shelf.prepared(self._prepared(term, asked.token, each), self._holding.now)
            assert kept
            self._holding.tell(events)
        fences = {operation.fence.lock: operation.fence.number} if operation.fence is not None else {}
        for name in sorted(todo):
            self._shelf.note(name, asked.token, term.view.id.epoch, fences)
            offices[name].notes.append((asked.token, fences))
        await self._finish(term, offices)
        return True

    def _item(self, name: str) -> Item:
        item = self._shelf.item(name)
        if item is None:
            raise UnknownVariable(f"there is no variable {name!r:.80} any more")
        return item

    def _deadline(self) -> float:
        return self._holding.now + self._standing.patience_s

    # ---- what is written

    def _checked(self, write: Write) -> Write:
        """The write, if it fits; raises MalformedMessage, ValueUnavailable for a part of a chunk that is lost."""
        item = self._item(write.name)
        declaration = item.variable.declaration
        if declaration is None or declaration.is_constant:
            raise MalformedMessage("a constant is not written")
        if not isinstance(write.change, Patch):
            return Write(write.name, write.index, value_of(declaration, write.index, write.change))
        if declaration.grid is None or not 0 <= write.index < declaration.count:
            raise MalformedMessage("a patch is of a chunk of an array")
        self._latest(item, write.index)
        return write

    def _latest(self, item: Item, index: int) -> Copy:
        """The newest version; raises ValueUnavailable."""
        copy = item.latest(index) or (zeros(item.variable, index) if not item.is_damaged else None)
        if copy is None:
            raise ValueUnavailable(
                f"all nodes that kept {item.variable.name!r} failed at once, and its value is lost; set a new one"
            )
        return copy

    def _see_to_room(self, growths: Iterable[tuple[int, int]]) -> None:
        """What an owner, unlike others, cannot leave to somebody else; raises TableFull."""
        found = list(growths)
        self._holding.see_to_room(sum(count for count, _ in found), sum(size_bytes for _, size_bytes in found))

    def _prepared(self, term: Term, token: bytes, write: Write) -> Prepared:
        item = self._item(write.name)
        newest = item.variable.newest(write.index)
        stamp = version(newest.number + 1, NodeId(token[: NodeId.SIZE]), term.view.id.epoch)
        base = self._latest(item, write.index).stamp if isinstance(write.change, Patch) else None
        return Prepared(write.name, item.variable.birth, write.index, stamp, write.change, base)

    def _is_as_expected(self, operation: Compare) -> bool:
        item = self._item(operation.name)
        declaration, latest = item.variable.declaration, self._latest(item, 0)
        if declaration is None or declaration.is_constant or declaration.grid is not None:
            raise MalformedMessage("what is compared is a variable that can be written")
        value_of(declaration, 0, operation.value)
        if isinstance(operation.expected, AtVersion):
            return latest.stamp == operation.expected.stamp
        return is_same(latest.value, value_of(declaration, 0, operation.expected.value))

    def _check_fence(self, names: Iterable[str], fence: Fence | None) -> None:
        for name in names if fence is not None else ():
            assert fence is not None
            newest = self._item(name).fences.get(fence.lock, 0)
            if fence.number < newest:
                raise StaleFence(
                    f"{name!r} was written under fence {newest} of the lock {fence.lock!r}, and this is {fence.number}"
                )

    # ---- the round

    async def _finish(self, term: Term, offices: Mapping[str, Office]) -> None:
        """Let all know of what is prepared here, and commit it. What an operation before left undone is done too."""
        pending = {name: dict(item.pending) for name in offices if (item := self._shelf.get(name)) and item.pending}
        if not pending:
            return
        lacking = await self._tell(term, offices, pending, whole=False)
        while lacking:
            lacking = await self._tell(term, {name: offices[name] for name in lacking}, lacking, whole=True)
        await self._standing.stays_certain(term.view.id, self._deadline())
        keepers: dict[NodeId, list[Any]] = {}
        for name, copies in pending.items():
            stamps = {index: copy.stamp for index, copy in copies.items()}
            self._holding.tell(self._shelf.committed(name, stamps))
            offices[name].notes.clear()
            offices[name].is_orphan = False
            for index in copies:
                offices[name].holders[index] = {self._me}
            for keeper in offices[name].keepers:
                keepers.setdefault(keeper, []).append([name, [[i, s.to_wire()] for i, s in sorted(stamps.items())]])
        for keeper, told in sorted(keepers.items()):
            with suppress(PeerLost, NodeClosed):  # it asks when it wants to read
                self._node.network.requests.cast(keeper, COMMIT, [view_to_wire(term.view.id), told])

    async def _tell(
        self, term: Term, offices: Mapping[str, Office], pending: Mapping[str, Mapping[int, Copy]], *, whole: bool
    ) -> dict[str, dict[int, Copy]]:
        """Prepare everybody; what some keeper could not apply, for it lacks what has changed.

        One that cannot even take it whole, for it lacks a class that is in it, keeps it no longer, and is told anew.
        """
        view = view_to_wire(term.view.id)
        bodies: list[tuple[NodeId, Any]] = []
        of_body: list[list[tuple[str, int]]] = []
        late_notes: list[tuple[NodeId, Any]] = []
        for to, prepared in sorted(self._by_member(offices, pending, whole=whole).items()):
            notes = [
                [name, token, dict(fences)]
                for name in pending
                if to in offices[name].keepers
                for token, fences in offices[name].notes
            ]
            batches = _batches(prepared)
            if len(batches) > 1 and notes:  # nobody may take a write for done of which a part has not arrived
                late_notes.append((to, [view, [], notes]))
                notes = []
            for batch in batches:
                bodies.append((to, [view, [each.to_wire() for each in batch], notes]))
                of_body.append([(each.name, each.index) for each in batch])
        answers = await self._rounds.ask(term.view.id, PREPARE, bodies, may_refuse=True)
        untaken = _untaken(offices, [to for to, _ in bodies], of_body, answers, whole=whole)
        for _, (_, _, notes) in late_notes:
            notes[:] = [note for note in notes if note[0] not in untaken]
        await self._rounds.ask(term.view.id, PREPARE, late_notes)
        return {name: {index: pending[name][index] for index in some} for name, some in untaken.items()}

    def _by_member(
        self, offices: Mapping[str, Office], pending: Mapping[str, Mapping[int, Copy]], *, whole: bool
    ) -> dict[NodeId, list[Prepared]]:
        told: dict[NodeId, list[Prepared]] = {}
        for name, copies in sorted(pending.items()):
            office, birth = offices[name], self._item(name).variable.birth
            for index, copy in sorted(copies.items()):
                step = copy.steps[-1] if copy.steps and copy.steps[-1].stamp == copy.stamp and not whole else None
                change: Change = step.patch if step is not None else copy.value
                full = Prepared(name, birth, index, copy.stamp, change, step.base if step is not None else None)
                old = Prepared(name, birth, index, copy.stamp, None, None)
                for keeper in office.keepers:
                    told.setdefault(keeper, []).append(full)
                readers = office.holders.get(index, set()) | office.followers
                for reader in sorted(readers - {self._me, *office.keepers}):
                    told.setdefault(reader, []).append(old)
        return told

    # ---- creating and deleting

    async def _create(self, term: Term, token: bytes, tried_in: int | None, create: Create) -> bool:
        before = term.offices.get(create.name)
        if before is not None:
            await self._succession.office(term, create.name)
            is_there = self._shelf.item(create.name) is not None and not before.is_orphan
            if is_there and self._item(create.name).ledger.has(token, None):
                return True
        else:
            is_there = self._holding.table.get(create.name) is not None
        if is_there:
            raise VariableExists(
                f"there is a variable {create.name!r} already; delete it first, or choose another name"
            )
        values = {index: value_of(create.declaration, index, value) for index, value in sorted(create.values.items())}
        self._see_to_room((1, size_of(value)) for value in values.values())
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
            return self._answer(offices[name], self._item(name), to, index, have)

    def _answer(self, office: Office, item: Item, to: NodeId, index: int, have: Stamp | None) -> list[Any]:
        if item.variable.declaration is None or not 0 <= index < item.variable.declaration.count:
            raise MalformedMessage("a value is fetched that the variable has not")
        office.holders.setdefault(index, set()).add(to)
        return answer_of(self._latest(item, index), have, is_written=item.latest(index) is not None)

    async def followed(self, term: Term, by: NodeId, name: str, *, follows: bool) -> list[tuple[int, Stamp]]:
        """The newest versions of all values; who follows is told of each that comes after."""
        async with self._held(term, [name]) as offices:
            await self._standing.stays_certain(term.view.id, self._deadline())
            if follows:
                offices[name].followers.add(by)
            return [(index, stamp) for index, stamp, _ in self._item(name).stamps()]


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


def _untaken(
    offices: Mapping[str, Office],
    to_whom: Sequence[NodeId],
    of_body: Sequence[Sequence[tuple[str, int]]],
    answers: Sequence[Any],
    *,
    whole: bool,
) -> dict[str, set[int]]:
    """What has to be told again; keepers that refused it whole are dismissed."""
    keepers = {name: office.keepers for name, office in offices.items()}
    untaken: dict[str, set[int]] = {}
    for to, keys, answer in zip(to_whom, of_body, answers, strict=True):
        is_refused = answer is None and any(to in keepers[name] for name, _ in keys)
        taken = [False] * len(keys) if is_refused else answer
        if not isinstance(taken, list) or len(taken) != len(keys):
            raise MalformedMessage("it is said of each value whether it is prepared")
        for (name, index), is_taken in zip(keys, taken, strict=True):
            if is_taken is True or not (is_refused or to in keepers[name]):
                continue
            untaken.setdefault(name, set()).add(index)
            if (whole or is_refused) and to in keepers[name]:
                offices[name].dismiss(to)
    return untaken


def _batches(prepared: Sequence[Prepared]) -> list[list[Prepared]]:
    """Messages that are not too long."""
    batches: list[list[Prepared]] = [[]]
    taken_bytes = 0
    for each in prepared:
        size_bytes = size_of(each.change) if each.change is not None else 0
        if batches[-1] and taken_bytes + size_bytes > MOST_BYTES_A_MESSAGE:
            batches.append([])
            taken_bytes = 0
        batches[-1].append(each)
        taken_bytes += size_bytes
    return batches
