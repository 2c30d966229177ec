"""How the owner of a variable makes it, and makes an end of it: the members hear of it in one round, as of a write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from guthi import NodeId
from guthi_dvar.bodies import size_of, value_of
from guthi_dvar.coherent.checking import Checker
from guthi_dvar.coherent.ledger import Ledger
from guthi_dvar.coherent.messages import version, view_to_wire
from guthi_dvar.coherent.operations import Create
from guthi_dvar.coherent.recovery import Recovered
from guthi_dvar.coherent.rounds import Rounds
from guthi_dvar.coherent.shelf import Shelf
from guthi_dvar.coherent.standing import Standing
from guthi_dvar.coherent.succession import Succession
from guthi_dvar.coherent.terms import Office, Term
from guthi_dvar.errors import VariableExists
from guthi_dvar.holding import Holding
from guthi_dvar.records import Declaration, Record

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["DROP", "Founder"]

DROP = "dvar.drop"
BIRTHS_AN_EPOCH = 1 << 24  # what is created in a later epoch is newer than whatever was left unfinished in one before


class Founder:
    """Creates and deletes what one node owns."""

    def __init__(
        self,
        node: Node,
        holding: Holding,
        shelf: Shelf,
        standing: Standing,
        rounds: Rounds,
        succession: Succession,
        checker: Checker,
    ) -> None:
        self._me = node.id
        self._holding, self._shelf, self._standing = holding, shelf, standing
        self._rounds, self._succession, self._checker = rounds, succession, checker

    async def create(self, term: Term, token: bytes, create: Create) -> bool:
        """Make a variable and open it; True, also where it was made under that token before.

        Raises VariableExists, TableFull, Moved, Unavailable.
        """
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
        await self._standing.stays_certain(term.view.id, self._holding.now + self._standing.patience_s)
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

    async def delete(self, term: Term, name: str) -> bool:
        """Make an end of a variable, when nothing is under way on it; raises Moved, Unavailable."""
        record = self._holding.delete(name, term.view.id.epoch * BIRTHS_AN_EPOCH)
        body = [view_to_wire(term.view.id), record.to_wire()]
        others = [id for id in term.roles.among if id != self._me]
        await self._rounds.ask(term.view.id, DROP, [(id, body) for id in others])
        await self._standing.stays_certain(term.view.id, self._holding.now + self._standing.patience_s)
        term.offices.pop(name, None)
        return True
