"""A plugin for simulated worlds whose functions count what they do, and worlds that have it."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any, ClassVar

import guthi
from guthi.testing import Link, World
from guthi_rpc import RPC, Rpc

__all__ = ["FULL", "QUICK", "ROUGH", "WorkPlugin", "rpc_of", "start_all"]

FULL = bool(os.environ.get("GUTHI_FULL_WORLDS"))  # worlds of the full size, which take an hour
QUICK = {"transport": {"keepalive": "1s", "timeout": "3s", "handshake_timeout": "2s"}}
ROUGH = Link(latency_s=0.001, jitter_s=0.004, loss=0.05, duplicate=0.05, reorder=0.1)


class WorkPlugin(guthi.Plugin):
    """Squares numbers, which takes a while, and counts how often it did so for each."""

    name = "work"
    requires = (RPC,)
    done: ClassVar[Counter[int]]
    takes_s: ClassVar[float]

    async def run(self, stack: AsyncExitStack) -> None:
        self.node.require(RPC).register(self.square, name="square")
        self.node.require(RPC).register(self.pay, name="pay")

    async def square(self, number: int) -> int:
        type(self).done[number] += 1
        await asyncio.sleep(self.takes_s)
        return number * number

    async def pay(self, number: int) -> list[int]:
        """The number, and the how manieth payment of it this is."""
        type(self).done[number] += 1
        count = type(self).done[number]
        await asyncio.sleep(self.takes_s)
        return [number, count]


async def start_all(
    world: World, names: list[str], *, takes_s: float = 0.2, threads: int = 2, **rpc: str | int
) -> Counter[int]:
    """Start nodes; the counter counts what they do."""

    class CountedPlugin(WorkPlugin):
        done: ClassVar[Counter[int]] = Counter()

    CountedPlugin.takes_s = takes_s
    for name in names:
        others = names[: names.index(name)][:3]
        tables: dict[str, Any] = {"rpc": {"threads": threads, **rpc}, **QUICK}
        await world.start(name, plugins=["rpc", CountedPlugin], join=others, **tables)
    await rpc_of(world, names[0]).available("square", nodes=len(names), timeout=60)
    return CountedPlugin.done


def rpc_of(world: World, name: str) -> Rpc:
    """The service of a node that runs."""
    return world.nodes[name].node.require(RPC)
