"""How the electors of a key are heard: all who have a seat in anybody's view, and newcomers until they vouch.

On `rpc.once` a home sends `[function, key, its life, stage, result]`. The answer is `[home, life, stage, result]` where
the elector knows of a call, else `[its life, whether it vouches, seats]`, where each seat is a node and the life that
holds it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from guthi import GuthiError, MalformedMessage, NodeId
from guthi_rpc.ballot import Ballot, Home, View
from guthi_rpc.directory import LIFE_BYTES
from guthi_rpc.electors import ELECTORS, Electors
from guthi_rpc.outcomes import Name, Stage
from guthi_rpc.standing import Standing

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["TOPIC", "Blank", "Hearing", "Known"]

TOPIC = "rpc.once"
LOOK_S = 0.05  # after that they are asked again, and then after twice as long
SETTLES_S = 2.0  # as long newcomers are waited for, without whom there are too few who vouch
TIMEOUT_S = 2.0  # an elector that does not answer within that has not answered

Known: TypeAlias = tuple[Home, Stage, bytes | None]
"""An elector knows of the call: where it runs or ran, how far it is, and its result."""


class Blank(NamedTuple):
    """An elector, in the life that it has, knows nothing; those are the seats as it sees them."""

    life: bytes
    vouches: bool
    seats: View


Answer: TypeAlias = Blank | Known | None


class Hearing:
    """What electors say to one node."""

    def __init__(self, node: Node, electors: Electors, standing: Standing) -> None:
        self._node, self._electors, self._standing = node, electors, standing

    async def hear(self, name: Name, me: Home, stage: Stage, outcome: bytes | None) -> tuple[list[Known], bool]:
        """Tell the electors; what they know as soon as enough have answered, and whether enough have."""
        key, clock = name[1], asyncio.get_running_loop().time
        ballot = Ballot(me, self._electors.of(key), vouches=self._standing.vouches(key))
        gives_up_at = clock() + (SETTLES_S if stage is Stage.ASKING else 0.0)  # a result is told, whoever vouches
        look_s = LOOK_S
        asked: dict[NodeId, asyncio.Task[Answer]] = {}
        known, told = list[Known](), {me[0]}
        while True:
            for elector in self._electors.there(ballot.electors):
                if elector not in told:
                    told.add(elector)
                    asked[elector] = self._node.start(self.tell(elector, name, me, stage, outcome))
            if ballot.is_enough:
                break
            if asked:
                await asyncio.wait(asked.values(), return_when=asyncio.FIRST_COMPLETED)
                known += _count(ballot, asked)
            elif ballot.waits_for_newcomers and clock() < gives_up_at:
                await asyncio.sleep(look_s)
                look_s *= 2
                ballot.answered(me, vouches=self._standing.vouches(key), seats=self._electors.of(key))
                told.difference_update(ballot.newcomers)
                told.add(me[0])
            else:
                break
        known.sort(key=lambda answer: (answer[1] is not Stage.DONE, answer[2] is None))
        return known, ballot.is_enough

    async def tell(self, elector: NodeId, name: Name, me: Home, stage: Stage, outcome: bytes | None) -> Answer:
        """What it answers; None where it does not."""
        word = [*name, me[1], stage.value, outcome]
        try:
            return _read(await self._node.request(elector, TOPIC, word, timeout_s=TIMEOUT_S))
        except GuthiError:
            return None


def _count(ballot: Ballot, asked: dict[NodeId, asyncio.Task[Answer]]) -> list[Known]:
    """Count the answers that have come; those of electors that know of the call."""
    known: list[Known] = []
    for elector in [node for node, task in asked.items() if task.done()]:
        match asked.pop(elector).result():
            case Blank(life, vouches, seats):
                ballot.answered((elector, life), vouches=vouches, seats=seats)
            case (_, _, _) as one:
                ballot.answered((elector, b""), vouches=True)
                known.append(one)
    return known


def _read(wire: Any) -> Blank | Known:
    match wire:
        case [bytes(life), bool(vouches), list(seats)] if len(seats) <= ELECTORS:
            return Blank(life, vouches, tuple(map(_seat, seats)))
        case [bytes(home), bytes(life), str(stage), bytes() | None as outcome] if len(home) == NodeId.SIZE:
            try:
                return (NodeId(home), life), Stage(stage), outcome
            except ValueError:
                pass
    raise MalformedMessage("an elector answers its life, whether it vouches, and seats; or a home, its life and so on")


def _seat(wire: Any) -> Home:
    match wire:
        case [bytes(node), bytes(life)] if len(node) == NodeId.SIZE and len(life) in (0, LIFE_BYTES):
            return NodeId(node), life
    raise MalformedMessage("a seat is a node and a life, or none")
