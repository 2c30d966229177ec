"""Tells all whom a write concerns, until each of them has answered; then the write has happened.

The owner tells the keepers the new version and all who have a copy that theirs is old (`prepared`, see `shelf`), in one
round. A keeper that cannot apply a change is told it whole, in another one. If the owner is still certain of its view
when all have answered, it tells the keepers, who wait for no more than that, that they may read it (a cast).

Whom an operation is done for is told by each as well (see `witnesses`), where one round of single messages is all.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from guthi import MalformedMessage, NodeClosed, NodeId, PeerLost
from guthi_dvar.bodies import Change, size_of
from guthi_dvar.coherent.messages import Prepared, view_to_wire
from guthi_dvar.coherent.rounds import Rounds
from guthi_dvar.coherent.shelf import Shelf
from guthi_dvar.coherent.standing import Standing
from guthi_dvar.coherent.succession import MOST_BYTES_A_MESSAGE
from guthi_dvar.coherent.terms import Office, Term
from guthi_dvar.coherent.witnesses import Witness, Witnesses
from guthi_dvar.holding import Holding
from guthi_dvar.table import Copy

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["COMMIT", "PREPARE", "Teller"]

PREPARE, COMMIT = "dvar.prepare", "dvar.commit"

Pending: TypeAlias = Mapping[str, Mapping[int, Copy]]


@dataclass(frozen=True, slots=True, eq=False)
class _Sent:
    """A round that is under way: to whom, of which values each message tells, and the answers when they are awaited."""

    to: list[NodeId]
    keys: list[list[tuple[str, int]]]
    answers: Coroutine[Any, Any, list[Any]]
    late_notes: list[tuple[NodeId, Any]]
    witness: Witness | None


class Teller:
    """The rounds of one node that owns variables."""

    def __init__(
        self, node: Node, holding: Holding, shelf: Shelf, standing: Standing, rounds: Rounds, witnesses: Witnesses
    ) -> None:
        self._me, self._node, self._holding, self._shelf = node.id, node, holding, shelf
        self._standing, self._rounds, self._witnesses = standing, rounds, witnesses

    def finish(
        self, term: Term, offices: Mapping[str, Office], witness: Witness | None = None
    ) -> Coroutine[Any, Any, None]:
        """Let all know of what is prepared here, in this turn of the loop; awaited, commit it.

        What an operation before left undone is done too. Raises Moved, and awaited Unavailable.
        """
        pending = {name: dict(item.pending) for name in offices if (item := self._shelf.get(name)) and item.pending}
        sent = self._send(term, offices, pending, witness, whole=False)
        return self._committed(term, offices, pending, sent)

    async def _committed(self, term: Term, offices: Mapping[str, Office], pending: Pending, sent: _Sent) -> None:
        if sent.witness is not None:  # it waits for them longer than for this, so they are told before
            self._witnesses.call(sent.witness, term.view.id, sent.to)
        lacking = await self._untaken(term, offices, pending, sent, whole=False)
        while lacking:
            some = {name: offices[name] for name in lacking}
            sent = self._send(term, some, lacking, None, whole=True)
            lacking = await self._untaken(term, some, lacking, sent, whole=True)
        if not pending:
            return
        await self._standing.stays_certain(term.view.id, self._holding.now + self._standing.patience_s)
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

    def _send(
        self, term: Term, offices: Mapping[str, Office], pending: Pending, witness: Witness | None, *, whole: bool
    ) -> _Sent:
        """Tell everybody now."""
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
                late_notes.append((to, [view, [], notes, None]))
                notes = []
            for batch in batches:
                bodies.append((to, [view, [each.to_wire() for each in batch], notes, None]))
                of_body.append([(each.name, each.index) for each in batch])
        are_heard = witness is not None and self._are_heard(witness, term, bodies)
        answers = self._rounds.ask(term.view.id, PREPARE, bodies, may_refuse=True)
        return _Sent([to for to, _ in bodies], of_body, answers, late_notes, witness if are_heard else None)

    async def _untaken(
        self, term: Term, offices: Mapping[str, Office], pending: Pending, sent: _Sent, *, whole: bool
    ) -> dict[str, dict[int, Copy]]:
        """What some keeper could not apply, for it lacks what has changed.

        One that cannot even take it whole, for it lacks a class that is in it, keeps it no longer, and is told anew.
        """
        untaken = _untaken(offices, sent.to, sent.keys, await sent.answers, whole=whole)
        if sent.late_notes:
            for _, (_, _, notes, _) in sent.late_notes:
                notes[:] = [note for note in notes if note[0] not in untaken]
            await self._rounds.ask(term.view.id, PREPARE, sent.late_notes)
        return {name: {index: pending[name][index] for index in some} for name, some in untaken.items()}

    def _are_heard(self, witness: Witness, term: Term, bodies: Sequence[tuple[NodeId, list[Any]]]) -> bool:
        """Have each answer the writer, too, and tell whether they will; see `witnesses`.

        What is prepared here is in no doubt if this node is certain now.
        """
        is_one_each = 0 < len(bodies) == len({to for to, _ in bodies})
        if not is_one_each or not self._standing.is_certain(term.view.id):
            return False
        for _, body in bodies:
            body[-1] = witness.to_wire()
        return True

    def _by_member(
        self, offices: Mapping[str, Office], pending: Pending, *, whole: bool
    ) -> dict[NodeId, list[Prepared]]:
        told: dict[NodeId, list[Prepared]] = {}
        for name, copies in sorted(pending.items()):
            office, item = offices[name], self._shelf.item(name)
            assert item is not None  # or nothing were pending
            birth = item.variable.birth
            for index, copy in sorted(copies.items()):
                step = copy.steps[-1] if copy.steps and copy.steps[-1].stamp == copy.stamp and not whole else None
                change: Change = step.patch if step is not None else copy.value
                if office.keepers:
                    full = Prepared(name, birth, index, copy.stamp, change, step.base if step is not None else None)
                    for keeper in office.keepers:
                        told.setdefault(keeper, []).append(full)
                readers = (office.holders.get(index, set()) | office.followers) - {self._me, *office.keepers}
                if readers:
                    old = Prepared(name, birth, index, copy.stamp, None, None)
                    for reader in sorted(readers):
                        told.setdefault(reader, []).append(old)
        return told


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
    if len(prepared) == 1:
        return [[*prepared]]
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
