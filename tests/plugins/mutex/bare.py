"""A bare world for algorithms: nothing but their messages, which take a while and keep their order between two nodes.

It holds an algorithm to its interface at every step: one node inside, counters that grow, messages that CBOR can carry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

import cbor2

from guthi import NodeId
from guthi_mutex.algorithm import Algorithm, Effect, Granted, Send

__all__ = ["BareWorld", "Client", "steady", "uneven"]

LONGEST_RUN_EVENTS = 5_000_000


def steady(rng: Random) -> float:
    """Seconds on the way: between 0.5 and 1, so that no message meets more than one hop of another."""
    return rng.uniform(0.5, 1.0)


def uneven(rng: Random) -> float:
    """Mostly below 3 s, at times a minute: any order between different pairs comes about."""
    return rng.expovariate(1.0) * (20 if rng.random() < 0.1 else 1)


class BareWorld:
    """The members of one view and one lock; rank r has the r-th id."""

    def __init__(
        self,
        kind: type[Algorithm],
        count: int,
        rng: Random,
        *,
        delay_s: Callable[[Random], float] = steady,
        holder: int | None = None,
        fence: int = 0,
    ) -> None:
        self.rng = rng
        self.now = 0.0
        self.members = [NodeId(rank.to_bytes(16, "big")) for rank in range(count)]
        inside = None if holder is None else self.members[holder]
        self.algorithms = [kind(each, self.members, inside, fence, Random(rng.random())) for each in self.members]
        self.inside = holder
        self.counter = fence
        self.sent = 0
        self.entries = 0
        self.handovers_s: list[float] = []  # between leaving and the next entry
        self.overtaken = 0  # the most often that one node entered between another's request and its entry
        self.granted: Callable[[int], None] = lambda rank: None
        self._delay_s = delay_s
        self._left_at: float | None = None
        self._waiting: dict[int, Counter[int]] = {}  # who entered since each waiting node asked
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self._last_arrival_s: dict[tuple[int, int], float] = {}

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Do something at a time to come."""
        self._serial += 1
        heappush(self._events, (when, self._serial, action))

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do something a while from now."""
        self.at(self.now + delay_s, action)

    def run(self) -> None:
        """Until nothing is under way any more; then nobody waits, as whoever entered has left."""
        self.settle()
        assert not self._waiting, f"nobody serves {sorted(self._waiting)}"
        assert self.inside is None

    def settle(self) -> None:
        """Until nothing is under way any more."""
        for _ in range(LONGEST_RUN_EVENTS):
            if not self._events:
                return
            self.now, _, action = heappop(self._events)
            action()
        raise AssertionError("the algorithm never comes to rest")

    def waits(self, rank: int) -> bool:
        """True between a node's request and its entry."""
        return rank in self._waiting

    def request(self, rank: int) -> None:
        """A node asks for the lock."""
        self._waiting[rank] = Counter()
        self._carry_out(rank, self.algorithms[rank].request())

    def cancel(self, rank: int) -> None:
        """A waiting node does not want it any more."""
        del self._waiting[rank]
        self._carry_out(rank, self.algorithms[rank].cancel())

    def release(self, rank: int) -> None:
        """The node that is inside leaves."""
        assert self.inside == rank
        self.inside = None
        self._left_at = self.now
        self._carry_out(rank, self.algorithms[rank].release())

    def release_and_request(self, rank: int) -> None:
        """The node that is inside leaves, and asks again."""
        assert self.inside == rank
        self.inside = None
        self._left_at = self.now
        self._waiting[rank] = Counter()
        self._carry_out(rank, self.algorithms[rank].release_and_request())

    def enter_again(self, rank: int) -> None:
        """The node that is inside leaves, and enters again before all others."""
        assert self.inside == rank
        self.inside = None
        self._waiting[rank] = Counter()
        effects = self.algorithms[rank].enter_again()
        assert [type(each) for each in effects] == [Granted], "others are told, or it is not granted"
        self._left_at = None  # this is no handover
        self._carry_out(rank, effects)

    def _carry_out(self, rank: int, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Granted(counter):
                    self._enter(rank, counter)
                case Send(to, message):
                    self._send(rank, self.members.index(to), cbor2.dumps(message))

    def _enter(self, rank: int, counter: int) -> None:
        assert self.inside is None, f"{rank} enters while {self.inside} is inside"
        assert counter > self.counter, f"{counter} is granted after {self.counter}"
        assert rank in self._waiting, f"{rank} is granted what it does not want"
        self.inside = rank
        self.counter = counter
        self.entries += 1
        if self._left_at is not None:
            self.handovers_s.append(self.now - self._left_at)
        self.overtaken = max(self.overtaken, *self._waiting.pop(rank).values(), 0)
        for others in self._waiting.values():
            others[rank] += 1
        self.granted(rank)

    def _send(self, sender: int, to: int, message: bytes) -> None:
        assert sender != to, "a message to oneself"
        self.sent += 1
        arrival = max(self.now + self._delay_s(self.rng), self._last_arrival_s.get((sender, to), 0.0))
        self._last_arrival_s[sender, to] = arrival
        self.at(arrival, lambda: self._arrive(sender, to, message))

    def _arrive(self, sender: int, to: int, message: bytes) -> None:
        self._carry_out(to, self.algorithms[to].receive(self.members[sender], cbor2.loads(message)))


class Client:
    """Enters a number of times, pausing in between or, in a share of cases, not; perhaps gives up now and then."""

    def __init__(
        self,
        world: BareWorld,
        rank: int,
        entries: int,
        pause_s: float,
        stay_s: float,
        gives_up: float,
        again: float = 0.0,
        stays: float = 0.0,
    ) -> None:
        self._world = world
        self._rank = rank
        self._left = entries
        self._pause_s = pause_s
        self._stay_s = stay_s
        self._gives_up = gives_up
        self._again = again
        self._stays = stays
        self._attempt = 0
        if world.inside == rank:
            self.entered()
        else:
            self._pause()

    def _pause(self) -> None:
        if self._left > 0:
            self._world.after(self._world.rng.uniform(0.0, self._pause_s), self._request)

    def _request(self) -> None:
        self._ask(self._world.request)

    def _ask(self, ask: Callable[[int], None]) -> None:
        self._left -= 1
        self._attempt += 1
        attempt, rng = self._attempt, self._world.rng
        if rng.random() < self._gives_up:
            self._world.after(rng.expovariate(0.2), lambda: self._give_up(attempt))
        ask(self._rank)

    def _give_up(self, attempt: int) -> None:
        if attempt == self._attempt and self._world.waits(self._rank):
            self._world.cancel(self._rank)
            self._ask_again_or_pause()

    def _ask_again_or_pause(self) -> None:
        """At once is what most likely meets messages of the request that was given up."""
        if self._left > 0 and self._world.rng.random() < 0.5:
            self._request()
        else:
            self._pause()

    def entered(self) -> None:
        """To be called when the node is granted the lock."""
        self._world.after(self._world.rng.uniform(self._stay_s / 2, self._stay_s), self._leave)

    def _leave(self) -> None:
        if self._left > 0 and self._happens(self._stays):
            self._ask(self._world.enter_again)
        elif self._left > 0 and self._happens(self._again):
            self._ask(self._world.release_and_request)
        else:
            self._world.release(self._rank)
            self._pause()

    def _happens(self, chance: float) -> bool:
        return chance > 0.0 and self._world.rng.random() < chance
