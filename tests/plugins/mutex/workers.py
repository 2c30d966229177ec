"""Workers that enter critical sections on simulated nodes, and a ledger that tells when two of them are inside.

The ledger sees all nodes at one moment, as nobody in the network can. Whether a grant is valid is asked on the clock
of the machine that has it: a holder that is paused, or cut off, has to have lost it by its own clock before another
gets it.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar

import guthi
from guthi.testing import Link, World
from guthi.testing.node import SimulatedNode
from guthi.testing.processor import Power
from guthi_mutex import MUTEX, Grant, LockLost, MutexPlugin, NoQuorum
from guthi_mutex.keeper import Keeper

NAMES = ["alice", "bob", "carol", "dave", "erin"]
TRANSPORT = {"keepalive": "1s", "timeout": "3s", "handshake_timeout": "2s"}
ROUGH = Link(latency_s=0.001, jitter_s=0.004, loss=0.05, duplicate=0.05, reorder=0.1)
LOCKS = ["render", "backup"]


@dataclass(slots=True, eq=False)
class Tenure:
    """One stay in a critical section."""

    node: SimulatedNode
    machine_life: object
    grant: Grant

    @property
    def is_valid(self) -> bool:
        """Whether the worker may believe, at this moment, that it holds the lock."""
        machine = self.node.machine
        if machine.power is Power.OFF or machine.processor is not self.machine_life:
            return False
        return machine.processor.context.copy().run(lambda: self.grant.is_valid)


@dataclass(slots=True)
class Ledger:
    """Who is inside, and what fences there have been."""

    world: World
    inside: dict[str, list[Tenure]] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    entries: dict[str, int] = field(default_factory=dict)
    lost: int = 0

    def enter(self, node: SimulatedNode, grant: Grant) -> Tenure:
        """A worker enters; the world fails if another is inside, or if its fence is not the greatest yet."""
        mine = Tenure(node, node.machine.processor, grant)
        others = self.inside.setdefault(grant.lock, [])
        for other in others:
            assert not other.is_valid, f"{node.name} enters {grant.lock} while {other.node.name} is inside"
        assert grant.fence > self.newest.get(grant.lock, 0), f"{node.name} enters {grant.lock} under an older fence"
        self.newest[grant.lock] = grant.fence
        self.entries[node.name] = self.entries.get(node.name, 0) + 1
        self.inside[grant.lock] = [*(each for each in others if each.is_valid), mine]
        return mine

    def leave(self, tenure: Tenure) -> None:
        """A worker leaves."""
        if tenure in self.inside[tenure.grant.lock]:
            self.inside[tenure.grant.lock].remove(tenure)


class WorkPlugin(guthi.Plugin):
    """Enters and leaves, again and again, with all that a caller may do: timeouts, cancellation, losing patience."""

    name = "work"
    requires = (MUTEX,)
    ledger: ClassVar[Ledger]
    locks: ClassVar[list[str]] = LOCKS

    async def run(self, stack: AsyncExitStack) -> None:
        self._random = Random(self.node.host.entropy(16))
        for _ in range(2):
            self.node.start(self._work())

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(self._random.uniform(0, 0.4))
            try:
                await self._visit(self._random.choice(self.locks))
            except (guthi.DeadlineExceeded, NoQuorum):
                pass
            except LockLost:
                self.ledger.lost += 1
            except guthi.NodeClosed:
                return

    async def _visit(self, lock: str) -> None:
        mutex = self.node.require(MUTEX)
        patient = self._random.random() < 0.9
        timeout = self._random.choice([None, 0.05, 5.0])
        async with mutex(lock, timeout=timeout, wait_for_majority=patient) as grant:
            tenure = self.ledger.enter(self.ledger.world.nodes[self.node.name], grant)
            try:
                await asyncio.sleep(self._random.choice([0.0, 0.0, 0.01, 0.01, 0.1, 0.1, 1.5]))
            finally:
                self.ledger.leave(tenure)


async def a_worker(world: World, book: Ledger, name: str, **mutex: Any) -> None:
    """Start a node with workers, which joins those that there are."""

    class Worker(WorkPlugin):
        ledger: ClassVar[Ledger] = book

    await world.start(name, plugins=["mutex", Worker], join=list(world.nodes), mutex=mutex, transport=TRANSPORT)


async def a_network(world: World, names: list[str] = NAMES, **mutex: Any) -> Ledger:
    """Start nodes with workers; the ledger tells what they do."""
    book = Ledger(world)
    for name in names:
        await a_worker(world, book, name, **mutex)
    await world.until(lambda: len(book.entries) == len(names))
    return book


def keeper_of(node: SimulatedNode) -> Keeper:
    """What runs the machine of a node."""
    (plugin,) = (each for each in node.node.plugins if isinstance(each, MutexPlugin))
    assert plugin._keeper is not None
    return plugin._keeper


async def all_are_served(world: World, book: Ledger, within: float = 60.0) -> None:
    """Wait until each running node has entered once more."""
    book.entries.clear()
    await world.until(lambda: set(book.entries) >= {node.name for node in world.running()}, within=within)
