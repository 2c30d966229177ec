"""A call with a key has its effect once, however often it is sent, and whichever node the attempts reach.

All callers rank the providers of a function in the same order for one key, so attempts meet at the first of them, the
call's home. Before it runs the call, the home asks its electors (see `electors`) what they know, and tells them that it
is about to; it begins when enough have answered that they know nothing (see `ballot`), and tells as many of the result
before it tells the caller. So an attempt that comes to another node, because the home was lost or because a newcomer
now stands before it, finds what became of the first one:

| an elector knows                       | then                                                                |
|----------------------------------------|---------------------------------------------------------------------|
| the result                             | it is the answer                                                    |
| that it began, at a node that is there | that node is asked                                                  |
| that it began, at a node that is lost  | OutcomeUnknown, unless the caller said that it may run twice        |
| nothing, and enough have answered      | it runs                                                             |
| nothing, and too few have              | Undecided: it has not run here, and may be tried again              |

Where two homes ask at the same time, the one with the smaller id goes on: it asks the other to yield, which the other
does if it has not begun. What is kept is in memory: it outlives the loss of a minority of the electors within the
retention, and goes over to others when an elector leaves (see `handover`) or starts (see `takeover`). A node that was
restarted is another home.

A result is kept as an encoded list of true, value and seconds, or of false and a fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from guthi import Incoming, MalformedMessage, NodeId
from guthi.values.faults import describe, revive
from guthi_rpc.ballot import Home
from guthi_rpc.directory import LIFE_BYTES
from guthi_rpc.electors import Electors
from guthi_rpc.errors import NotComputed, OutcomeUnknown, Overloaded, Undecided
from guthi_rpc.functions import MAX_NAME_CHARACTERS
from guthi_rpc.hearing import TOPIC, Blank, Hearing, Known
from guthi_rpc.outcomes import Entry, Name, Outcomes, Stage
from guthi_rpc.questions import MAX_KEY_CHARACTERS, Answer, Question
from guthi_rpc.standing import Standing
from guthi_rpc.turns import Full

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Once"]

MAX_RELAYS = 3
LOOK_S = 0.1
INTRODUCED_S = 2.0

Begin = Callable[[], Answer | Awaitable[Answer]]
Ask = Callable[[NodeId, Question], Coroutine[Any, Any, Answer]]


class Once:
    """The calls with a key of one node; `ask` has another node run a call, or tell how it ended there."""

    def __init__(
        self,
        node: Node,
        electors: Electors,
        standing: Standing,
        outcomes: Outcomes,
        me: Callable[[], Home],
        ask: Ask,
    ) -> None:
        self._node, self._electors, self._standing, self._outcomes = node, electors, standing, outcomes
        self._hearing = Hearing(node, electors, standing)
        self._me, self._ask = me, ask
        self._running: dict[Name, asyncio.Task[None]] = {}
        node.handle(TOPIC, self._told)

    @property
    def is_busy(self) -> bool:
        """Whether a call runs, which it does until it is done even when nobody waits for it any more."""
        return bool(self._running)

    def knows(self, question: Question) -> bool:
        """Whether the call has begun or ended here or elsewhere already, as far as this node knows."""
        return self._outcomes.get(_name(question)) is not None

    async def run(self, question: Question, begin: Begin, lost: frozenset[Home] = frozenset()) -> Answer:
        """The answer of the one run; raises what that raised. It goes on when one of its callers is gone.

        `lost` are homes that did not answer, whether or not others have given them up already.
        """
        name = _name(question)
        if (task := self._running.get(name)) is None and self._outcomes.get(name) is None:
            if self._outcomes.is_full:
                raise Overloaded("this node remembers as many calls with a key as it can; try again later")
            self._outcomes.note(name, self._me(), Stage.ASKING)
            task = self._running[name] = self._node.start(self._lead(name, begin, question.idempotent, lost))
        if task is not None:
            await asyncio.shield(task)
        return await self._known(name, question, begin, lost)

    async def _known(self, name: Name, question: Question, begin: Begin, lost: frozenset[Home]) -> Answer:
        entry = self._outcomes.get(name)
        if entry is None:
            raise Undecided(f"{_text(name)} has not run here, for too few nodes could tell whether it has elsewhere")
        if entry.stage is Stage.DONE:
            return self._read(name, entry)
        if entry.home != self._me() and await self._is_there(entry.home):
            if question.relayed >= MAX_RELAYS:  # they point at one another, so none of them has begun
                self._outcomes.drop(name)
                raise Undecided(f"{_text(name)} has not run here, and nodes disagree about where it has")
            try:
                return await self._ask(entry.home[0], replace(question, relayed=question.relayed + 1))
            except NotComputed as failure:
                if not failure.was_begun and isinstance(failure.reason, Undecided | Overloaded):
                    raise failure.reason from None
            lost |= {entry.home}
            if self._outcomes.get(name) is not entry:  # more has been found out meanwhile
                return await self.run(question, begin, lost)
        if not question.idempotent:
            raise OutcomeUnknown(f"the node that began {_text(name)} was lost before it had answered")
        self._outcomes.drop(name)
        return await self.run(question, begin, lost)

    async def _is_there(self, home: Home) -> bool:
        """A home that this node has never heard of may be a newcomer, whose introduction is on its way."""
        give_up_at = asyncio.get_running_loop().time() + INTRODUCED_S
        while not (is_there := self._electors.is_there(home)) and not self._electors.is_lost(home):
            if asyncio.get_running_loop().time() >= give_up_at:
                break
            await asyncio.sleep(LOOK_S)
        return is_there

    # ---- the home

    async def _lead(self, name: Name, begin: Begin, may_repeat: bool, lost: frozenset[Home]) -> None:
        try:
            if await self._may_begin(name, may_repeat, lost):
                self._outcomes.note(name, self._me(), Stage.BEGUN)
                outcome = await self._outcome(begin)
                entry = self._outcomes.note(name, self._me(), Stage.DONE, outcome)
                await self._hearing.hear(name, self._me(), Stage.DONE, entry.outcome)
        except Full:
            self._outcomes.drop(name)  # it has not begun after all
        finally:
            del self._running[name]

    async def _may_begin(self, name: Name, may_repeat: bool, lost: frozenset[Home]) -> bool:
        """Ask the electors; where one of them knew better, that is noted, and where too few answered, nothing is."""
        answers, is_enough = await self._hearing.hear(name, self._me(), Stage.ASKING, None)
        is_enough = is_enough and not self._node.network.has_met_nobody  # else it votes for itself, and alone
        for answer in answers:
            known: Known | None = answer
            while known is not None:
                home, stage, outcome = known
                is_lost = home in lost or not self._electors.is_there(home)
                if home == self._me() or (is_lost and may_repeat and stage is not Stage.DONE):
                    break
                if stage is not Stage.ASKING or is_lost or home[0] <= self._node.id:
                    self._outcomes.note(name, home, Stage.DONE if stage is Stage.DONE else Stage.BEGUN, outcome)
                    return False
                known = await self._bid_to_yield(home, name)
        entry = self._outcomes.get(name)
        if entry is not None and entry.home != self._me():
            return False  # this node has yielded meanwhile
        if not is_enough and not may_repeat:
            self._outcomes.drop(name)
            return False
        return True

    async def _bid_to_yield(self, home: Home, name: Name) -> Known | None:
        """None where it yields; what it knows where it does not, and that it may have begun where it is lost."""
        answer = await self._hearing.tell(home[0], name, self._me(), Stage.ASKING, None)
        if isinstance(answer, Blank):
            return None if home[1] in (answer.life, b"") else (home, Stage.BEGUN, None)
        return answer or (home, Stage.BEGUN, None)

    async def _outcome(self, begin: Begin) -> bytes:
        codec = self._node.codec
        try:
            answer = begin()
            value, seconds = (await answer) if isawaitable(answer) else answer
            return b"".join(codec.encode([True, value, seconds]))
        except Full:
            raise
        except Exception as error:  # noqa: BLE001 - it is every caller's to see
            return b"".join(codec.encode([False, describe(error, codec)]))

    def _read(self, name: Name, entry: Entry) -> Answer:
        if entry.outcome is None:
            raise OutcomeUnknown(f"{_text(name)} has run, but its result was too large to keep")
        match self._node.codec.decode(entry.outcome):
            case [True, value, float() | int() as seconds]:
                return Answer(value, seconds)
            case [False, fault]:
                raise revive(fault, self._node.codec, self._node.network.name_of(entry.home[0]))
        raise MalformedMessage("what an elector remembers is no result")

    # ---- the elector

    def _told(self, incoming: Incoming) -> list[Any]:
        match incoming.value:
            case [str(function), str(key), bytes(life), str(stage), bytes() | None as outcome] if (
                len(life) == LIFE_BYTES and len(function) <= MAX_NAME_CHARACTERS and len(key) <= MAX_KEY_CHARACTERS
            ):
                name, home = (function, key), (incoming.peer, life)
            case _:
                raise MalformedMessage("an elector is told of a function, a key, a life, a stage, and a result or null")
        entry = self._outcomes.get(name)
        if entry is None and self._outcomes.is_full:
            raise Overloaded("this node remembers as many calls with a key as it can")
        if stage == Stage.DONE.value:
            self._outcomes.note(name, home, Stage.DONE, outcome)
        elif entry is not None and not self._gives_way(entry, home):
            return [*entry.home, entry.stage.value, entry.outcome]
        else:
            self._outcomes.note(name, home, Stage.ASKING)
        seats = [list(seat) for seat in self._electors.of(key)]
        return [self._me()[1], self._standing.vouches(key), seats]

    def _gives_way(self, entry: Entry, home: Home) -> bool:
        """Whether another home may go on in place of the one that is known: this node, which has not begun, may yield;
        and who asks twice is the same."""
        yields = entry.home == self._me() and home < entry.home
        return entry.stage is Stage.ASKING and (yields or entry.home == home)


def _name(question: Question) -> Name:
    assert question.key is not None
    return question.name, question.key


def _text(name: Name) -> str:
    return f"{name[0]!r} with the key {name[1]!r}"
