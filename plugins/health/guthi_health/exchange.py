"""Pings and their answers, our own and those that we send for others: what every node does, whatever its detector.

A ping has a number of ours, by which its answer is known; who answers with another, or a second time, is not heard.
Being asked to ping somebody (SWIM's ping-req), this node answers `Told(reached=True)` when the answer comes, and
`Told(reached=False)`, Lifeguard's nack, when it has not come within the patience of the one who asked.

Invariants: a ping is answered at once, by one datagram, twenty bytes longer, so nothing is amplified; what waits is
bounded, the oldest giving way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from guthi import NodeId
from guthi.transport.alarms import Alarms
from guthi_health.clock import ClockSample
from guthi_health.messages import Asked, Message, Pinged, Ponged, Told

__all__ = ["Answered", "Exchange", "Relayed", "Send"]

MOST_WAITING = 16_384  # pings without an answer: those of a silent peer are replaced by newer ones
MOST_RELAYS = 1_024


@dataclass(frozen=True, slots=True)
class Send:
    """Send a datagram to a peer."""

    peer: NodeId
    message: Message


@dataclass(frozen=True, slots=True)
class Answered:
    """A ping of our detector's has been answered. `number` is the detector's own."""

    peer: NodeId
    number: int
    rtt_s: float
    sample: ClockSample


@dataclass(frozen=True, slots=True)
class Relayed:
    """A member that was asked to ping another says how that went."""

    via: NodeId
    number: int
    reached: bool


Outcome: TypeAlias = Send | Answered | Relayed


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A ping without an answer; `asker` has asked for it, or None: our detector has."""

    peer: NodeId
    number: int
    asker: NodeId | None
    sent_at: float
    sent_wall_s: float


class Exchange:
    """The machine; `wall_s` is the wall clock's reading at `now`."""

    def __init__(self) -> None:
        self._waiting: dict[int, _Waiting] = {}
        self._relays: Alarms[int] = Alarms()
        self._number = 0

    @property
    def deadline(self) -> float | None:
        """When `on_deadline` is due."""
        return self._relays.first

    def ping(self, peer: NodeId, number: int, now: float, wall_s: float) -> Send:
        """Ping for our detector."""
        return self._ping(_Waiting(peer, number, None, now, wall_s))

    def _ping(self, waiting: _Waiting) -> Send:
        if len(self._waiting) >= MOST_WAITING:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            self._relays.clear(oldest)
        self._number += 1
        self._waiting[self._number] = waiting
        return Send(waiting.peer, Pinged(self._number))

    def receive(
        self, source: NodeId, message: Pinged | Ponged | Asked | Told, now: float, wall_s: float
    ) -> Sequence[Outcome]:
        """A message has come."""
        match message:
            case Pinged(number):
                return (Send(source, Ponged(number, wall_s, wall_s)),)
            case Ponged():
                return self._ponged(source, message, now, wall_s)
            case Asked():
                return self._asked(source, message, now, wall_s)
            case Told(number, reached):
                return (Relayed(source, number, reached),)

    def _ponged(self, source: NodeId, pong: Ponged, now: float, wall_s: float) -> Sequence[Outcome]:
        waiting = self._waiting.get(pong.number)
        if waiting is None or waiting.peer != source:
            return ()
        del self._waiting[pong.number]
        if waiting.asker is not None:
            self._relays.clear(pong.number)
            return (Send(waiting.asker, Told(waiting.number, True)),)
        sample = ClockSample(waiting.sent_wall_s, pong.received, pong.answered, wall_s)
        return (Answered(source, waiting.number, now - waiting.sent_at, sample),)

    def _asked(self, source: NodeId, asked: Asked, now: float, wall_s: float) -> Sequence[Outcome]:
        if len(self._relays) >= MOST_RELAYS:
            return ()
        ping = self._ping(_Waiting(asked.member, asked.number, source, now, wall_s))
        self._relays.set(self._number, now + asked.patience_s)
        return (ping,)

    def forget(self, peer: NodeId) -> None:
        """It has failed or left: no answer of it is waited for, and none is told to it."""
        gone = [number for number, waiting in self._waiting.items() if peer in (waiting.peer, waiting.asker)]
        for number in gone:
            del self._waiting[number]
            self._relays.clear(number)

    def on_deadline(self, now: float) -> Iterator[Outcome]:
        """Say of whom we were to ping that there was no answer."""
        for own_number in self._relays.due(now):
            waiting = self._waiting.pop(own_number, None)
            if waiting is not None and waiting.asker is not None:
                yield Send(waiting.asker, Told(waiting.number, False))
