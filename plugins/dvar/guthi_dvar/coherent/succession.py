"""How the owners of a new view take over: nothing is read or written before they know what all members have.

| round      | the owner sends                                      | and is answered                                |
|------------|------------------------------------------------------|------------------------------------------------|
| claim      | to each member: who, as it thinks, runs the plugin   | a report of each variable that the owner has   |
| give, hand | what it, or a keeper, lacks                          | the value; done                                |
| secure     | to keepers, then to all others: the newest versions  | done, or that the variable was deleted         |

Who answers a claim is in the view, and hears of nothing in the one before any more: so what is in the reports is all
that has happened (see `recovery`). The keepers are told first: where anybody knows that a variable was opened in this
epoch, there is one who has all of it. Who runs the plugin is a fact that all owners find alike, for they ask all; only
so have they the same roles. A keeper that cannot read a value, for want of a class, keeps the variable no longer; an
owner that cannot says so to all who ask for that one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from guthi import MalformedMessage, NodeId
from guthi_dvar.bodies import size_of, value_of
from guthi_dvar.coherent.messages import Entry, Report, view_to_wire
from guthi_dvar.coherent.recovery import Recovered, recovered
from guthi_dvar.coherent.roles import Roles
from guthi_dvar.coherent.rounds import Rounds
from guthi_dvar.coherent.shelf import Shelf
from guthi_dvar.coherent.standing import Moved, Standing
from guthi_dvar.coherent.terms import Office, Term
from guthi_dvar.errors import ValueUnavailable
from guthi_dvar.holding import Holding
from guthi_dvar.peers import has_dvar
from guthi_dvar.records import Record
from guthi_dvar.stamps import Stamp
from guthi_mutex import View

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["CLAIM", "GIVE", "HAND", "SECURE", "Succession"]

CLAIM, GIVE, HAND, SECURE = "dvar.claim", "dvar.give", "dvar.hand", "dvar.secure"
MOST_BYTES_A_MESSAGE = 8 << 20
AT_ONCE = 8


class Succession:
    """Takes over, in each new view, what this node owns in it."""

    def __init__(self, node: Node, holding: Holding, shelf: Shelf, standing: Standing, rounds: Rounds) -> None:
        self._me = node.id
        self._node, self._holding, self._shelf = node, holding, shelf
        self._standing, self._rounds = standing, rounds
        self._term: Term | None = None
        standing.moves.append(self._moved)

    def _moved(self) -> None:
        self._shelf.close()
        self._term = None
        if self._standing.view is not None and self._shelf.known():
            self.begin()

    @property
    def term(self) -> Term | None:
        """The present one; None while this node is in no view."""
        view = self._standing.view
        if view is None:
            return None
        if self._term is None:
            self._term = Term(view, Roles(self._presumed(view)))
        return self._term

    def begin(self) -> Term:
        """The present term, in which claims have been made at least; raises Moved where there is none."""
        term = self.term
        if term is None:
            raise Moved
        if term.task is None:
            term.task = self._node.start(self._take_over(term), "dvar succession")
        return term

    def _presumed(self, view: View) -> list[NodeId]:
        """Who runs the plugin, as far as the membership says."""
        there = {each.id for each in self._node.members if has_dvar(each)}
        return [id for id in view.members if id in there or id == self._me]

    async def office(self, term: Term, name: str) -> Office | None:
        """The office of a variable that this node owns, when it is open; None if there is no such variable.

        Raises Moved, ValueUnavailable.
        """
        office = term.offices.get(name)
        if office is not None and office.is_open and self._standing.is_in(term.view.id):
            return office
        await self.claimed(term)
        async with self._standing.during(term.view.id):
            office = term.offices.get(name)
            if office is not None:
                await office.opened.wait()
                if office.defect:
                    raise ValueUnavailable(f"its owner cannot take {name!r} over: {office.defect}")
            return office

    async def claimed(self, term: Term) -> None:
        """Wait until all members have answered the claims of this node; raises Moved."""
        async with self._standing.during(term.view.id):
            self.begin()
            await term.claimed.wait()

    # ---- claiming

    async def _take_over(self, term: Term) -> None:
        try:
            reports = await self._claim(term)
            for name, of_all in sorted(reports.items()):
                plan = recovered(of_all)
                office = term.offices[name] = Office(plan, is_orphan=not any(r.secured_in for r in of_all.values()))
                self._assign(term, name, office, of_all)
            term.claimed.set()
            await self._open_all(term, reports)
        except Moved:
            return

    async def _claim(self, term: Term) -> dict[str, dict[NodeId, Report]]:
        others = [id for id in term.view.members if id != self._me]
        while True:
            among = term.roles.among
            body = [view_to_wire(term.view.id), [bytes(id) for id in among]]
            without = [id for id in others if id not in among]
            answers = await self._rounds.ask(term.view.id, CLAIM, [(id, body) for id in others], without=without)
            found = {id: answer for id, answer in zip(others, answers, strict=True) if answer is not None}
            if tuple(sorted([self._me, *found])) == among:
                return self._sorted_out(term, found)
            term.roles = Roles([self._me, *found])

    def _sorted_out(self, term: Term, answers: Mapping[NodeId, Any]) -> dict[str, dict[NodeId, Report]]:
        """The reports by variable, those of this node with them."""
        reports: dict[str, dict[NodeId, Report]] = {}
        for id, answer in answers.items():
            if not isinstance(answer, list):
                raise MalformedMessage("a claim is answered by reports")
            for each in map(Report.from_wire, answer):
                self._holding.merge([each.record])
                reports.setdefault(each.record.name, {})[id] = each
        for item in self._shelf.known():
            if term.roles.owner(item.variable.name) == self._me:
                reports.setdefault(item.variable.name, {})[self._me] = self._shelf.report(item)
        return {name: found for name, found in reports.items() if self._shelf.item(name) is not None}

    def _assign(self, term: Term, name: str, office: Office, reports: Mapping[NodeId, Report]) -> None:
        plan = office.plan
        assert plan is not None and plan.record.declaration is not None
        keepers = term.roles.keepers(name, plan.record.declaration.replicas)
        office.keepers = tuple(id for id in keepers if id != self._me)
        office.followers = {*plan.followers} - {self._me}
        for id, report in reports.items():
            for index, stamp, _ in report.stamps:
                if plan.newest.get(index) == stamp:
                    office.holders.setdefault(index, set()).add(id)

    # ---- opening

    async def _open_all(self, term: Term, reports: Mapping[str, Mapping[NodeId, Report]]) -> None:
        """Those at once for which no value has to travel, the others a few at a time."""
        simple = [name for name, office in term.offices.items() if name in reports and not self._lacks(office)]
        await self.open(term, simple, reports)
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(name: str) -> None:
            async with gate:
                try:
                    await self.open(term, [name], reports)
                except MalformedMessage as error:
                    term.offices[name].defect = str(error)
                    term.offices[name].opened.set()

        await asyncio.gather(*(one(name) for name in sorted(set(reports) - set(simple))))

    def _lacks(self, office: Office) -> bool:
        assert office.plan is not None
        keep = {self._me, *office.keepers}
        return any(not keep <= set(sources) for sources in office.plan.sources.values())

    async def open(
        self, term: Term, names: Sequence[str], reports: Mapping[str, Mapping[NodeId, Report]] | None = None
    ) -> None:
        """Let all read these variables, as their offices have planned; `reports` are what the members have of them."""
        for name in names:
            await self._bring(term, term.offices[name])
        others = [id for id in term.roles.among if id != self._me]
        keeping = {id: [n for n in names if id in term.offices[n].keepers] for id in others}
        told = {id: [n for n in names if id not in term.offices[n].keepers] for id in others}
        await self._secure(
            term, {id: [self._full(term, n, is_keeper=True) for n in some] for id, some in keeping.items()}
        )
        for name in names:
            entry = self._full(term, name, is_keeper=True)
            if self._holding.table.get(name) is not None:
                self._holding.tell(self._shelf.secure(entry, term.view.id.epoch))
        known = reports or {}
        await self._secure(
            term, {id: [self._brief(term, n, known.get(n, {}).get(id), id) for n in some] for id, some in told.items()}
        )
        for name in names:
            term.offices[name].opened.set()

    def _full(self, term: Term, name: str, *, is_keeper: bool) -> Entry:
        plan = term.offices[name].plan
        assert plan is not None
        newest = tuple(sorted(plan.newest.items()))
        if not is_keeper:
            return Entry(plan.record, False, plan.is_damaged, newest)
        return Entry(plan.record, True, plan.is_damaged, newest, plan.ledger, plan.fences)

    def _brief(self, term: Term, name: str, report: Report | None, to: NodeId) -> Entry:
        """For who only reads: the newest of those versions that it has, or all if it follows the variable."""
        entry = self._full(term, name, is_keeper=False)
        if to in term.offices[name].followers:
            return entry
        has = {index for index, *_ in report.stamps} if report is not None else set()
        newest = tuple((index, stamp) for index, stamp in entry.newest if index in has)
        return Entry(entry.record, False, entry.is_damaged, newest)

    async def _secure(self, term: Term, entries: Mapping[NodeId, Sequence[Entry]]) -> None:
        told = {id: some for id, some in entries.items() if some}
        while told:
            bodies = [(id, [view_to_wire(term.view.id), [each.to_wire() for each in told[id]]]) for id in sorted(told)]
            answers = await self._rounds.ask(term.view.id, SECURE, bodies)
            lacking: dict[NodeId, list[Entry]] = {}
            for id, answer in zip(sorted(told), answers, strict=True):
                if not isinstance(answer, list) or len(answer) != len(told[id]):
                    raise MalformedMessage("it is said of each variable whether it is open")
                self._holding.merge(Record.from_wire(each) for each in answer if not isinstance(each, bool))
                lacking[id] = [entry for entry, is_open in zip(told[id], answer, strict=True) if is_open is False]
                for place, entry in enumerate(lacking[id]):
                    name = entry.record.name
                    if not await self._hand(term, id, entry.record, [index for index, _ in entry.newest]):
                        term.offices[name].dismiss(id)
                        lacking[id][place] = self._full(term, name, is_keeper=False)
            told = {id: some for id, some in lacking.items() if some}

    # ---- values that have to travel

    async def _bring(self, term: Term, office: Office) -> None:
        """See that this node and the keepers have all values."""
        plan = office.plan
        assert plan is not None
        await self._fetch(term, plan)
        lacking = {
            id: [index for index, sources in sorted(plan.sources.items()) if id not in sources] for id in office.keepers
        }
        keepers = [id for id, indices in lacking.items() if indices]
        are_kept = await asyncio.gather(*(self._hand(term, id, plan.record, lacking[id]) for id in keepers))
        for id, is_kept in zip(keepers, are_kept, strict=True):
            if not is_kept:
                office.dismiss(id)

    async def _hand(self, term: Term, to: NodeId, record: Record, indices: Iterable[int]) -> bool:
        """Give values to who is to keep them; whether it can."""
        item = self._shelf.item(record.name)
        if item is None:
            return True
        found = [(index, copy.stamp, copy.value) for index in indices if (copy := item.latest(index)) is not None]
        for batch in _batches(found):
            body = [view_to_wire(term.view.id), record.to_wire(), [[i, s.to_wire(), v] for i, s, v in batch]]
            (is_kept,) = await self._rounds.ask(term.view.id, HAND, [(to, body)], may_refuse=True)
            if is_kept is not True:
                return False
        return True

    async def _fetch(self, term: Term, plan: Recovered) -> None:
        declaration, name = plan.record.declaration, plan.record.name
        assert declaration is not None
        for index, sources in sorted(plan.sources.items()):
            if self._me in sources:
                continue
            wanted = [view_to_wire(term.view.id), name, index, plan.newest[index].to_wire()]
            (answer,) = await self._rounds.ask(term.view.id, GIVE, [(sources[0], wanted)])
            match answer:
                case [value]:
                    self._shelf.hand(
                        name, index, plan.newest[index], value_of(declaration, index, value), self._holding.now
                    )
                case _:
                    raise MalformedMessage("a value that was reported is given")


def _batches(values: Iterable[tuple[int, Stamp, Any]]) -> list[list[tuple[int, Stamp, Any]]]:
    """Messages that are not too long."""
    batches: list[list[tuple[int, Stamp, Any]]] = []
    taken_bytes = MOST_BYTES_A_MESSAGE
    for each in values:
        size_bytes = size_of(each[2])
        if taken_bytes + size_bytes > MOST_BYTES_A_MESSAGE:
            batches.append([])
            taken_bytes = 0
        batches[-1].append(each)
        taken_bytes += size_bytes
    return batches
