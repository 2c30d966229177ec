"""`make soak` in a simulated world: what is in memory is flat, however long nodes work and doubt one another.

Counted are the objects of Guthi's classes. Windows and caches are small enough to be full when the counting begins.
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import guthi
from guthi.testing import World, simulated
from guthi_dvar import DVAR
from guthi_gutfs import GUTFS
from guthi_mutex import MUTEX
from guthi_rpc import RPC

NAMES = ("alice", "bob")
WARM_UP_S, LENGTH_S = 30.0, 20.0
SHARE, LEAST = 0.1, 25  # by how much a class may have more objects at the end


def objects() -> Counter[str]:
    """How many there are of each of Guthi's classes."""
    gc.collect()
    names = (f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())
    return Counter(name for name in names if name.startswith("guthi") and not name.startswith("guthi.testing"))


async def a_node(world: World, name: str, folder: Path) -> None:
    (folder / name).mkdir()
    await world.start(
        name,
        plugins=["rpc", "health", "mutex", "dvar", "gutfs"],
        join=["alice"] if name != "alice" else [],
        transport={"keepalive": "1s", "timeout": "4s"},
        rpc={"retention": "10s"},
        health={"detector": "swim", "interval": "1s", "timeout": "800ms"},
        gutfs={"exports": [f"{folder / name}:/team:sync"], "tracking": "off", "cache_memory": "4 KiB", "cache_disk": 0},
    )


class Work:
    """What one node does again and again."""

    def __init__(self, node: guthi.Node) -> None:
        self.node, self.count = node, 0
        node.require(RPC).register(lambda number: number, name="effect", run="inline")

    async def repeat(self, pause_s: float, work: Callable[[], Awaitable[object]]) -> None:
        while True:
            self.count += 1
            with suppress(guthi.GuthiError):  # the other stands still
                await work()
            await asyncio.sleep(pause_s)

    async def call(self) -> None:
        await self.node.require(RPC).options(key=f"{self.node.name} {self.count}").call("effect", self.count)

    async def lock(self) -> None:
        async with self.node.require(MUTEX).lock("red"):
            pass

    async def set(self) -> None:
        await self.node.require(DVAR).set("number", self.count)

    async def write(self) -> None:
        await self.node.require(GUTFS).write(f"/team/{self.node.name}", b"%d" % self.count)


async def doubted(world: World) -> None:
    """Each is paused now and then, for long enough to be suspected and not to be given up."""
    while True:
        for name in NAMES:
            world.nodes[name].machine.pause()
            await world.sleep(2.0)
            world.nodes[name].machine.resume()
            await world.sleep(2.0)


@simulated
async def test_what_nodes_have_in_memory_is_flat(world: World, tmp_path: Path) -> None:
    for name in NAMES:
        await a_node(world, name, tmp_path)
    await world.until(world.is_connected)
    await world.nodes["alice"].node.require(DVAR).create("number", 0, coherence="coherent")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(doubted(world))]
        for name in NAMES:
            work = Work(world.nodes[name].node)
            for each, pause_s in ((work.call, 1.0), (work.lock, 1.0), (work.set, 1.0), (work.write, 0.2)):
                tasks.append(group.create_task(work.repeat(pause_s, each)))
        await world.sleep(WARM_UP_S)
        before = objects()
        await world.sleep(LENGTH_S)
        after = objects()
        for task in tasks:
            task.cancel()
    assert {kind: (before[kind], count) for kind, count in after.items() if is_grown(before[kind], count)} == {}


def is_grown(before: int, after: int) -> bool:
    return after - before > max(SHARE * before, LEAST)
