"""Participants alone, without nodes or sessions, in thousands of bad moments: never two may believe in one lock.

Messages take a while, are lost, and overtake; participants are stopped for seconds between any two of them, cut off,
told wrongly who has failed; newcomers are let in. More: `pytest …/test_bare_views.py --guthi-seeds 2000`.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

import pytest
from tests.plugins.mutex.test_participant import LEASE_S, a_participant
from tests.plugins.mutex.test_view import node

from guthi import MemberState, NodeId
from guthi_mutex.agreement import Remember, Tell
from guthi_mutex.memory import Memory
from guthi_mutex.messages import Accepted, Message, Promise, decode, encode
from guthi_mutex.participant import Effect
from guthi_mutex.tickets import LockGranted, TicketLost

LOCK = "render"
TROUBLE_S, PEACE_S = 25.0, 60.0


class Stage:
    """Some participants, of which two or three are there from the start, and the rest comes later."""

    def __init__(self, seed: int, count: int, first: int) -> None:
        self.rng = Random(seed)
        self.now = 0.0
        turn_s = (0.0, 0.01, 2.0)[seed % 3]
        self.nodes = {node(number): a_participant(number, turn_s=turn_s) for number in range(count)}
        self.present = {node(number) for number in range(first)}
        self.stopped_until = dict.fromkeys(self.nodes, 0.0)
        self.cut_until = {(one, two): 0.0 for one in self.nodes for two in self.nodes}
        self.memories: dict[NodeId, Memory] = {}
        self.waiting: set[NodeId] = set()
        self.holding: dict[NodeId, int] = {}
        self.newest = 0
        self.entries = dict.fromkeys(self.nodes, 0)
        self._events: list[tuple[float, int, NodeId | None, Callable[[], None]]] = []
        self._serial = self._ticket = 0
        self._woken: dict[NodeId, float] = {}

    def at(self, when: float, whom: NodeId | None, action: Callable[[], None]) -> None:
        """Do something, later where it concerns one that is stopped then."""
        self._serial += 1
        heappush(self._events, (when, self._serial, whom, action))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            when, _, whom, action = heappop(self._events)
            if whom is not None and self.stopped_until[whom] > when:
                self.at(self.stopped_until[whom], whom, action)
                continue
            self.now = max(self.now, when)
            action()
        self.now = end

    def act(self, id: NodeId, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Tell():
                    self._send(id, effect.to, effect.message)
                case Remember():
                    self.memories[id] = effect.memory
                case LockGranted():
                    self._granted(id, effect)
                case TicketLost():
                    self.holding.pop(id, None)
        due = self.nodes[id].deadline
        if due is not None and due < self._woken.get(id, float("inf")):
            self._woken[id] = due
            self.at(max(due, self.now), id, lambda: self._wake(id))

    def _wake(self, id: NodeId) -> None:
        self._woken.pop(id, None)
        due = self.nodes[id].deadline
        self.act(id, self.nodes[id].on_deadline(self.now) if due is not None and due <= self.now else [])

    def _send(self, sender: NodeId, to: NodeId, message: Message) -> None:
        if self.cut_until[min(sender, to), max(sender, to)] > self.now or to not in self.present:
            return
        if isinstance(message, Promise | Accepted) and self.now < TROUBLE_S and self.rng.random() < 0.3:
            self._stop(sender)  # at the worst moment there is: it has agreed to what it may not hear of
        wire = encode(message)
        self.at(self.now + self.rng.uniform(0.001, 0.02), to, lambda: self._receive(sender, to, wire))

    def _receive(self, sender: NodeId, to: NodeId, wire: list[object]) -> None:
        self.act(to, self.nodes[to].receive(sender, decode(wire), self.now))

    def _granted(self, id: NodeId, granted: LockGranted) -> None:
        for other in self.holding:
            until = self.nodes[other].leases.valid_until
            assert until <= self.now, f"{id} is granted what {other} believes to hold, for {until - self.now} s more"
        assert granted.fence > self.newest
        self.newest = granted.fence
        self.waiting.remove(id)
        self.holding[id] = granted.ticket
        self.entries[id] += 1
        self.at(self.now + self.rng.choice([0.01, 0.5, 5.0]), id, lambda: self._leave(id, granted.ticket))

    def _leave(self, id: NodeId, ticket: int) -> None:
        if self.holding.get(id) == ticket:
            del self.holding[id]
        self.act(id, self.nodes[id].release(ticket, self.now))

    # ---- what happens

    def enter(self, id: NodeId) -> None:
        """Comes, knowing all others, and wants the lock from then on."""
        self.present.add(id)
        self.see(id, errors=0.0)
        self.want(id)

    def want(self, id: NodeId) -> None:
        """Wants the lock, unless it waits already; and again, for ever."""
        if id not in self.waiting:
            self._ticket += 1
            self.waiting.add(id)
            self.act(id, self.nodes[id].acquire(self._ticket, LOCK, self.now))
        self.at(self.now + self.rng.uniform(0.1, 4.0), id, lambda: self.want(id))

    def see(self, id: NodeId, errors: float) -> None:
        """Is told who is there, with mistakes."""
        states = {
            other: MemberState.FAILED if self.rng.random() < errors else MemberState.ALIVE
            for other in sorted(self.present - {id})
        }
        self.act(id, self.nodes[id].peers(states, self.now))

    def _stop(self, id: NodeId) -> None:
        self.stopped_until[id] = self.now + self.rng.choice([0.3, 2.0, 8.0, 12.0])

    def trouble(self) -> None:
        """Something bad, again and again."""
        rng = self.rng
        one, two = rng.sample(sorted(self.nodes), 2)
        match rng.randrange(5):
            case 0 | 1:
                self._stop(one)
            case 2:
                self.cut_until[min(one, two), max(one, two)] = self.now + rng.uniform(0.5, 8.0)
            case 3:
                for other in self.nodes:
                    self.cut_until[min(one, other), max(one, other)] = self.now + rng.uniform(0.5, 8.0)
            case 4 if one not in self.present:
                self.enter(one)
        for id in sorted(self.present):
            self.at(self.now + rng.uniform(0, 1.0), id, lambda id=id: self.see(id, errors=0.2))  # type: ignore[misc]
        if self.now < TROUBLE_S:
            self.at(self.now + rng.uniform(0.02, 2.0), None, self.trouble)


@pytest.mark.guthi_seeds(6)
@pytest.mark.parametrize(("count", "first"), [(3, 2), (4, 2), (5, 3)])
def test_never_two_believe_in_one_lock(guthi_seed: int, count: int, first: int) -> None:
    stage = Stage(guthi_seed, count, first)
    for id in sorted(stage.present):
        stage.see(id, errors=0.0)
        stage.want(id)
    stage.at(LEASE_S, None, stage.trouble)
    stage.run(TROUBLE_S)
    stage.run(15.0)  # until who was stopped last has gone on
    for id in sorted(set(stage.nodes) - stage.present):
        stage.enter(id)
    for id in stage.nodes:
        stage.see(id, errors=0.0)
    stage.entries = dict.fromkeys(stage.nodes, 0)
    stage.run(PEACE_S)
    assert all(stage.entries.values()), "somebody is not served although nothing is wrong any more"
