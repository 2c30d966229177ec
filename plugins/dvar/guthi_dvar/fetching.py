"""How a node gets a value that it has not: from the source of the newest version, or from whoever else has that.

On `dvar.fetch` it sends `[name, birth, index, the oldest version that will do, the version that it has or null]`, and
is answered `["value", version, value]`, `["patches", version, patches]` that lead on from the one that it has,
`["same", version]`, or null by a node that has nothing new enough. The source is asked first. When a node has not
answered for HEDGE_S, or has nothing, the next one is asked beside it (Dean and Barroso 2013, hedged requests); the
first good answer is taken. While some could not be asked, all are asked again, TRIES times. All who want a value at the
same time wait for one fetch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from guthi import GuthiError, Incoming, MalformedMessage, NodeId
from guthi_dvar.bodies import value_of
from guthi_dvar.errors import ValueUnavailable
from guthi_dvar.holding import Holding
from guthi_dvar.patches import Patch, since
from guthi_dvar.peers import Peers
from guthi_dvar.records import is_name
from guthi_dvar.stamps import Stamp
from guthi_dvar.table import Copy, Variable

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Fetcher"]

TOPIC = "dvar.fetch"
HEDGE_S = 2.0
ANSWER_TIMEOUT_S = 120.0
MOST_ASKED = 24
MOST_ROUNDS = 64
TRIES = 3
PAUSE_S = 0.5


class Outcome(Enum):
    """What became of asking, from the best to the worst."""

    GOT = 0
    SILENT = 1  # somebody who may have it could not be asked
    HAS_NOT = 2


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for: a version at least as new as `least`; the asker has `own`.

    `refusals` say why answers could not be read here.
    """

    variable: Variable
    index: int
    least: Stamp
    own: Copy | None
    refusals: list[str] = field(default_factory=list)


class Fetcher:
    """Fetches for this node, and answers others."""

    def __init__(self, node: Node, holding: Holding, peers: Peers) -> None:
        self._node, self._holding, self._peers = node, holding, peers
        self._under_way: dict[tuple[str, int], asyncio.Task[tuple[Outcome, Question]]] = {}
        node.handle(TOPIC, self._answer)

    async def fetch(self, name: str, index: int) -> Copy:
        """The newest version that is known when this returns; raises UnknownVariable, ValueUnavailable."""
        tries = 0
        for _ in range(MOST_ROUNDS):  # each round a newer version may have been heard of
            variable = self._holding.variable(name)
            copy = valid_copy(variable, index)
            if copy is not None:
                return copy
            outcome, question = await self._once(variable, index)
            if outcome is Outcome.GOT or valid_copy(variable, index) is not None:
                continue
            tries += 1
            if outcome is Outcome.HAS_NOT or tries == TRIES:
                raise self._unavailable(question)
            await asyncio.sleep(PAUSE_S)
        raise ValueUnavailable(f"{name!r} is written faster than it can be fetched")

    def _unavailable(self, question: Question) -> ValueUnavailable:
        name, newest = question.variable.name, question.variable.newest(question.index)
        writer = self._peers.name_of(newest.node)
        if question.refusals:
            why = question.refusals[-1]
            return ValueUnavailable(f"version {newest.number} of {name!r}, by {writer}, cannot be read here: {why}")
        return ValueUnavailable(
            f"no node that can be reached has version {newest.number} of {name!r}, written by {writer}; try again when "
            "the network is whole, or set a new value"
        )

    async def _once(self, variable: Variable, index: int) -> tuple[Outcome, Question]:
        """One fetch, shared with all who want the same."""
        key = (variable.name, index)
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = self._node.start(self._get(variable, index), f"fetch {variable.name}")
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return await asyncio.shield(task)

    async def _get(self, variable: Variable, index: int) -> tuple[Outcome, Question]:
        question = self._question(variable, index)
        return await self._first(self._peers.to_ask(variable, index)[:MOST_ASKED], question), question

    def _question(self, variable: Variable, index: int) -> Question:
        cell = variable.cells.get(index)
        return Question(variable, index, variable.newest(index), cell.copy if cell is not None else None)

    async def _first(self, nodes: Iterable[NodeId], question: Question) -> Outcome:
        """Ask one after the other until one has answered well; those that are still asked then are left."""
        asked: set[asyncio.Task[Outcome]] = set()
        worst = Outcome.HAS_NOT
        waiting = list(nodes)
        try:
            while waiting or asked:
                if waiting:
                    asked.add(self._node.start(self._ask(waiting.pop(0), question)))
                patience_s = HEDGE_S if waiting else None
                done, asked = await asyncio.wait(asked, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
                outcomes = {each.result() for each in done}
                if Outcome.GOT in outcomes:
                    return Outcome.GOT
                if Outcome.SILENT in outcomes:
                    worst = Outcome.SILENT
            return worst
        finally:
            for each in asked:
                each.cancel()

    async def confirm(self, name: str, index: int) -> bool:
        """Ask the source whether the copy here is still the newest; True if it, and nobody else, has answered."""
        variable = self._holding.variable(name)
        newest = variable.newest(index)
        if newest.node == self._node.id or newest.number == 0:
            return valid_copy(variable, index) is not None
        return await self._ask(newest.node, self._question(variable, index)) is Outcome.GOT

    async def _ask(self, node: NodeId, question: Question) -> Outcome:
        variable, own = question.variable, question.own
        body = [variable.name, variable.birth.to_wire(), question.index, question.least.to_wire()]
        have = own.stamp.to_wire() if own is not None else None
        try:
            answer = await self._node.request(node, TOPIC, [*body, have], timeout_s=ANSWER_TIMEOUT_S)
            return Outcome.GOT if self._take(question, answer) else Outcome.HAS_NOT
        except GuthiError as error:  # the next one is asked
            if isinstance(error, MalformedMessage):
                question.refusals.append(str(error))
            return Outcome.SILENT

    def _take(self, question: Question, answer: object) -> bool:
        variable, index, own = question.variable, question.index, question.own
        declaration = variable.declaration
        if answer is None or declaration is None:
            return False
        match answer:
            case [str("same"), stamp_wire] if own is not None and Stamp.from_wire(stamp_wire) == own.stamp:
                own.confirmed_at = self._holding.now
                return own.stamp >= question.least
            case [str("value"), stamp_wire, value]:
                arrived = value_of(declaration, index, value)
            case [str("patches"), stamp_wire, list(patches)] if own is not None and declaration.grid is not None:
                arrived = own.value
                for patch in patches:
                    arrived = Patch.from_wire(patch).apply(arrived)
            case _:
                raise MalformedMessage("a fetch is answered by a value, patches, or that it is the same")
        stamp = Stamp.from_wire(stamp_wire)
        if stamp >= question.least:
            self._holding.arrived(variable, index, stamp, arrived)
        return stamp >= question.least

    def _answer(self, incoming: Incoming) -> list[Any] | None:
        match incoming.value:
            case [str(name), birth, int(index), least, have] if is_name(name):
                variable = self._holding.table.get(name)
                wanted, old = Stamp.from_wire(least), Stamp.from_wire(have) if have is not None else None
            case _:
                raise MalformedMessage("a fetch names a variable, its birth, a value, and two versions")
        if variable is None or variable.birth != Stamp.from_wire(birth):
            return None
        cell = variable.cells.get(index)
        copy = cell.copy if cell is not None and cell.is_valid else None
        if copy is None or copy.stamp < wanted:
            return None
        if copy.stamp == old:
            return ["same", copy.stamp.to_wire()]
        patches = since(copy.steps, old) if old is not None else None
        if patches is not None:
            return ["patches", copy.stamp.to_wire(), [each.to_wire() for each in patches]]
        return ["value", copy.stamp.to_wire(), copy.value]


def valid_copy(variable: Variable, index: int) -> Copy | None:
    """The copy of the newest version, if it is here; a chunk that was never written is zeros everywhere."""
    cell = variable.cells.get(index)
    if cell is not None:
        return cell.copy if cell.is_valid else None
    if variable.declaration is None or variable.declaration.grid is None:
        return None
    return Copy(variable.newest(index), variable.declaration.grid.zeros(index), 0.0)
