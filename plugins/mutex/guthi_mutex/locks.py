"""Decides who on this node gets which lock: it joins those who wait here, the algorithms of the view, and the lease.

A caller is a ticket. The tickets of one lock queue up here, and the first one is asked for by the lock's algorithm.

| phase   | meaning                                             | leaves by                                          |
|---------|-----------------------------------------------------|----------------------------------------------------|
| IDLE    | nobody here wants it, or no view grants anything    | a ticket, or a view: asks                          |
| ASKED   | the algorithm has been asked                        | granted; the last ticket is withdrawn              |
| GRANTED | it has granted, but this node's lease has run out,  | the lease; the last ticket is withdrawn            |
|         | or the counter is none that a fence has room for    | a view: asks                                       |
| HELD    | a ticket holds it                                   | released, or lost: when the lease ends or the view |

A new view begins all algorithms anew. What is held in it according to its list goes on being held, under its old fence;
what is not is lost; waiting tickets are asked for again. A fence is the epoch of the view and, below it, the counter
of the algorithm: so it grows with every grant of a lock, whatever the algorithm and whatever has been forgotten.

To hand a lock to another node takes a message, to hand it to another caller here does not. So a node that has got it
has a *turn* of a fixed time: as long as that lasts, its own callers go before other nodes (Dice, Marathe and Shavit,
"Lock cohorting", 2012; bounded by time as in Go's mutex). Nobody waits longer than for a turn and a stay of each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from random import Random
from typing import Any

from guthi import NodeId
from guthi_mutex.algorithm import Algorithm, Granted
from guthi_mutex.algorithm import Effect as AlgorithmEffect
from guthi_mutex.leases import Leases
from guthi_mutex.tickets import Disagreement, Effect, LockGranted, LockReport, Spoke, TicketLost, TicketRefused
from guthi_mutex.view import FENCE_BITS, Policy, View

__all__ = ["Locks"]

MAX_LOCKS = 65_536
MAX_COUNTER = 1 << (FENCE_BITS - 1)


class _Phase(Enum):
    IDLE = auto()
    ASKED = auto()
    GRANTED = auto()
    HELD = auto()


@dataclass(slots=True)
class _Lock:
    name: str
    phase: _Phase = _Phase.IDLE
    algorithm: Algorithm | None = None
    waiting: deque[int] = field(default_factory=deque)
    counter: int = 0  # of the grant that waits for the lease
    ticket: int = 0  # that of the holder
    fence: int = 0
    since: float = 0.0
    turn_ends_at: float = 0.0


class Locks:
    """The machine; `leases` is asked whether a grant may be used, `turn_s` is how long a turn lasts.

    Times are loop time in seconds.
    """

    def __init__(
        self,
        me: NodeId,
        policy: Policy,
        algorithms: Mapping[str, type[Algorithm]],
        leases: Leases,
        rng: Random,
        turn_s: float = 0.0,
    ) -> None:
        self._me, self._policy, self._algorithms, self._leases, self._rng = me, policy, algorithms, leases, rng
        self._turn_s = turn_s
        self._view: View | None = None  # None also while it is being replaced
        self._locks: dict[str, _Lock] = {}
        self._tickets: dict[int, _Lock] = {}
        self._granted: dict[str, _Lock] = {}
        self.held_count = 0
        self.is_full = False
        """There are more locks, or grants, than a view has room for: only another view can mend that."""
        self.is_relied_on = False
        """Another plugin needs the view and its lease, locks or not."""

    @property
    def is_in_use(self) -> bool:
        """Whether anybody here holds or wants a lock, or relies on the view that they are granted in."""
        return bool(self._tickets) or self.is_relied_on

    def disagreement(self, lock: str) -> Disagreement | None:
        """The first two voters of the view that use different algorithms for a lock."""
        if self._view is None or len(self._view.policies) == 1:
            return None
        (first, node), *others = [(policy.algorithm(lock), voter) for policy, voter in self._view.policies]
        for algorithm, other in others:
            if algorithm != first:
                return Disagreement((node, other), (first, algorithm))
        return None

    # ---- callers

    def acquire(self, ticket: int, name: str, now: float) -> list[Effect]:
        """A caller wants a lock."""
        lock = self._lock(name)
        lock.waiting.append(ticket)
        self._tickets[ticket] = lock
        return self._ask(lock, now)

    def _lock(self, name: str) -> _Lock:
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = _Lock(name)
            self.is_full |= len(self._locks) > MAX_LOCKS
        return lock

    def _ask(self, lock: _Lock, now: float) -> list[Effect]:
        if self._view is None or not lock.waiting or lock.phase is not _Phase.IDLE:
            return []
        disagreement = self.disagreement(lock.name)
        if disagreement is not None:
            return self._refuse_all(lock, disagreement)
        lock.phase = _Phase.ASKED
        return self._perform(lock, self._algorithm(lock, self._view).request(), now)

    def _refuse_all(self, lock: _Lock, disagreement: Disagreement) -> list[Effect]:
        tickets = list(lock.waiting)
        lock.waiting.clear()
        for ticket in tickets:
            del self._tickets[ticket]
        return [TicketRefused(ticket, lock.name, disagreement) for ticket in tickets]

    def _algorithm(self, lock: _Lock, view: View) -> Algorithm:
        if lock.algorithm is None:
            held = view.holders.get(lock.name)
            make = self._algorithms[self._policy.algorithm(lock.name)]
            lock.algorithm = make(self._me, view.members, held.holder if held is not None else None, 0, self._rng)
        return lock.algorithm

    def _perform(self, lock: _Lock, effects: Iterable[AlgorithmEffect], now: float) -> list[Effect]:
        performed: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Granted):
                lock.phase, lock.counter = _Phase.GRANTED, effect.counter
                if now >= lock.turn_ends_at:
                    lock.turn_ends_at = now + self._turn_s
                self.is_full |= not 0 < effect.counter < MAX_COUNTER
                performed += self._hand_over(lock, now)
            else:
                performed.append(Spoke(effect.to, lock.name, effect.message))
        return performed

    def _hand_over(self, lock: _Lock, now: float) -> list[Effect]:
        assert self._view is not None and lock.phase is _Phase.GRANTED and lock.waiting
        if self._leases.valid_until <= now or not 0 < lock.counter < 1 << FENCE_BITS:  # a new view begins anew
            self._granted[lock.name] = lock
            return []
        lock.phase = _Phase.HELD
        lock.ticket, lock.since = lock.waiting.popleft(), now
        lock.fence = self._view.id.epoch << FENCE_BITS | lock.counter
        self.held_count += 1
        return [LockGranted(lock.ticket, lock.name, lock.fence)]

    def leased(self, now: float) -> list[Effect]:
        """The lease has been renewed: what waits for it is handed over."""
        granted, self._granted = self._granted, {}
        return [effect for lock in granted.values() for effect in self._hand_over(lock, now)]

    def release(self, ticket: int, now: float) -> list[Effect]:
        """A ticket is not wanted any more, whether it waits or holds; nothing where it has been lost or refused."""
        lock = self._tickets.pop(ticket, None)
        if lock is None:
            return []
        if lock.phase is _Phase.HELD and lock.ticket == ticket:
            return self._leave(lock, now)
        lock.waiting.remove(ticket)
        return self._withdraw(lock, now) if not lock.waiting else []

    def _leave(self, lock: _Lock, now: float) -> list[Effect]:
        """The holder leaves the critical section."""
        lock.phase = _Phase.IDLE
        self.held_count -= 1
        if self._view is None:  # the next view believes that it is held, and is told otherwise in `install`
            return []
        algorithm = self._algorithm(lock, self._view)
        if not lock.waiting:
            return self._perform(lock, algorithm.release(), now)
        lock.phase = _Phase.ASKED
        is_our_turn = now < min(lock.turn_ends_at, self._leases.valid_until)
        return self._perform(lock, algorithm.enter_again() if is_our_turn else algorithm.release_and_request(), now)

    def _withdraw(self, lock: _Lock, now: float) -> list[Effect]:
        """Nobody here waits any more."""
        phase, algorithm = lock.phase, lock.algorithm
        if phase is _Phase.HELD or phase is _Phase.IDLE or algorithm is None:
            return []
        lock.phase = _Phase.IDLE
        self._granted.pop(lock.name, None)
        if self._view is None:  # what the algorithm would say, nobody would hear
            return []
        return self._perform(lock, algorithm.cancel() if phase is _Phase.ASKED else algorithm.release(), now)

    def refuse(self, ticket: int, now: float) -> list[Effect]:
        """A waiting ticket gets no lock, because there is no quorum."""
        lock = self._tickets.get(ticket)
        if lock is None or (lock.phase is _Phase.HELD and lock.ticket == ticket):
            return []
        return [*self.release(ticket, now), TicketRefused(ticket, lock.name)]

    def lose(self, now: float) -> list[Effect]:
        """This node may hold nothing any more: its lease has run out, or it is not in the view."""
        effects: list[Effect] = []
        for lock in [each for each in self._locks.values() if each.phase is _Phase.HELD]:
            effects += self._lost(lock)
            effects += self._leave(lock, now)
        return effects

    def _lost(self, lock: _Lock) -> list[Effect]:
        self._tickets.pop(lock.ticket)
        return [TicketLost(lock.ticket, lock.name, lock.fence)]

    # ---- members

    def receive(self, sender: NodeId, name: str, body: Any, now: float) -> list[Effect]:
        """Another member's algorithm says something; raises MalformedMessage. `is_full` may say that it was not heard.

        There must be a view.
        """
        assert self._view is not None
        if self.disagreement(name) is not None:
            return []
        lock = self._lock(name)
        return self._perform(lock, self._algorithm(lock, self._view).receive(sender, body), now)

    # ---- views

    def freeze(self) -> list[tuple[str, int]]:
        """Another view is being decided: grant nothing more. Returns names and fences of what is held here."""
        self._view = None
        self._granted = {}
        return [(lock.name, lock.fence) for lock in self._locks.values() if lock.phase is _Phase.HELD]

    def install(self, view: View | None, now: float) -> list[Effect]:
        """Another view has been decided; None where this node is not in it."""
        self._view, self._granted, self.is_full = view, {}, False
        before, self._locks = self._locks, {}
        effects: list[Effect] = []
        for lock in before.values():
            lock.algorithm = None
            effects += self._carry_over(lock, view)
            if lock.waiting or lock.phase is _Phase.HELD:
                self._locks[lock.name] = lock
        if view is not None:
            effects += self._release_what_is_not_held(view, now)
            for lock in list(self._locks.values()):
                effects += self._ask(lock, now)
        return effects

    def _carry_over(self, lock: _Lock, view: View | None) -> list[Effect]:
        if lock.phase is not _Phase.HELD:
            lock.phase = _Phase.IDLE
            return []
        listed = view.holders.get(lock.name) if view is not None else None
        if listed is not None and listed.holder == self._me and listed.fence == lock.fence:
            return []
        lock.phase = _Phase.IDLE
        self.held_count -= 1
        return self._lost(lock)

    def _release_what_is_not_held(self, view: View, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for held in view.held:
            if held.holder != self._me:
                continue
            lock = self._lock(held.lock)
            algorithm = self._algorithm(lock, view)
            if lock.phase is not _Phase.HELD:
                effects += self._perform(lock, algorithm.release(), now)
        return effects

    # ---- for people

    def report(self, now: float) -> list[LockReport]:
        """The locks that are held here or waited for, by name."""
        reports = []
        for name, lock in sorted(self._locks.items()):
            if lock.phase is _Phase.HELD or lock.waiting:
                is_held = lock.phase is _Phase.HELD
                queue = lock.algorithm.queue if is_held and lock.algorithm is not None else ()
                fence, age_s = (lock.fence, now - lock.since) if is_held else (None, 0.0)
                reports.append(LockReport(name, lock.ticket, fence, age_s, len(lock.waiting), queue))
        return reports
