"""Decides who is next by asking everybody: Ricart and Agrawala's algorithm of time-stamped requests.

Theory: G. Ricart, A. K. Agrawala, "An optimal algorithm for mutual exclusion in computer networks", Communications of
the ACM 24(1), 1981. Stamps are L. Lamport's logical clocks (CACM 21(7), 1978); (stamp, node id) orders all requests.

    REQUEST stamp          to everybody: may I?
    REPLY stamp counter    you may, as far as I am concerned; the stamp is that of the request

Who neither waits nor is inside replies at once; who waits replies at once to requests that are before its own; all
other replies are put off until it leaves. Who has everybody's reply is in.

Messages an entry: 2(N-1), always. Fair: between our request and our entry each other node enters at most twice: with
the request that we had replied to already, and with one that it stamped before it saw ours. To enter with that it needs
our reply, which comes after our REQUEST, as messages keep their order; from then on it stamps its own later.

Invariants: of two that wait, the later one lacks the reply of the earlier one. Counters grow: let i enter before j. Had
i replied to j's request before it entered, then because j's request was earlier, or because i had none and stamped its
own later: either way j puts off its reply to i until it has left, and enters first. So i replied after it had left,
with a counter at least that of its grant; j's is one more than the highest that it was told.

A request can be withdrawn without a message of its own: the replies that were put off are sent, and replies that still
come are known by their stamp. Who puts off the reply to it then owes a reply to our next request only.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, IntEnum, auto
from random import Random
from typing import Any

from guthi import MalformedMessage, NodeId
from guthi_mutex.algorithm import Algorithm, Effect, Granted, Send

__all__ = ["RicartAgrawala"]


class Kind(IntEnum):
    REQUEST = 0
    REPLY = 1


class Phase(Enum):
    OUTSIDE = auto()
    WAITING = auto()
    INSIDE = auto()


class RicartAgrawala(Algorithm):
    """Everybody's permission, earliest stamp first; fair, and no node matters more than another."""

    name = "ricart-agrawala"

    def __init__(
        self, me: NodeId, members: Sequence[NodeId], holder: NodeId | None, fence: int, rng: Random | None = None
    ) -> None:
        super().__init__(me, members, holder, fence, rng)
        self._others = tuple(each for each in self.members if each != me)
        self._phase = Phase.INSIDE if holder == me else Phase.OUTSIDE
        self._counter = fence  # the highest that this node has granted or was told
        self._latest = 0  # the greatest stamp that this node has given or seen
        self._stamp = 0  # of our own request; whoever is inside from the start is before all others
        self._missing: set[NodeId] = set()  # whose reply to our request is to come
        self._put_off: dict[NodeId, int] = {}  # who waits for our reply, and to which stamp

    def request(self) -> list[Effect]:
        assert self._phase is Phase.OUTSIDE
        self._phase = Phase.WAITING
        self._latest += 1
        self._stamp = self._latest
        self._missing = set(self._others)
        if not self._missing:
            return self._enter()
        return [Send(each, [Kind.REQUEST, self._stamp]) for each in self._others]

    def release(self) -> list[Effect]:
        assert self._phase is Phase.INSIDE
        return self._leave()

    def enter_again(self) -> list[Effect]:
        assert self._phase is Phase.INSIDE
        return self._enter()  # the replies that are put off say the counter when we leave

    def cancel(self) -> list[Effect]:
        assert self._phase is Phase.WAITING
        return self._leave()

    def receive(self, sender: NodeId, message: Any) -> list[Effect]:
        match message:
            case [Kind.REQUEST, int(stamp)]:
                return self._requested(sender, stamp)
            case [Kind.REPLY, int(stamp), int(counter)]:
                return self._replied(sender, stamp, counter)
            case _:
                raise MalformedMessage("ricart-agrawala knows a request with a stamp, a reply with stamp and counter")

    def _requested(self, sender: NodeId, stamp: int) -> list[Effect]:
        self._latest = max(self._latest, stamp)
        ours_is_later = (stamp, sender) < (self._stamp, self.me)
        if self._phase is Phase.OUTSIDE or (self._phase is Phase.WAITING and ours_is_later):
            return [self._reply(sender, stamp)]
        self._put_off[sender] = stamp
        return []

    def _replied(self, sender: NodeId, stamp: int, counter: int) -> list[Effect]:
        if self._phase is not Phase.WAITING or stamp != self._stamp:
            return []  # to a request that was withdrawn
        self._counter = max(self._counter, counter)
        self._missing.discard(sender)
        return [] if self._missing else self._enter()

    def _enter(self) -> list[Effect]:
        self._phase = Phase.INSIDE
        self._counter += 1
        return [Granted(self._counter)]

    def _leave(self) -> list[Effect]:
        self._phase = Phase.OUTSIDE
        replies: list[Effect] = [self._reply(node, stamp) for stamp, node in self._by_stamp()]
        self._put_off.clear()
        return replies

    def _reply(self, to: NodeId, stamp: int) -> Send:
        return Send(to, [Kind.REPLY, stamp, self._counter])

    def _by_stamp(self) -> list[tuple[int, NodeId]]:
        return sorted((stamp, node) for node, stamp in self._put_off.items())

    @property
    def queue(self) -> tuple[NodeId, ...]:
        ours = [self.me] if self._phase is Phase.WAITING else []  # those put off are later than our own request
        return (*ours, *(node for _, node in self._by_stamp()))
