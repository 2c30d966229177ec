"""The detector `echo`: every node polls every node, and who does not answer in time has failed.

The source document's rule: an echo to every node each 20 seconds; no reply within 10 seconds means failed. Two things
are added. An echo is a datagram and may be lost, so it is repeated within the timeout, `tries` times in all, at even
distances; with a loss of p each way, a healthy node is accused with probability (1 - (1-p)²) ** tries a poll. And polls
are spread: node a polls node b at moments that a hash of both ids picks within the interval, so N nodes make no burst,
and the load of one node is even as well.

| state   | until                                              | then                               |
|---------|----------------------------------------------------|------------------------------------|
| RESTING | the pair's next phase                              | echo, ASKING                       |
| ASKING  | the answer to any echo of this poll                | RESTING                            |
| ASKING  | timeout / tries after an echo, not the last        | echo again                         |
| ASKING  | timeout / tries after the last echo                | accuse of FAILED; RESTING          |

A node that was stopped itself in the midst of a poll goes on with it, and repeats the last echo: no peer is accused
that had no time to answer, or whose answer has yet to be read.

A member that dies is accused within interval + timeout by every node, and each node reaches its verdict alone. Traffic:
a network of N nodes sends 2·N·(N-1)/interval datagrams a second, a node 2·(N-1)/interval; so it is for networks of up
to some hundred nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from random import Random

from guthi import Duration, Member, MemberState, NodeId
from guthi.transport.alarms import Alarms
from guthi_health.detector import Accuse, Detector, Effect, Ping

__all__ = ["Echo", "EchoSettings"]


LEAST_S = 0.001


@dataclass(frozen=True)
class EchoSettings:
    """How often each node is polled, when it counts as failed, and how many datagrams may be lost before it does."""

    interval: Duration = 20.0
    timeout: Duration = 10.0
    tries: int = 10

    def __post_init__(self) -> None:
        if not 0 < self.timeout <= self.interval:
            raise ValueError("timeout must be more than 0 and at most interval")
        if not 1 <= self.tries <= 100 or self.timeout / self.tries < LEAST_S:
            raise ValueError("tries must be from 1 to 100, and each have 1 ms of the timeout")


class _State(Enum):
    RESTING = 0
    ASKING = 1


@dataclass(slots=True)
class _Poll:
    """One peer, and how far its present poll has come; `first` is the number of its first echo."""

    state: _State = _State.RESTING
    first: int = 0
    sent: int = 0


class Echo(Detector):
    """The machine."""

    name = "echo"
    Settings = EchoSettings

    def __init__(self, me: NodeId, settings: EchoSettings, random: Random) -> None:
        super().__init__(me, settings, random)
        self._polls: dict[NodeId, _Poll] = {}
        self._alarms: Alarms[NodeId] = Alarms()
        self._number = 0

    @property
    def deadline(self) -> float | None:
        return self._alarms.first

    def member(self, member: Member, now: float) -> Sequence[Effect]:
        """A newcomer is polled at its next phase."""
        if member.id not in self._polls:
            self._polls[member.id] = _Poll()
            self._rest(member.id, now)
        return ()

    def gone(self, peer: NodeId, now: float) -> Sequence[Effect]:
        """It is polled no more."""
        self._polls.pop(peer, None)
        self._alarms.clear(peer)
        return ()

    def answered(self, peer: NodeId, number: int, now: float) -> Sequence[Effect]:
        """An answer to an echo of this poll ends it; one to an earlier poll says too little about now."""
        poll = self._polls.get(peer)
        if poll is not None and poll.state is _State.ASKING and number >= poll.first:
            self._rest(peer, now)
        return ()

    def on_deadline(self, now: float) -> Sequence[Effect]:
        """Echo to whose turn it is, and accuse whose time is up."""
        was_stopped = now - (self.deadline or now) > self.settings.timeout / self.settings.tries
        return [
            effect for peer in self._alarms.due(now) for effect in self._due(peer, self._polls[peer], now, was_stopped)
        ]

    def _due(self, peer: NodeId, poll: _Poll, now: float, was_stopped: bool) -> Iterator[Effect]:
        timeout_s = self.settings.timeout
        if poll.state is _State.ASKING and poll.sent == self.settings.tries:
            if not was_stopped:
                self._rest(peer, now)
                yield Accuse(peer, MemberState.FAILED, "direct", f"no echo within {timeout_s:g} s")
                return
            poll.sent -= 1  # the answer may have come, and have yet to be read
        self._number += 1
        if poll.state is _State.RESTING:
            poll.state, poll.first, poll.sent = _State.ASKING, self._number, 0
        poll.sent += 1
        self._alarms.set(peer, now + timeout_s / self.settings.tries)
        yield Ping(peer, self._number)

    def _rest(self, peer: NodeId, now: float) -> None:
        self._polls[peer].state = _State.RESTING
        self._alarms.set(peer, self._next_phase(peer, now))

    def _next_phase(self, peer: NodeId, now: float) -> float:
        interval_s = self.settings.interval
        hashed = blake2b(self.me + peer, digest_size=8).digest()
        phase_s = interval_s * int.from_bytes(hashed, "big") / 2**64
        turn = (now - phase_s) // interval_s + 1
        return float(turn * interval_s + phase_s)

    def opinion(self, peer: NodeId, now: float) -> str:
        """How many echoes of the present poll have no answer; one is always under way."""
        poll = self._polls.get(peer)
        unanswered = poll.sent - 1 if poll is not None and poll.state is _State.ASKING else 0
        return f"{unanswered} of {self.settings.tries} unanswered" if unanswered > 0 else ""
