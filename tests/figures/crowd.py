"""A thousand failure detectors on a light event queue: the shipped machines, without the nodes around them.

A whole simulated node encrypts and decodes each datagram, which costs some 0.15 ms; ten minutes of a thousand nodes
would take hours. Here run the detector (`guthi_health.swim`) and the exchange of pings (`guthi_health.exchange`)
themselves, and around them a model of what the kernel does: datagrams take a millisecond or so and may be lost; a
record reaches all nodes in a random order, by the mean curve of an epidemic with the kernel's figures (rounds of
200 ms to three members); the accused is told directly; whoever sees itself accused takes a higher incarnation.

A spell lets a node be ill for a while. HOLDING is the anomaly of the Lifeguard paper (section V.A): every message is
held before it is sent and after it was received until the spell ends, while timers go on. STOPPED is SIGSTOP: timers
wait as well, and what came meanwhile is read before they fire, as asyncio does it.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache, lru_cache
from hashlib import blake2b
from random import Random
from typing import Any, NamedTuple, TypeAlias

from guthi import Address, Member, MemberState, NodeId, Role, Verdict
from guthi.membership.settings import GossipSettings
from guthi_health.detector import Accuse, Detector, Effect, Note, Ping, Relay, Remind
from guthi_health.exchange import Answered, Exchange, Outcome, Relayed, Send
from guthi_health.messages import Asked, Message, Noted, Pinged

__all__ = ["Crowd", "Illness", "Ruling", "Soul"]

GOSSIP = GossipSettings()


Act: TypeAlias = tuple[Callable[..., None], tuple[Any, ...]]  # what is to be called, and with what
ALIVE = MemberState.ALIVE.value


class Illness(Enum):
    """What a spell does to a node."""

    HOLDING = "holding"
    STOPPED = "stopped"


class Ruling(NamedTuple):
    """A verdict of FAILED: who reached it, about whom, and when."""

    at: float
    judge: int
    accused: int


class Record(NamedTuple):
    """What is known of a member; compares in SWIM's order."""

    incarnation: int
    state: int
    accuser: int


@dataclass(slots=True)
class Soul:
    """One node: its detector, and what it knows of others beyond that they are alive and well."""

    number: int
    id: NodeId
    detector: Detector
    exchange: Exchange = field(default_factory=Exchange)
    known: dict[int, Record] = field(default_factory=dict)
    told_at: dict[int, float] = field(default_factory=dict)
    is_dead: bool = False
    illness: Illness | None = None
    held: list[Act] = field(default_factory=list)
    waits_for: float | None = None


@lru_cache(maxsize=200_000)
def member_of(number: int, record: Record) -> Member:
    state = MemberState(record.state)
    verdict = Verdict(id_of(record.accuser), "direct", "silent") if state is not MemberState.ALIVE else None
    if record != HEALTHY:
        return replace(member_of(number, HEALTHY), incarnation=record.incarnation, state=state, verdict=verdict)
    address = (Address("10.0.0.1", 1 + number),)
    plugins = (("health", "0"),)
    return Member(
        id_of(number), f"n{number}", address, "", Role.PEER, 0, state, bytes(32), 1, plugins, verdict
    )  # fmt: skip


@cache
def id_of(number: int) -> NodeId:
    return NodeId(blake2b(number.to_bytes(4, "big"), digest_size=NodeId.SIZE).digest())


HEALTHY = Record(0, ALIVE, 0)


class Crowd:
    """`count` nodes that all know one another; `now` is in seconds. `rulings` are all verdicts of FAILED."""

    def __init__(
        self, count: int, make: Callable[[NodeId, Random], Detector], *, seed: int = 0, loss: float = 0.0
    ) -> None:
        self.now = 0.0
        self.rulings: list[Ruling] = []
        self.sent: Counter[str] = Counter()
        self.watch: Callable[[int, int, Record], None] | None = None  # who has learnt what of whom
        self._random, self._loss = Random(seed), loss
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._ticket = 0
        self._spread_already: set[tuple[int, int, int]] = set()
        self._curve = curve(count)
        self.souls = [
            Soul(number, id_of(number), make(id_of(number), Random(f"{seed} {number}"))) for number in range(count)
        ]
        self._number_of = {soul.id: soul.number for soul in self.souls}
        for soul in self.souls:
            for other in self.souls:
                if other is not soul:
                    soul.detector.member(member_of(other.number, HEALTHY), 0.0)
            self._arm(soul)

    # ---- time

    def run(self, until: float) -> None:
        """Let everything happen up to that moment."""
        queue = self._queue
        while queue and queue[0][0] <= until:
            self.now, _, act, arguments = heapq.heappop(queue)
            act(*arguments)
        self.now = until

    def at(self, moment: float, act: Callable[..., None], *arguments: Any) -> None:
        """Do something at a moment."""
        self._ticket += 1
        heapq.heappush(self._queue, (moment, self._ticket, act, arguments))

    def _arm(self, soul: Soul) -> None:
        wanted, other = soul.detector.deadline, soul.exchange.deadline
        if wanted is None or (other is not None and other < wanted):
            wanted = other
        if wanted is None or (soul.waits_for is not None and soul.waits_for <= wanted):
            return
        soul.waits_for = wanted
        self.at(wanted, self._ring, soul, wanted)

    def _ring(self, soul: Soul, moment: float) -> None:
        if soul.waits_for != moment or soul.is_dead:
            return
        if soul.illness is Illness.STOPPED:
            return  # `recover` rings
        soul.waits_for = None
        for outcome in list(soul.exchange.on_deadline(self.now)):
            self._follow(soul, outcome)
        due = soul.detector.deadline
        if due is not None and due <= self.now:
            self._effects(soul, soul.detector.on_deadline(self.now))
        self._arm(soul)

    # ---- fates

    def kill(self, number: int) -> None:
        """It says and hears nothing any more."""
        self.souls[number].is_dead = True

    def fall_ill(self, number: int, illness: Illness) -> None:
        """Until `recover`."""
        self.souls[number].illness = illness

    def recover(self, number: int) -> None:
        """What was held is sent and read, in order; then timers that are due fire."""
        soul = self.souls[number]
        soul.illness = None
        held, soul.held = soul.held, []
        for act, arguments in held:
            act(*arguments)
        if soul.waits_for is not None and soul.waits_for <= self.now:
            self._ring(soul, soul.waits_for)

    # ---- datagrams

    def _send(self, source: Soul, target: int, kind: str, hear: Callable[..., None], *said: Any) -> None:
        """`hear` is called with the target, the source and what was said."""
        if source.illness is not None:
            source.held.append((self._send, (source, target, kind, hear, *said)))
            return
        self.sent[kind] += 1
        if self._random.random() >= self._loss:
            delay_s = 0.0005 + self._random.random() * 0.001
            self.at(self.now + delay_s, self._arrive, self.souls[target], hear, source, *said)

    def _arrive(self, target: Soul, hear: Callable[..., None], *said: Any) -> None:
        if target.is_dead:
            return
        if target.illness is not None:
            target.held.append((self._arrive, (target, hear, *said)))
            return
        hear(target, *said)

    # ---- what the health plugin does around its machines

    def _effects(self, soul: Soul, effects: Iterable[Effect]) -> None:
        for effect in effects:
            self._perform(soul, effect)

    def _perform(self, soul: Soul, effect: Effect) -> None:
        match effect:
            case Note(peer, value):
                self._tell(soul, peer, Noted("swim", value))
            case Ping(peer, number):
                self._tell(soul, peer, soul.exchange.ping(peer, number, self.now, 0.0).message)
            case Relay(via, peer, number, patience_s):
                self._tell(soul, via, Asked(number, peer, patience_s))
            case Remind(peer):
                self._remind(soul, self._number_of[peer])
            case Accuse():
                self._accuse(soul, effect)

    def _follow(self, soul: Soul, outcome: Outcome) -> None:
        match outcome:
            case Send(peer, message):
                self._tell(soul, peer, message)
            case Answered(peer, number, _, _):
                self._effects(soul, soul.detector.answered(peer, number, self.now))
            case Relayed(via, number, reached):
                self._effects(soul, soul.detector.relayed(via, number, reached, self.now))

    def _tell(self, soul: Soul, peer: NodeId, message: Message) -> None:
        self._send(soul, self._number_of[peer], type(message).__name__, self._hear, message)

    def _hear(self, soul: Soul, source: Soul, message: Message) -> None:
        if soul.known.get(source.number, HEALTHY).state != ALIVE:
            self._remind(soul, source.number)  # as the kernel does with whoever is heard
        if isinstance(message, Noted):
            self._effects(soul, soul.detector.noted(source.id, message.value, self.now))
        else:
            for outcome in soul.exchange.receive(source.id, message, self.now, 0.0):
                self._follow(soul, outcome)
        if not isinstance(message, Pinged):  # which moves no deadline
            self._arm(soul)

    # ---- what the kernel does

    def _accuse(self, soul: Soul, accusation: Accuse) -> None:
        accused = self._number_of[accusation.peer]
        known = soul.known.get(accused, HEALTHY)
        verdict = Record(known.incarnation, accusation.state.value, soul.number)
        if verdict[:2] <= known[:2]:
            return
        if accusation.state is MemberState.FAILED:
            self.rulings.append(Ruling(self.now, soul.number, accused))
        self._learn(soul, accused, verdict)
        self._remind(soul, accused)

    def _remind(self, soul: Soul, accused: int) -> None:
        if self.now >= soul.told_at.get(accused, -1.0) + GOSSIP.interval_s:
            soul.told_at[accused] = self.now
            self._gossip_to(soul, accused, (accused, soul.known.get(accused, HEALTHY)))

    def _gossip_to(self, soul: Soul, target: int, record: tuple[int, Record]) -> None:
        self._send(soul, target, "gossip", self._hear_gossip, *record)

    def _hear_gossip(self, soul: Soul, source: Soul, subject: int, record: Record) -> None:
        self._take(soul, subject, record)
        if subject == soul.number and record.state:
            self._gossip_to(soul, source.number, (subject, soul.known[subject]))  # answered directly

    def _take(self, soul: Soul, subject: int, record: Record) -> None:
        if record[:2] > soul.known.get(subject, HEALTHY)[:2]:
            self._learn(soul, subject, record)

    def _learn(self, soul: Soul, subject: int, record: Record) -> None:
        if subject == soul.number:
            record = Record(record.incarnation + 1, ALIVE, 0)
            soul.known[subject] = record
            self._effects(soul, soul.detector.refuted(self.now))
        else:
            soul.known[subject] = record
            self._effects(soul, self._told(soul, subject, record))
            self._arm(soul)
        if self.watch is not None:
            self.watch(soul.number, subject, record)
        self._spread(soul, subject, record)

    def _spread(self, soul: Soul, subject: int, record: Record) -> None:
        """By gossip, which does not care who begins; so a second beginning changes little, and is left out."""
        if soul.illness is not None:
            soul.held.append((self._spread, (soul, subject, record)))
            return
        key = (subject, record.incarnation, record.state)
        if key in self._spread_already:
            return
        self._spread_already.add(key)
        order = self._random.sample(range(len(self.souls)), len(self.souls))
        begun = 0
        for number, share in enumerate(self._curve, 1):
            reached = order[begun : round(share * len(order))]
            begun += len(reached)
            self.at(self.now + number * GOSSIP.interval_s, self._reach, reached, subject, record)

    def _reach(self, reached: list[int], subject: int, record: Record) -> None:
        for number in reached:
            self._arrive(self.souls[number], self._take, subject, record)

    def _told(self, soul: Soul, subject: int, record: Record) -> Iterable[Effect]:
        member = member_of(subject, record)
        if member.is_present:
            return soul.detector.member(member, self.now)
        return soul.detector.gone(member.id, self.now)


def curve(count: int) -> list[float]:
    """The share of nodes that an epidemic has reached after each round: each that has it tells `fanout` others."""
    shares = [1 / count]
    while shares[-1] * count < count - 0.5:
        share = shares[-1]
        missed = (1 - 1 / count) ** (GOSSIP.fanout * share * count)
        shares.append(share + (1 - share) * (1 - missed))
    return [*shares[1:], 1.0]
