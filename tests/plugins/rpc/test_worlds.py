"""In simulated worlds with crashes, partitions, loss and copies: a call runs once at most, a map loses nothing."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

import guthi
from guthi.testing import World, simulated
from guthi_rpc import RPC

from .working import ROUGH, start_all

NAMES = ["alice", "bob", "carol", "dave"]


async def four(world: World) -> Counter[int]:
    """Start four nodes; the counter counts what they do."""
    return await start_all(world, NAMES)


@simulated
async def test_a_map_outlives_a_crash(world: World) -> None:
    await four(world)
    results = []
    async for result in world.nodes["alice"].node.require(RPC).map("square", range(60)):
        results.append(result)
        if len(results) == 15:
            world.nodes["carol"].crash()
    assert sorted(result.index for result in results) == list(range(60))
    assert all(result.value == result.item**2 for result in results)
    assert "carol" not in {result.node for result in results[40:]}


@simulated
async def test_who_was_restarted_works_again(world: World) -> None:
    await four(world)
    rpc = world.nodes["alice"].node.require(RPC)
    results = []
    async for result in rpc.map("square", range(200)):
        results.append(result)
        if len(results) == 15:
            world.nodes["carol"].crash()
        if len(results) == 30:
            await world.nodes["carol"].restart()
    assert sorted(result.value for result in results) == [number**2 for number in range(200)]
    assert "carol" in {result.node for result in results[-30:]}


@pytest.mark.guthi_seeds(20)
@simulated
async def test_a_map_loses_nothing_whatever_happens(world: World) -> None:
    world.network.set_link(ROUGH)
    await four(world)
    world.swarm(20.0, spare=["alice"])
    rpc = world.nodes["alice"].node.require(RPC)
    async with asyncio.timeout(600):
        results = [result async for result in rpc.map("square", range(100))]
    assert sorted(result.index for result in results) == list(range(100))
    assert all(result.value == result.item**2 for result in results)
    assert rpc._dispatch.outstanding == 0


@pytest.mark.guthi_seeds(20)
@simulated
async def test_a_call_runs_once_at_most(world: World) -> None:
    world.network.set_link(ROUGH)
    done = await four(world)
    world.swarm(10.0, spare=["alice"])
    rpc = world.nodes["alice"].node.require(RPC)
    answers = await asyncio.gather(*(rpc.call("square", n, timeout=30) for n in range(200)), return_exceptions=True)
    for number, answer in enumerate(answers):
        assert done[number] <= 1
        assert answer == number**2 or isinstance(answer, guthi.PeerLost | guthi.DeadlineExceeded)
    assert rpc._dispatch.outstanding == 0


@pytest.mark.guthi_seeds(10)
@simulated
async def test_the_store_converges_after_any_faults(world: World) -> None:
    world.network.set_link(ROUGH)
    await four(world)
    await world.swarm(15.0, spare=["alice"])  # whom all the others join
    await world.until(lambda: len(world.running()) == len(NAMES))

    def is_whole() -> bool:
        """A machine whose disk was wiped has another id than before, and the old one is only suspected."""
        ids = {node.node.id for node in world.nodes.values()}
        return all(ids <= set(node.node.require(RPC)._dispatch.usable("square")) for node in world.nodes.values())

    await world.until(is_whole, within=120)


def test_a_seed_decides_everything() -> None:
    def digest() -> str:
        world = World(5, link=ROUGH)

        async def scenario(world: World) -> None:
            await four(world)
            rpc = world.nodes["alice"].node.require(RPC)
            world.swarm(5.0, spare=["alice"])
            [result async for result in rpc.map("square", range(40))]

        world.run(scenario)
        return world.trace.digest

    assert digest() == digest()


@simulated
async def test_a_node_that_leaves_does_not_complain_of_those_it_could_not_reach(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """As a command does that ends while a node that has crashed is still among the members."""
    await four(world)
    world.nodes["dave"].crash()
    world.nodes["alice"].node.require(RPC).register(abs)
    await world.sleep(0.1)
    await world.nodes["alice"].stop()
    assert "does not learn what this node has" not in caplog.text
