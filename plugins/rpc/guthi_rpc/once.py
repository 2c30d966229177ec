"""A call with a key has its effect once, however often it is sent, and whichever node the attempts reach.

All callers rank the providers of a function in the same order for one key, so attempts meet at the first of them, the
call's home. Before it runs the call, the home tells the next in order, the keepers, that it is about to, and asks what
they know; the result it tells to the keepers before the caller. So an attempt that comes to another node, because the
home was lost or because a newcomer now stands before it, finds what became of the first one:

| the keepers know                       | then                                                                |
|----------------------------------------|---------------------------------------------------------------------|
| the result                             | it is the answer                                                    |
| that it began, at a node that is there | that node is asked                                                  |
| that it began, at a node that is lost  | OutcomeUnknown, unless the caller said that it may run twice        |
| nothing                                | it runs                                                             |

Where two homes ask at the same time, the one with the smaller id goes on: it asks the other to yield, which the other
does if it has not begun. What is kept is in memory: it outlives the loss of any node, but not that of the home and all
keepers. A node that was restarted is another home, since it remembers nothing.

On `rpc.once` a home sends `[function, key, its life, stage, result]`; the answer is null or `[home, life, stage,
result]`. A result is an encoded list of true, value and seconds, or of false and a fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from guthi import GuthiError, Incoming, MalformedMessage, NodeId
from guthi.values.faults import describe, revive
from guthi_rpc.directory import LIFE_BYTES, Directory
from guthi_rpc.errors import NotComputed, OutcomeUnknown, Overloaded
from guthi_rpc.outcomes import Entry, Home, Name, Outcomes, Stage
from guthi_rpc.questions import Answer, Question

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Once"]

TOPIC = "rpc.once"
KEEPERS = 2
TIMEOUT_S = 2.0  # a keeper that does not answer within that is done without

Begin = Callable[[], Answer | Awaitable[Answer]]
Known = tuple[Home, Stage, bytes | None]
Ask = Callable[[NodeId, Question], Coroutine[Any, Any, Answer]]


class Once:
    """The calls with a key of one node; `ranked` gives the providers of a function in a key's order."""

    def __init__(
        self,
        node: Node,
        directory: Directory,
        outcomes: Outcomes,
        ranked: Callable[[str, str], list[NodeId]],
        ask: Ask,
    ) -> None:
        self._node, self._directory, self._outcomes, self._ranked, self._ask = node, directory, outcomes, ranked, ask
        self._running: dict[Name, asyncio.Task[None]] = {}
        node.handle(TOPIC, self._told)

    def knows(self, question: Question) -> bool:
        """Whether the call has begun or ended here or elsewhere already, as far as this node knows."""
        return self._outcomes.get(_name(question)) is not None

    async def run(self, question: Question, begin: Begin) -> Answer:
        """The answer of the one run; raises what that raised. It goes on when one of its callers is gone."""
        name = _name(question)
        if (task := self._running.get(name)) is None and self._outcomes.get(name) is None:
            if question.relayed:
                raise _unknown(name)
            if self._outcomes.is_full:
                raise Overloaded("this node remembers as many calls with a key as it can; try again later")
            self._outcomes.note(name, self._me, Stage.ASKING)
            task = self._running[name] = self._node.start(self._lead(name, begin))
        if task is not None:
            await asyncio.shield(task)
        return await self._known(name, question, begin)

    @property
    def _me(self) -> Home:
        return self._node.id, self._directory.life(self._node.id)

    async def _known(self, name: Name, question: Question, begin: Begin) -> Answer:
        entry = self._outcomes.get(name)
        if entry is not None and entry.stage is Stage.DONE:
            return self._read(name, entry)
        if entry is not None and entry.home != self._me and self._directory.life(entry.home[0]) == entry.home[1]:
            question.relayed = True
            try:
                return await self._ask(entry.home[0], question)
            except NotComputed:
                question.relayed = False
        if not question.idempotent:
            raise _unknown(name)
        self._outcomes.drop(name)
        return await self.run(question, begin)

    # ---- the home

    async def _lead(self, name: Name, begin: Begin) -> None:
        try:
            if await self._is_first(name):
                self._outcomes.note(name, self._me, Stage.BEGUN)
                outcome = await self._outcome(begin)
                entry = self._outcomes.note(name, self._me, Stage.DONE, outcome)
                await self._tell_keepers(name, Stage.DONE, entry.outcome)
        finally:
            del self._running[name]

    async def _is_first(self, name: Name) -> bool:
        """Ask the keepers; where one of them knew better, that is noted."""
        for known in await self._tell_keepers(name, Stage.ASKING, None):
            while known is not None:
                home, stage, outcome = known
                if stage is not Stage.ASKING or home[0] <= self._node.id:
                    self._outcomes.note(name, home, Stage.DONE if stage is Stage.DONE else Stage.BEGUN, outcome)
                    return False
                known = await self._bid_to_yield(home, name)
        entry = self._outcomes.get(name)
        return entry is None or entry.home == self._me  # else this node has yielded meanwhile

    async def _bid_to_yield(self, home: Home, name: Name) -> Known | None:
        """None where it yields; what it knows where it does not, and that it may have begun where it is lost."""
        try:
            return await self._tell(home[0], name, Stage.ASKING, None)
        except GuthiError:
            return home, Stage.BEGUN, None

    async def _tell_keepers(self, name: Name, stage: Stage, outcome: bytes | None) -> list[Known | None]:
        keepers = [node for node in self._ranked(*name) if node != self._node.id][:KEEPERS]
        told = (self._tell(keeper, name, stage, outcome) for keeper in keepers)
        answers = await asyncio.gather(*told, return_exceptions=True)
        return [None if isinstance(answer, BaseException) else answer for answer in answers]

    async def _tell(self, keeper: NodeId, name: Name, stage: Stage, outcome: bytes | None) -> Known | None:
        word = [*name, self._me[1], stage.value, outcome]
        answer = await self._node.request(keeper, TOPIC, word, timeout_s=TIMEOUT_S)
        return None if answer is None else _read_known(answer)

    async def _outcome(self, begin: Begin) -> bytes:
        codec = self._node.codec
        try:
            answer = begin()
            value, seconds = (await answer) if isawaitable(answer) else answer
            return b"".join(codec.encode([True, value, seconds]))
        except Exception as error:  # noqa: BLE001 - it is every caller's to see
            return b"".join(codec.encode([False, describe(error, codec)]))

    def _read(self, name: Name, entry: Entry) -> Answer:
        if entry.outcome is None:
            raise OutcomeUnknown(f"{name[0]!r} with the key {name[1]!r} has run, but its result was too large to keep")
        match self._node.codec.decode(entry.outcome):
            case [True, value, float() | int() as seconds]:
                return Answer(value, seconds)
            case [False, fault]:
                raise revive(fault, self._node.codec, self._node.network.name_of(entry.home[0]))
        raise MalformedMessage("what a keeper remembers is no result")

    # ---- the keeper

    def _told(self, incoming: Incoming) -> list[Any] | None:
        match incoming.value:
            case [str(function), str(key), bytes(life), str(stage), bytes() | None as outcome] if (
                len(life) == LIFE_BYTES
            ):
                name, home = (function, key), (incoming.peer, life)
            case _:
                raise MalformedMessage("a keeper is told of a function, a key, a life, a stage, and a result or null")
        if stage == Stage.DONE.value:
            self._outcomes.note(name, home, Stage.DONE, outcome)
            return None
        entry = self._outcomes.get(name)
        yields = entry is not None and entry.stage is Stage.ASKING and entry.home == self._me and home < self._me
        if entry is not None and entry.home != home and not yields:
            return [*entry.home, entry.stage.value, entry.outcome]
        if entry is not None or not self._outcomes.is_full:
            self._outcomes.note(name, home, Stage.ASKING)
        return None


def _name(question: Question) -> Name:
    assert question.key is not None
    return question.name, question.key


def _unknown(name: Name) -> OutcomeUnknown:
    return OutcomeUnknown(f"the node that began {name[0]!r} with the key {name[1]!r} was lost before it had answered")


def _read_known(wire: Any) -> Known:
    match wire:
        case [bytes(home), bytes(life), str(stage), bytes() | None as outcome] if len(home) == NodeId.SIZE:
            try:
                return (NodeId(home), life), Stage(stage), outcome
            except ValueError:
                pass
    raise MalformedMessage("a keeper answers with a home, its life, a stage, and a result or null")
