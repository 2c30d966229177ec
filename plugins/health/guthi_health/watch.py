"""Runs a detector and the exchange of pings on a node: effects become datagrams and verdicts, the loop gives the time.

Whatever a detector does, it does on the event loop, in plain calls and by datagrams that belong to no session: so it
waits behind no user function in a thread or a process, and behind no bulk transfer.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from guthi import Incoming, MalformedMessage, Member, Node, NodeId, UnknownMember
from guthi.calmlog import CalmLog
from guthi.timer import Timer
from guthi_health.clock import ClockFilter, ClockOffset
from guthi_health.detector import Accuse, Detector, Effect, Note, Ping, Relay, Remind
from guthi_health.exchange import Answered, Exchange, Outcome, Relayed, Send
from guthi_health.messages import TOPIC, Asked, Message, Noted, from_wire, to_wire

__all__ = ["Sight", "Watch"]

PLUGIN = "health"
LEAST_PAUSE_S = 0.01  # so that a detector whose deadline does not move cannot stop everything else

T = TypeVar("T")

log = logging.getLogger("guthi_health.watch")


@dataclass(frozen=True, slots=True)
class Sight:
    """How this node sees another.

    `rtt_s` is of the last ping that was answered, `answered_ago_s` how long ago that was; `suspicion` is what the
    detector holds against it, in words. Nodes without the plugin are not watched.
    """

    member: Member
    is_watched: bool
    rtt_s: float | None
    answered_ago_s: float | None
    suspicion: str


@dataclass(slots=True)
class _Contact:
    """What answers have told of one peer."""

    clock: ClockFilter = field(default_factory=ClockFilter)
    rtt_s: float | None = None
    answered_at: float | None = None


class Watch:
    """One a node, from its start to `close`."""

    def __init__(self, node: Node, detector: Detector) -> None:
        self._node, self.detector = node, detector
        self._loop = asyncio.get_running_loop()
        self._exchange = Exchange()
        self._contacts: dict[NodeId, _Contact] = {}
        self._effects: deque[Effect] = deque()
        self._is_performing = self._is_closed = False
        self._timer = Timer(self._on_timer)
        self._rests_until = 0.0
        self._log = CalmLog(log, self._loop.time)
        self._me = node.me
        node.handle_datagram(TOPIC, self._heard)

    def close(self) -> None:
        """Watch nobody any more."""
        self._is_closed = True
        self._timer.set(None)

    # ---- members

    def present(self, member: Member) -> None:
        """It is there, or its record has changed."""
        if member.id != self._node.id and _answers_pings(member):
            self._contacts.setdefault(member.id, _Contact())
            self._tell(lambda now: self.detector.member(member, now))

    def gone(self, member: Member) -> None:
        """It has failed or left. What is known of its clock is forgotten: it may be set while it is away."""
        if self._contacts.pop(member.id, None) is not None:
            self._exchange.forget(member.id)
            self._tell(lambda now: self.detector.gone(member.id, now))

    def sight(self, member: Member) -> Sight:
        """How this node sees it now."""
        now = self._loop.time()
        contact = self._contacts.get(member.id)
        if contact is None:
            return Sight(member, False, None, None, "")
        ago_s = now - contact.answered_at if contact.answered_at is not None else None
        opinion = self._ask(lambda: str(self.detector.opinion(member.id, now)), "")
        return Sight(member, True, contact.rtt_s, ago_s, opinion)

    @property
    def score(self) -> int:
        """How badly this node itself seems to do, by its own detector: 0 is well."""
        return self._ask(lambda: int(self.detector.health), 0)

    def clock_offset(self, peer: NodeId) -> ClockOffset | None:
        """How far its wall clock is ahead of ours; None while no ping of it was answered."""
        contact = self._contacts.get(peer)
        return contact.clock.offset(self._loop.time()) if contact is not None else None

    # ---- what comes in

    def _heard(self, incoming: Incoming) -> None:
        try:
            message = from_wire(incoming.value)
            if isinstance(message, Noted):
                self._noted(incoming.peer, message)
            elif not isinstance(message, Asked) or message.member in self._contacts:  # else there is nobody to ping
                now, wall_s = self._loop.time(), self._node.host.wall_time_s()
                self._follow(self._exchange.receive(incoming.peer, message, now, wall_s))
        except MalformedMessage as breach:
            self._drop(breach)
        self._arm()

    def _noted(self, peer: NodeId, note: Noted) -> None:
        if note.detector == self.detector.name:
            self._tell(lambda now: self.detector.noted(peer, note.value, now))

    def _follow(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            match outcome:
                case Send(peer, message):
                    self._send(peer, message)
                case Answered():
                    self._answered(outcome)
                case Relayed(via, number, reached):
                    self._tell(lambda now: self.detector.relayed(via, number, reached, now))

    def _answered(self, answer: Answered) -> None:
        contact = self._contacts.get(answer.peer)
        if contact is None:
            return
        contact.rtt_s, contact.answered_at = answer.rtt_s, self._loop.time()
        contact.clock.add(answer.sample, contact.answered_at)
        self._tell(lambda now: self.detector.answered(answer.peer, answer.number, now))

    # ---- the detector

    def _tell(self, call: Callable[[float], Sequence[Effect]]) -> None:
        """Call the detector, and do what it asks for; what it causes meanwhile comes after that."""
        if self._is_closed:
            return
        now = self._loop.time()
        self._effects.extend(self._ask(lambda: list(call(now)), []))
        if self._is_performing:
            return
        self._is_performing = True
        while self._effects:
            effect = self._effects.popleft()
            try:
                self._perform(effect)
            except Exception as error:  # noqa: BLE001 - it may be a third party's, and has to disturb nobody
                self._log.error("what the failure detector wants cannot be done: %.300r", effect, exc_info=error)
        self._is_performing = False
        self._arm()

    def _ask(self, question: Callable[[], T], fallback: T) -> T:
        """What the detector says, or the fallback where it raises."""
        try:
            return question()
        except MalformedMessage as breach:
            self._drop(breach)
        except Exception as error:  # noqa: BLE001 - it may be a third party's, and has to disturb nobody
            self._log.error("the failure detector %r failed", self.detector.name, exc_info=error)
        return fallback

    def _drop(self, breach: MalformedMessage) -> None:
        log.debug("a datagram is dropped: %s", breach)
        self._node.network.endpoint.dropped["malformed health message"] += 1

    def _perform(self, effect: Effect) -> None:
        if _peer_of(effect) not in self._contacts:
            return  # it has failed or left since
        now, wall_s = self._loop.time(), self._node.host.wall_time_s()
        match effect:
            case Ping(peer, number):
                self._follow([self._exchange.ping(peer, number, now, wall_s)])
            case Relay(via, peer, number, patience_s):
                self._send(via, Asked(number, peer, patience_s))
            case Note(peer, value):
                self._send(peer, Noted(self.detector.name, value))
            case Remind(peer):
                self._node.network.perform(self._node.network.membership.vouch(peer, now))
            case Accuse(peer, state, path, evidence, health):
                log.info("%s is accused: %s, %s (%s)", self._node.network.name_of(peer), state.name, evidence, path)
                self._node.accuse(peer, state, path=path, evidence=evidence, health=health)

    def _send(self, peer: NodeId, message: Message) -> None:
        try:
            self._node.send_datagram(peer, TOPIC, to_wire(message))
        except UnknownMember:
            log.debug("%s was forgotten before it could be answered", peer)

    # ---- time

    def _arm(self) -> None:
        """One timer for detector and exchange."""
        moments = (self._deadline(), self._exchange.deadline)
        wanted = min((moment for moment in moments if moment is not None), default=None)
        self._timer.set(None if self._is_closed else wanted)

    def _deadline(self) -> float | None:
        deadline = self._ask(lambda: self.detector.deadline, None)
        if deadline is None or not math.isfinite(deadline):
            return None
        return max(deadline, self._rests_until)

    def _on_timer(self) -> None:
        now = self._loop.time()
        self._note_refutation()
        self._follow(self._exchange.on_deadline(now))
        due = self._deadline()
        if due is not None and due <= now:
            self._rests_until = now + LEAST_PAUSE_S
            self._tell(self.detector.on_deadline)
        self._arm()

    def _note_refutation(self) -> None:
        """A higher incarnation without anything new in it: this node has taken back an accusation."""
        before, self._me = self._me, self._node.me
        if self._me.incarnation > before.incarnation and replace(before, incarnation=self._me.incarnation) == self._me:
            self._tell(self.detector.refuted)


def _peer_of(effect: Effect) -> NodeId:
    return effect.via if isinstance(effect, Relay) else effect.peer


def _answers_pings(member: Member) -> bool:
    return any(name == PLUGIN for name, _ in member.plugins)
