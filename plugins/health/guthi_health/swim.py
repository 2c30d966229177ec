"""The detector `swim`: one member at a time is probed, directly and then through others, and suspected before it fails.

Each `interval` the next member of a shuffled ring is pinged. If it has not answered after `timeout`, `relays` others
are asked to ping it. If by the end of the interval no answer has come by any path, it is accused of being SUSPECT: the
kernel spreads that, and the accused may refute it. Who stays suspected too long has FAILED. So the load of a node does
not depend on the number of nodes, and a member that dies is first probed after e/(e-1) = 1.6 intervals in the mean.

| probe   | until                     | then                                                             |
|---------|---------------------------|------------------------------------------------------------------|
| IDLE    | the next interval         | ping the next of the ring; DIRECT                                |
| DIRECT  | an answer                 | ANSWERED                                                         |
| DIRECT  | the timeout               | ask the relays; RELAYED                                          |
| RELAYED | an answer by any path     | ANSWERED                                                         |
| RELAYED | the end of the interval   | accuse of SUSPECT, or confirm that; next of the ring             |

With `lifeguard`: (1) interval and timeout grow while the node itself seems ill (`awareness`); relays say also that they
were not answered, and the silence of a relay speaks against the one who asked; (2) the time of suspicion shrinks as
others confirm it (`suspicion`, `confirmations`); (3) a suspected member is told so whenever it is pinged, so that it
can refute at once. Without it suspicion lasts suspicion·log10(N)·interval, and none of these is done.

Das, Gupta and Motivala: SWIM: Scalable Weakly-consistent Infection-style Process Group Membership Protocol. DSN 2002.
Dadgar, Phillips and Currey: Lifeguard. DSN-W 2018. The paper has α = 5 and β = 6; here it is 1.2 and 10, for verdicts
within ten seconds where several agree, and the same patience where nobody does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Any

from guthi import Duration, Member, MemberState, NodeId
from guthi.transport.alarms import Alarms
from guthi_health.awareness import Awareness
from guthi_health.confirmations import FANOUT, Accusation, Confirmations, from_wire, to_wire
from guthi_health.detector import Accuse, Detector, Effect, Note, Ping, Relay, Remind
from guthi_health.ring import Ring
from guthi_health.suspicion import Suspicion

__all__ = ["Swim", "SwimSettings"]

LEAST_LOG = (
    3.0  # small networks are given the suspicion of a thousand nodes: what delays a refutation is not size alone
)
LEAST_S = 0.001
MOST_FACTOR = 1000.0
NACK_SHARE = 0.8  # of the rest of the interval, so that a relay's answer is back before it ends


@dataclass(frozen=True)
class SwimSettings:
    """Of `swim`. `suspicion` and `patience` are α and β of the Lifeguard paper, `awareness` its S."""

    interval: Duration = 0.7
    timeout: Duration = 0.35
    relays: int = 3
    suspicion: float = 1.2
    lifeguard: bool = True
    patience: float = 10.0
    confirmations: int = 3
    awareness: int = 8

    def __post_init__(self) -> None:
        if not LEAST_S <= self.timeout < self.interval:
            raise ValueError("timeout must be 1 ms or more, and less than interval")
        if not (0 <= self.relays <= 16 and 0 <= self.confirmations <= 16 and 0 <= self.awareness <= 64):
            raise ValueError("relays and confirmations must be from 0 to 16, awareness from 0 to 64")
        if not (0 < self.suspicion <= MOST_FACTOR and 1 <= self.patience <= MOST_FACTOR):
            raise ValueError(f"suspicion must be more than 0, patience at least 1, both at most {MOST_FACTOR:g}")


class _State(Enum):
    IDLE = 0
    DIRECT = 1
    RELAYED = 2
    ANSWERED = 3


@dataclass(slots=True)
class _Probe:
    """The probe of this interval; `silent` are the relays that have said nothing."""

    peer: NodeId
    number: int
    began_at: float
    ends_at: float
    state: _State = _State.DIRECT
    asked: tuple[NodeId, ...] = ()
    silent: set[NodeId] = field(default_factory=set)


class Swim(Detector):
    """The machine."""

    name = "swim"
    Settings = SwimSettings

    def __init__(self, me: NodeId, settings: SwimSettings, random: Random) -> None:
        super().__init__(me, settings, random)
        self._members: dict[NodeId, Member] = {}
        self._ring = Ring(random)
        self._probe: _Probe | None = None
        self._step_at: float | None = None
        self._number = 0
        self._awareness = Awareness(settings.awareness if settings.lifeguard else 0)
        self._suspicions: dict[NodeId, Suspicion] = {}
        self._ends: Alarms[NodeId] = Alarms()
        self._confirmations = Confirmations()

    @property
    def deadline(self) -> float | None:
        due = self._step_at  # no generator here: it is asked after each datagram
        for moment in (self._ends.first if self._suspicions else None, self._confirmations.round_at):
            if moment is not None and (due is None or moment < due):
                due = moment
        return due

    @property
    def health(self) -> int:
        return self._awareness.score

    # ---- members

    def member(self, member: Member, now: float) -> Sequence[Effect]:
        """A newcomer joins the ring; a suspected one is given its time; one that refuted is trusted again."""
        if member.id not in self._members:
            self._ring.add(member.id)
            if self._step_at is None:  # the first one: nodes that start together do not probe together
                self._step_at = now + self.random.random() * self.settings.interval
        self._members[member.id] = member
        suspicion = self._suspicions.get(member.id)
        if suspicion is not None and (member.state is MemberState.ALIVE or member.incarnation > suspicion.incarnation):
            self._trust(member.id)
        if member.state is MemberState.SUSPECT and member.id not in self._suspicions:
            self._suspect(member, now)
        return ()

    def gone(self, peer: NodeId, now: float) -> Sequence[Effect]:
        """It is probed no more."""
        if self._members.pop(peer, None) is not None:
            self._ring.remove(peer)
            self._trust(peer)
            if self._probe is not None and self._probe.peer == peer:
                self._probe.state = _State.ANSWERED
        return ()

    def _suspect(self, member: Member, now: float) -> None:
        settings, count = self.settings, len(self._members) + 1
        least_s = settings.suspicion * max(LEAST_LOG, math.log10(count)) * settings.interval
        # Besides the suspected one and its first accuser there must be as many as are to confirm.
        wanted = settings.confirmations if settings.lifeguard and count - 2 >= settings.confirmations else 0
        suspicion = Suspicion(member.incarnation, now, least_s, settings.patience * least_s, wanted)
        suspicion.add(member.verdict.accuser if member.verdict is not None else self.me)
        self._suspicions[member.id] = suspicion
        self._ends.set(member.id, suspicion.ends_at)

    def _delay_verdicts(self, late_s: float) -> None:
        """This node was stopped itself, and may not have heard yet who has refuted meanwhile."""
        for peer, suspicion in self._suspicions.items():
            suspicion.started_at += late_s
            self._ends.set(peer, suspicion.ends_at)

    def _trust(self, peer: NodeId) -> None:
        if self._suspicions.pop(peer, None) is not None:
            self._ends.clear(peer)
        self._confirmations.forget(peer)

    # ---- the probe

    def answered(self, peer: NodeId, number: int, now: float) -> Sequence[Effect]:
        """By the direct path; an answer to an earlier probe comes too late to count."""
        self._reached(peer, number)
        return ()

    def relayed(self, via: NodeId, number: int, reached: bool, now: float) -> Sequence[Effect]:
        """By another path, or not; either way the relay has shown that it hears us."""
        probe = self._probe
        if probe is not None and probe.number == number and via in probe.asked:
            probe.silent.discard(via)
            if reached:
                self._reached(probe.peer, number)
        return ()

    def _reached(self, peer: NodeId, number: int) -> None:
        probe = self._probe
        if probe is not None and probe.peer == peer and probe.number == number and probe.state is not _State.ANSWERED:
            probe.state = _State.ANSWERED
            self._step_at = probe.ends_at
            self._awareness.note(-1)

    def refuted(self, now: float) -> Sequence[Effect]:
        """Somebody found this node silent: it may be slow."""
        self._awareness.note(1)
        return ()

    def on_deadline(self, now: float) -> Sequence[Effect]:
        """Take the next step of the probe, give up whose suspicion has lasted, pass on who accuses whom."""
        effects: list[Effect] = []
        late_s = now - (self.deadline or now)
        if late_s > self.settings.timeout:
            self._delay_verdicts(late_s)
            self._wait_for_relays_again(now)
        if self._step_at is not None and now >= self._step_at:
            effects += self._step(now)
        for peer in self._ends.due(now):
            effects += self._give_up(peer, self._suspicions[peer], now)
        if self._confirmations.round_at is not None and now >= self._confirmations.round_at:
            effects += self._tell(now)
        return effects

    def _step(self, now: float) -> list[Effect]:
        probe = self._probe
        if probe is None or probe.state is _State.ANSWERED:
            return self._begin(now)
        if probe.state is _State.DIRECT:
            return self._ask_relays(probe, now)
        return [*self._conclude(probe, now), *self._begin(now)]

    def _begin(self, now: float) -> list[Effect]:
        peer = self._ring.take()
        if peer is None:
            self._probe = self._step_at = None
            return []
        self._number += 1
        ends_at = now + self._awareness.scaled_s(self.settings.interval)
        self._probe = _Probe(peer, self._number, now, ends_at)
        self._step_at = now + self._awareness.scaled_s(self.settings.timeout)
        buddy = [Remind(peer)] if self.settings.lifeguard and peer in self._suspicions else []
        return [*buddy, Ping(peer, self._number)]

    def _ask_relays(self, probe: _Probe, now: float) -> list[Effect]:
        asked = self._ring.some(self.settings.relays, but=probe.peer)
        probe.state, probe.asked, probe.silent = _State.RELAYED, tuple(asked), set(asked)
        probe.ends_at = max(probe.ends_at, now + self._rest_s)  # later, if this node was stopped itself
        self._step_at = probe.ends_at
        patience_s = NACK_SHARE * (probe.ends_at - now)
        return [Relay(via, probe.peer, probe.number, patience_s) for via in asked]

    def _wait_for_relays_again(self, now: float) -> None:
        """This node was stopped itself: what they have said may have yet to be read."""
        if self._probe is not None and self._probe.state is _State.RELAYED:
            self._probe.ends_at = self._step_at = now + self._rest_s

    @property
    def _rest_s(self) -> float:
        """How long relays have."""
        return self._awareness.scaled_s(self.settings.interval - self.settings.timeout)

    def _conclude(self, probe: _Probe, now: float) -> Iterator[Effect]:
        """No answer by any path: an accusation, or one more."""
        evidence = f"no answer within {probe.ends_at - probe.began_at:.2g} s"
        self._awareness.note(len(probe.silent) if probe.asked else 1)
        member = self._members[probe.peer]
        self._confirmations.add(Accusation(member.id, member.incarnation, self.me), len(self._members) + 1, now)
        if member.id in self._suspicions:
            self._confirm(member.id, self.me)
        else:
            path = f"direct, via {self._names(probe.asked)}" if probe.asked else "direct"
            yield Accuse(member.id, MemberState.SUSPECT, path, evidence, self.health)

    # ---- suspicion

    def _confirm(self, peer: NodeId, accuser: NodeId) -> bool:
        suspicion = self._suspicions[peer]
        if not suspicion.add(accuser):
            return False
        self._ends.set(peer, suspicion.ends_at)
        return True

    def _give_up(self, peer: NodeId, suspicion: Suspicion, now: float) -> Iterator[Effect]:
        self._ends.set(peer, now + self.settings.interval)  # once more, should the kernel know better for the moment
        lasted_s = now - suspicion.started_at
        evidence = f"suspected for {lasted_s:.1f} s, {suspicion.confirmations} more agree"
        others = [accuser for accuser in suspicion.accusers if accuser != self.me]
        path = "direct" if not others else f"accused by {self._names(others)}"
        yield Accuse(peer, MemberState.FAILED, path, evidence, self.health)

    def _tell(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for peer in self._ring.some(FANOUT):
            accusations = self._confirmations.take()
            if accusations:
                effects.append(Note(peer, to_wire(accusations)))
        self._confirmations.round_done(now)
        return effects

    def noted(self, peer: NodeId, value: Any, now: float) -> Sequence[Effect]:
        """Who accuses whom; what is news to this node, it passes on."""
        for accusation in from_wire(value):
            if self._is_at_issue(accusation) and self._confirm(accusation.accused, accusation.accuser):
                self._confirmations.add(accusation, len(self._members) + 1, now)
        return ()

    def _is_at_issue(self, accusation: Accusation) -> bool:
        """False where the accused is not suspected, or not as what it says of itself by now."""
        suspicion = self._suspicions.get(accusation.accused)
        return suspicion is not None and suspicion.incarnation == accusation.incarnation

    def _names(self, peers: Sequence[NodeId]) -> str:
        return ", ".join(self._members[peer].name if peer in self._members else str(peer) for peer in peers)

    def opinion(self, peer: NodeId, now: float) -> str:
        """How long it has been suspected, and by how many."""
        suspicion = self._suspicions.get(peer)
        if suspicion is None:
            return ""
        accusers = len(suspicion.accusers)
        return f"suspected for {now - suspicion.started_at:.1f} s by {accusers}, until {suspicion.ends_at - now:+.1f} s"
