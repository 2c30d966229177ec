"""In simulated worlds: electors leave and come back, or are lost young, and a call with a key has its effect once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, ClassVar

import pytest

import guthi
from guthi.testing import World, simulated
from guthi_rpc import OutcomeUnknown, Undecided, UnknownFunction

from .working import QUICK, WorkPlugin, rpc_of, start_all

NAMES = ["alice", "bob", "carol", "dave", "erin", "frank", "grace"]
PASSING = (guthi.PeerLost, guthi.DeadlineExceeded, guthi.NodeClosed, Undecided, OutcomeUnknown, UnknownFunction)


async def pay_all(world: World, caller: str, keys: Iterable[int]) -> list[Any]:
    """What one node gets for each key, by one call."""
    rpc = rpc_of(world, caller)
    calls = (rpc.options(key=f"k{key}", timeout=30).call("pay", key) for key in keys)
    return await asyncio.gather(*calls, return_exceptions=True)


async def restart(world: World, name: str, *, drains: bool) -> None:
    """As an upgrade does."""
    if drains:
        assert await world.nodes[name].run(lambda node: node.drain())
    await world.nodes[name].stop()
    await world.nodes[name].restart()
    await world.until(world.is_whole, within=60)


@pytest.mark.guthi_seeds(3)
@pytest.mark.parametrize("drains", [True, False])
@simulated
async def test_a_rolling_restart_forgets_nothing(world: World, drains: bool) -> None:
    paid = await start_all(world, NAMES, takes_s=0.05)
    keys = range(20)
    assert await pay_all(world, "alice", keys) == [[key, 1] for key in keys]
    for name in world.random.sample(NAMES, len(NAMES)):
        await restart(world, name, drains=drains)
        caller = world.random.choice(NAMES)
        asked = range(len(paid) + 1)
        assert await pay_all(world, caller, asked) == [[key, 1] for key in asked]
    assert set(paid.values()) == {1}


@pytest.mark.guthi_seeds(5)
@simulated
async def test_who_is_lost_young_vouches_for_nothing_when_it_is_back(world: World) -> None:
    """Of three that know of the calls two are lost in the moments after their first start, and the third is cut off."""

    class CountedPlugin(WorkPlugin):
        done: ClassVar[Counter[int]] = Counter()
        takes_s = 0.0

    async def live_shortly(name: str) -> None:
        await world.nodes[name].start()
        await asyncio.sleep(world.random.uniform(0.0, 0.02))
        world.nodes[name].crash()

    async def pay(key: int) -> None:
        await asyncio.sleep(world.random.uniform(0.0, 0.03))
        with suppress(*PASSING):
            await rpc_of(world, "alice").options(key=f"k{key}", timeout=30).call("pay", key)

    others, young, keys = ["bob", "carol"], ["dave", "erin"], range(20)
    tables: dict[str, Any] = {"rpc": {"threads": 2}, **QUICK}
    for name in ("alice", *others, *young):
        world.add(name, plugins=["rpc", CountedPlugin], join=[*world.nodes][:2], **tables)
    for name in ("alice", *others):
        await world.nodes[name].start()
    await rpc_of(world, "alice").available("pay", nodes=3, timeout=10)
    world.network.partition(["alice", *young], others)
    await asyncio.gather(*map(live_shortly, young), *map(pay, keys))
    world.network.heal()
    world.network.partition(["alice"], [*others, *young])
    await asyncio.gather(*(world.nodes[name].start_until_joined() for name in young))
    await asyncio.sleep(world.random.uniform(0.0, 1.0))
    await pay_all(world, world.random.choice([*others, *young]), keys)
    world.network.heal()
    await world.until(world.is_whole, within=120)
    await pay_all(world, "bob", keys)
    assert {number: count for number, count in CountedPlugin.done.items() if count > 1} == {}
    assert CountedPlugin.done
