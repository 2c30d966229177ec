"""What each kind of fault does to the hosts, and how it is undone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

from tests.chaos.cable import Condition
from tests.chaos.schedule import Planned

if TYPE_CHECKING:
    from tests.chaos.cluster import Cluster

__all__ = ["FAULTS"]

Fault: TypeAlias = "Callable[[Cluster, Planned], AbstractAsyncContextManager[None]]"

STORM_PAUSE_S = 4.0


@asynccontextmanager
async def kill(cluster: Cluster, planned: Planned) -> AsyncIterator[None]:
    """SIGKILL; in the end the nodes are started again, on the disks that they had."""
    hosts = cluster.chosen(planned.hosts)
    for each in hosts:
        await each.kill()
    yield
    await asyncio.gather(*(cluster.start(each) for each in hosts))


@asynccontextmanager
async def storm(cluster: Cluster, planned: Planned) -> AsyncIterator[None]:
    """SIGKILL again and again, at any point of its start and its first work."""
    (host,) = cluster.chosen(planned.hosts)

    is_over = asyncio.Event()

    async def again_and_again() -> None:
        while not is_over.is_set():
            await host.kill()
            await host.launch()
            await asyncio.sleep(cluster.random.uniform(0.0, STORM_PAUSE_S))

    storming = asyncio.create_task(again_and_again())
    try:
        yield
    finally:
        is_over.set()
        await storming
    await host.kill()
    await cluster.start(host)


@asynccontextmanager
async def drain(cluster: Cluster, planned: Planned) -> AsyncIterator[None]:
    """SIGTERM, as an administrator does it who restarts one node after the other."""
    (host,) = cluster.chosen(planned.hosts)
    await cluster.terminate(host)
    yield
    await cluster.start(host)


@asynccontextmanager
async def pause(cluster: Cluster, planned: Planned) -> AsyncIterator[None]:
    """SIGSTOP and SIGCONT."""
    (host,) = cluster.chosen(planned.hosts)
    host.stop()
    try:
        yield
    finally:
        host.go_on()


@asynccontextmanager
async def cut(cluster: Cluster, planned: Planned) -> AsyncIterator[None]:
    """These on one side, all others on the other, and nothing passes."""
    some = frozenset(planned.hosts)
    others = frozenset(cluster.hosts) - some
    with cluster.imposed(Condition(some, others, 1.0)), cluster.imposed(Condition(others, some, 1.0)):
        yield


@asynccontextmanager
async def deaf(cluster: Cluster, planned: Planned) -> AsyncIterator[None]:
    """It hears nobody, and all hear it."""
    with cluster.imposed(Condition(frozenset(cluster.hosts), frozenset(planned.hosts), 1.0)):
        yield


@asynccontextmanager
async def loss(cluster: Cluster, planned: Planned) -> AsyncIterator[None]:
    """Some of all frames."""
    everybody = frozenset(cluster.hosts)
    with cluster.imposed(Condition(everybody, everybody, planned.amount)):
        yield


@asynccontextmanager
async def delay(cluster: Cluster, planned: Planned) -> AsyncIterator[None]:
    """All frames, each by another time, so that they overtake one another."""
    everybody = frozenset(cluster.hosts)
    with cluster.imposed(Condition(everybody, everybody, 0.0, planned.amount / 2, planned.amount)):
        yield


@asynccontextmanager
async def disk(cluster: Cluster, planned: Planned) -> AsyncIterator[None]:
    """No room for a byte."""
    (host,) = cluster.chosen(planned.hosts)
    host.fill_disk()
    try:
        yield
    finally:
        host.free_disk()


@asynccontextmanager
async def descriptors(cluster: Cluster, planned: Planned) -> AsyncIterator[None]:
    """Nothing more can be opened."""
    (host,) = cluster.chosen(planned.hosts)
    host.take_descriptors()
    try:
        yield
    finally:
        host.give_descriptors()


@asynccontextmanager
async def clock(cluster: Cluster, planned: Planned) -> AsyncIterator[None]:
    """Killed, and back with a time of day up to two hours before or after; then the same with the right one."""
    (host,) = cluster.chosen(planned.hosts)
    for off_s in (planned.amount, 0.0):
        await host.kill()
        host.clock_off_s = off_s
        await cluster.start(host)
        if off_s:
            yield


@asynccontextmanager
async def upgrade(cluster: Cluster, planned: Planned) -> AsyncIterator[None]:
    """One host after the other: SIGTERM, the next version, and on; `length_s` is the pause between two."""
    for each in cluster.chosen(planned.hosts):
        await cluster.terminate(each)
        each.packages = cluster.next_packages
        await cluster.start(each)
        await asyncio.sleep(planned.length_s)
    yield


FAULTS: dict[str, Fault] = {
    "kill": kill,
    "kill-two": kill,
    "storm": storm,
    "drain": drain,
    "pause": pause,
    "cut": cut,
    "split": cut,
    "deaf": deaf,
    "loss": loss,
    "delay": delay,
    "disk": disk,
    "descriptors": descriptors,
    "clock": clock,
    "upgrade": upgrade,  # not in the schedule: it needs wheels
}
