"""What an entry costs in messages and in their time on the way: measured in bare worlds, and as the papers have it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from random import Random
from statistics import fmean

from tests.plugins.mutex.bare import BareWorld, Client

from guthi_mutex.algorithm import Algorithm
from guthi_mutex.quorums import quorum_of
from guthi_mutex.raymond import step_towards

__all__ = ["BUSY", "HANDOVER", "RARE", "busy", "handover", "rare"]


def rare(kind: type[Algorithm], count: int, entries: int, seed: int = 0) -> float:
    """Messages an entry when one node at a time wants the lock, any node with the same chance.

    As many entries again before these do not count: the trees of Naimi and Tréhel bend themselves meanwhile.
    """
    rng = Random(seed)
    world = BareWorld(kind, count, rng)
    world.granted = world.release
    for _ in range(entries):
        _enter_once(world, rng)
    before = world.sent
    for _ in range(entries):
        _enter_once(world, rng)
    return (world.sent - before) / entries


def _enter_once(world: BareWorld, rng: Random) -> None:
    world.request(rng.randrange(len(world.members)))
    world.run()


def busy(kind: type[Algorithm], count: int, entries: int, seed: int = 0) -> float:
    """Messages an entry when every node wants the lock again as soon as it has left, `entries` times each."""
    world = BareWorld(kind, count, Random(seed))
    _run_busily(world, entries, stay_s=1.0)
    return world.sent / world.entries


def _run_busily(world: BareWorld, entries: int, stay_s: float) -> None:
    ranks = range(len(world.members))
    clients = [Client(world, rank, entries, pause_s=0.0, stay_s=stay_s, gives_up=0.0) for rank in ranks]
    world.granted = lambda rank: clients[rank].entered()
    world.run()


def handover(kind: type[Algorithm], count: int, entries: int, seed: int = 0) -> float:
    """How many messages are on their way one after another between leaving and the next one's entry, on average.

    All wait, and stay so long that what else there is to be said is said meanwhile.
    """
    world = BareWorld(kind, count, Random(seed), delay_s=lambda rng: 1.0)
    _run_busily(world, entries, stay_s=20.0)
    return round(fmean(world.handovers_s), 9)


@cache
def _harmonic(count: int) -> float:
    return sum(1 / each for each in range(1, count + 1))


@cache
def _votes(count: int) -> float:
    """How many others a node asks, on average."""
    return fmean(len(quorum_of(rank, count)) - 1 for rank in range(count))


@cache
def _edges_between(count: int) -> float:
    """Edges of Raymond's tree between two nodes, on average over all pairs, a node with itself included."""
    return fmean(_distance(goal, start) for goal in range(count) for start in range(count))


def _distance(goal: int, start: int) -> int:
    steps = 0
    while start != goal:
        start = step_towards(goal, start)
        steps += 1
    return steps


RARE: Mapping[str, Callable[[int], float]] = {
    "suzuki-kasami": lambda count: count - 1.0,  # N, but none for the one in N that has the token
    "ricart-agrawala": lambda count: 2.0 * (count - 1),
    "raymond": lambda count: 2 * _edges_between(count),
    "naimi-trehel": lambda count: _harmonic(count - 1),
    "maekawa": lambda count: 3 * _votes(count),
}
"""What `rare` has to give, by algorithm, of the number of nodes."""

BUSY: Mapping[str, Callable[[int], tuple[float, float]]] = {
    "suzuki-kasami": lambda count: (count - 1.0, count),
    "ricart-agrawala": lambda count: (2.0 * (count - 1), 2.0 * (count - 1)),
    "raymond": lambda count: (3.0, 4.0),
    "naimi-trehel": lambda count: (3.0, _harmonic(count - 1) + 1),
    "maekawa": lambda count: (3 * _votes(count), 5 * _votes(count)),
}
"""The least and most that `busy` may give for ten nodes and more."""

HANDOVER: Mapping[str, tuple[float, float]] = {
    "suzuki-kasami": (1, 1),  # the token
    "ricart-agrawala": (1, 1),  # the replies that were put off
    "raymond": (1, 2),  # the privilege goes round the tree, over each of the N-1 edges twice for N entries
    "naimi-trehel": (1, 1),  # the token
    "maekawa": (1, 2),  # a release and the vote, unless the one who leaves or who enters is the voter
}
"""The least and most that `handover` may give."""
