"""The detector `phi-accrual`: the longer a peer is silent, compared with its habit, the more it is suspected.

Each peer is pinged each `interval`, at a phase of its own, and the times between its answers are kept (see `arrivals`).
At `threshold` it is accused of being SUSPECT; if nothing comes for `timeout` after that, of having FAILED. So the delay
of a verdict adapts itself to the path: some four seconds with the default `pause` on an even network, more where
answers come unevenly or are lost.

| state     | until                       | then                                                        |
|-----------|-----------------------------|-------------------------------------------------------------|
| TRUSTED   | phi reaches `threshold`     | accuse of SUSPECT; DISTRUSTED                               |
| DISTRUSTED| an answer                   | TRUSTED; the gap is learnt; the peer is told, and refutes it |
| DISTRUSTED| `timeout` after that        | accuse of FAILED, and again until it is gone                |

A node that was stopped itself finds its timer late; by so much it forgives every silence, for it has asked nobody.

Thresholds, window and floor are Akka's; Cassandra's rule is the same with an exponential distribution. Traffic is that
of `echo` with a shorter interval: 2·(N-1)/interval datagrams a node and second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random

from guthi import Duration, Member, MemberState, NodeId
from guthi.transport.alarms import Alarms
from guthi_health.arrivals import Arrivals
from guthi_health.detector import Accuse, Detector, Effect, Ping, Remind

__all__ = ["PhiAccrual", "PhiSettings"]

LEAST_S = 0.001
MOST_SHOWN = 99.9  # beyond that it says nothing more


@dataclass(frozen=True)
class PhiSettings:
    """Of `phi-accrual`; `window` counts answers, `threshold` is a phi."""

    interval: Duration = 1.0
    timeout: Duration = 5.0
    threshold: float = 8.0
    pause: Duration = 3.0
    window: int = 200
    least_deviation: Duration = 0.1

    def __post_init__(self) -> None:
        if not (self.interval >= LEAST_S and self.timeout >= LEAST_S and self.least_deviation > 0):
            raise ValueError("interval and timeout must be 1 ms or more, and least_deviation more than 0")
        if not 0.5 <= self.threshold <= 100:
            raise ValueError("threshold must be from 0.5 to 100")
        if not 2 <= self.window <= 10_000:
            raise ValueError("window must be from 2 to 10000")


class _State(Enum):
    TRUSTED = 0
    DISTRUSTED = 1


class _Alarm(Enum):
    PING = 0
    VERDICT = 1


@dataclass(slots=True)
class _Peer:
    """What is known of one peer; `number` is the newest ping that it has answered."""

    arrivals: Arrivals
    heard_at: float
    number: int = 0
    state: _State = field(default=_State.TRUSTED)


class PhiAccrual(Detector):
    """The machine."""

    name = "phi-accrual"
    Settings = PhiSettings

    def __init__(self, me: NodeId, settings: PhiSettings, random: Random) -> None:
        super().__init__(me, settings, random)
        self._peers: dict[NodeId, _Peer] = {}
        self._alarms: Alarms[tuple[NodeId, _Alarm]] = Alarms()
        self._number = 0

    @property
    def deadline(self) -> float | None:
        return self._alarms.first

    def member(self, member: Member, now: float) -> Sequence[Effect]:
        """A newcomer is given the time that an answer may take before phi is asked."""
        if member.id in self._peers:
            return ()
        settings = self.settings
        arrivals = Arrivals(settings.window, settings.interval, settings.pause, settings.least_deviation)
        self._peers[member.id] = _Peer(arrivals, now)
        self._alarms.set((member.id, _Alarm.PING), now + self.random.random() * settings.interval)
        self._expect(member.id)
        return ()

    def gone(self, peer: NodeId, now: float) -> Sequence[Effect]:
        """What is known of it is forgotten: when it is back, all may be otherwise."""
        self._peers.pop(peer, None)
        for alarm in _Alarm:
            self._alarms.clear((peer, alarm))
        return ()

    def answered(self, peer: NodeId, number: int, now: float) -> Sequence[Effect]:
        """A sign of life; one that was overtaken by a newer one is none."""
        known = self._peers.get(peer)
        if known is None or number <= known.number:
            return ()
        known.arrivals.add(now - known.heard_at)
        known.heard_at, known.number = now, number
        was_distrusted, known.state = known.state is _State.DISTRUSTED, _State.TRUSTED
        self._expect(peer)
        return (Remind(peer),) if was_distrusted else ()

    def _expect(self, peer: NodeId) -> None:
        known = self._peers[peer]
        silence_s = known.arrivals.silence_s(self.settings.threshold)
        self._alarms.set((peer, _Alarm.VERDICT), known.heard_at + silence_s)

    def on_deadline(self, now: float) -> Sequence[Effect]:
        """Ping, suspect, give up."""
        effects: list[Effect] = []
        late_s = now - (self.deadline or now)
        if late_s > self.settings.interval:
            self._forgive(late_s, now)
        for peer, alarm in self._alarms.due(now):
            effects += self._ping(peer, now) if alarm is _Alarm.PING else self._judge(peer, self._peers[peer], now)
        return effects

    def _forgive(self, late_s: float, now: float) -> None:
        for peer, known in self._peers.items():
            known.heard_at = min(known.heard_at + late_s, now)
            if known.state is _State.TRUSTED:
                self._expect(peer)
            else:
                self._alarms.set((peer, _Alarm.VERDICT), now + self.settings.timeout)

    def _ping(self, peer: NodeId, now: float) -> Iterator[Effect]:
        self._number += 1
        self._alarms.set((peer, _Alarm.PING), now + self.settings.interval)
        yield Ping(peer, self._number)

    def _judge(self, peer: NodeId, known: _Peer, now: float) -> Iterator[Effect]:
        silence_s = now - known.heard_at
        evidence = f"silent for {silence_s:.1f} s, phi {min(known.arrivals.phi(silence_s), MOST_SHOWN):.1f}"
        verdict = MemberState.SUSPECT if known.state is _State.TRUSTED else MemberState.FAILED
        known.state = _State.DISTRUSTED
        self._alarms.set((peer, _Alarm.VERDICT), now + self.settings.timeout)
        yield Accuse(peer, verdict, "direct", evidence)

    def opinion(self, peer: NodeId, now: float) -> str:
        """Its phi at this moment."""
        known = self._peers.get(peer)
        return f"phi {known.arrivals.phi(now - known.heard_at):.1f}" if known is not None else ""
