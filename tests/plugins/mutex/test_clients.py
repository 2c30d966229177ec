"""Clients: they have locks by a peer, and know that these are lost before another has them, whatever the peer does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.plugins.mutex.test_mutex import NAMES, TRANSPORT, LogPlugin, three

import guthi
from guthi.testing import World, simulated
from guthi.testing.node import SimulatedNode
from guthi_mutex import MUTEX, Grant, LockLost, Mutex


async def a_client(world: World, *plugins: type[guthi.Plugin], **mutex: Any) -> SimulatedNode:
    """Start a client, eve."""
    mutex = {"lease": "1s", **mutex}
    brought: list[str | type[guthi.Plugin]] = [*plugins, "mutex"]
    return await world.start(
        "eve", plugins=brought, join=["alice"], node={"role": "client"}, mutex=mutex, transport=TRANSPORT
    )


async def keeper_of(mutex: Mutex) -> tuple[str, str]:
    """The names of the peer that has eve's lock, and of one that has not."""
    (info,) = await mutex.locks()
    peer = info.holder.removeprefix("eve by ")
    return peer, next(name for name in NAMES if name != peer)


def acquired_by(world: World, name: str) -> asyncio.Future[Grant]:
    """Let a peer wait for eve's lock."""
    return asyncio.ensure_future(world.nodes[name].run(lambda node: node.require(MUTEX).acquire("render")))


@simulated
async def test_a_client_has_locks_by_a_peer(world: World) -> None:
    alice, bob, _ = await three(world)
    client = await a_client(world)
    mutex = client.node.require(MUTEX)
    async with mutex("render") as grant:
        assert grant.is_valid
        assert await alice.try_acquire("render", timeout=0.1) is None
        await world.sleep(5.0)
        assert grant.is_valid
        (info,) = await mutex.locks()
        assert info.holder.startswith("eve by ") and info.fence == grant.fence
    async with bob("render", timeout=0.5) as later:
        assert later.fence > grant.fence
        assert await mutex.try_acquire("render", timeout=0.1) is None
    await world.sleep(0.1)
    async with alice("render", timeout=0.5):
        pass


@simulated
async def test_a_client_that_dies_holds_nothing_for_long(world: World) -> None:
    alice, _, _ = await three(world)
    client = await a_client(world)
    grant = await client.run(lambda node: node.require(MUTEX).acquire("render"))
    crashed_at = world.now
    client.crash()
    assert (await alice.acquire("render")).fence > grant.fence
    assert 0.5 < world.now - crashed_at < 2.0


@pytest.mark.guthi_seeds(2)
@simulated
async def test_a_client_that_is_cut_off_loses_before_another_has_it(world: World) -> None:
    alice, _, _ = await three(world)
    client = await a_client(world)
    mutex = client.node.require(MUTEX)
    grant = await mutex.acquire("render")
    await world.sleep(world.random.uniform(0, 2))
    world.network.partition(["eve"], NAMES)
    theirs = await alice.acquire("render")
    assert grant.lost.is_set() and theirs.fence > grant.fence
    with pytest.raises(LockLost):
        await mutex.release(grant)


@simulated
async def test_a_client_loses_when_its_peer_dies(world: World) -> None:
    await three(world)
    client = await a_client(world)
    mutex = client.node.require(MUTEX)
    grant = await mutex.acquire("render")
    (info,) = await mutex.locks()
    world.nodes[info.holder.removeprefix("eve by ")].crash()
    await grant.lost.wait()
    async with mutex("render", timeout=10.0) as later:
        assert later.fence > grant.fence


@pytest.mark.guthi_seeds(2)
@simulated
async def test_a_client_knows_that_its_peer_leaves_before_another_has_the_lock(world: World) -> None:
    await three(world)
    client = await a_client(world)
    mutex = client.node.require(MUTEX)
    grant = await mutex.acquire("render")
    peer, other = await keeper_of(mutex)
    theirs = acquired_by(world, other)
    await world.sleep(world.random.uniform(0.1, 2.0))
    left_at = world.now
    stopping = asyncio.ensure_future(world.nodes[peer].stop())
    assert (await theirs).fence > grant.fence
    assert grant.lost.is_set() and world.now - left_at < 0.2
    await stopping


@pytest.mark.guthi_seeds(2)
@simulated
async def test_a_peer_that_leaves_waits_for_a_client_that_it_does_not_reach(world: World) -> None:
    await three(world)
    client = await a_client(world)
    mutex = client.node.require(MUTEX)
    grant = await mutex.acquire("render")
    peer, other = await keeper_of(mutex)
    theirs = acquired_by(world, other)
    await world.sleep(world.random.uniform(0.1, 2.0))
    world.network.cut(["eve"], [peer])
    stopping = asyncio.ensure_future(world.nodes[peer].stop())
    await theirs
    assert not grant.is_valid
    await stopping


@pytest.mark.guthi_seeds(3)
@simulated
async def test_a_peer_that_restarts_frees_no_lock_that_a_client_believes_to_have(world: World) -> None:
    """The peer votes under its old id as soon as it is back, and knows nothing of its client."""
    await three(world)
    client = await a_client(world)
    mutex = client.node.require(MUTEX)
    grant = await mutex.acquire("render")
    peer, other = await keeper_of(mutex)
    theirs = acquired_by(world, other)
    await world.sleep(world.random.uniform(0.1, 2.0))
    world.nodes[peer].crash()
    await world.sleep(0.05)
    restarting = asyncio.ensure_future(world.nodes[peer].restart())
    await theirs
    assert not grant.is_valid
    await restarting


@simulated
async def test_a_client_waits_on_when_its_peer_leaves(world: World) -> None:
    services = dict(zip(NAMES, await three(world), strict=True))
    client = await a_client(world)
    held = await services["alice"].acquire("render")
    waiting = [asyncio.ensure_future(client.node.require(MUTEX).acquire("render")) for _ in range(10)]
    await world.sleep(0.5)
    for name in ("carol", "bob"):
        await world.nodes[name].stop()
    assert not any(each.done() for each in waiting)
    await services["alice"].release(held)
    for _ in waiting:
        done, pending = await asyncio.wait(waiting, timeout=10.0, return_when=asyncio.FIRST_COMPLETED)
        waiting = list(pending)
        for each in done:
            await client.node.require(MUTEX).release(each.result())


@simulated
async def test_a_client_that_closes_holds_nothing_any_more(world: World) -> None:
    alice, _, _ = await three(world)
    client = await a_client(world)
    mutex = client.node.require(MUTEX)
    grant = await mutex.acquire("render")
    await client.stop()
    assert grant.lost.is_set() and not grant.is_valid
    with pytest.raises(LockLost):
        await mutex.release(grant)
    await alice.acquire("render", timeout=0.1)


@simulated
async def test_a_client_that_comes_back_under_its_id_leaves_nothing_behind(world: World) -> None:
    """Its tickets are new ones: what it asks for now does not take the place of what it held in its former life."""
    alice = (await world.start("alice", plugins=["mutex"], transport=TRANSPORT)).node.require(MUTEX)
    eve = world.add("eve", plugins=["mutex"], join=["alice"], disk=True, node={"role": "client"}, transport=TRANSPORT)
    await eve.start()
    before = eve.node.id
    await eve.run(lambda node: node.require(MUTEX).acquire("render"))
    eve.crash()
    await eve.restart()
    assert eve.node.id == before
    await eve.run(lambda node: node.require(MUTEX).acquire("backup", timeout=5.0))
    await alice.acquire("render", timeout=5.0)


@simulated
async def test_a_client_keeps_its_lock_by_the_lease_of_its_peers(world: World) -> None:
    """The command line knows nothing of what the nodes have in their configuration."""
    await three(world, lease="300ms")
    client = await a_client(world, lease="30s")
    grant = await client.node.require(MUTEX).acquire("render")
    await world.sleep(10.0)
    assert grant.is_valid


@simulated
async def test_hooks_tell_a_client_what_becomes_of_its_locks(world: World) -> None:
    await three(world)
    client = await a_client(world, LogPlugin)
    (plugin,) = (each for each in client.node.plugins if isinstance(each, LogPlugin))
    mutex = client.node.require(MUTEX)
    async with mutex("render") as first:
        pass
    second = await mutex.acquire("render")
    peer, _ = await keeper_of(mutex)
    await world.nodes[peer].stop()
    assert plugin.lines == [
        ("granted", "render", first.fence),
        ("released", "render", first.fence),
        ("granted", "render", second.fence),
        ("lost", "render", second.fence),
    ]


@simulated
async def test_a_client_needs_no_plugin_that_brings_its_networks_algorithm(world: World) -> None:
    # `guthi lock` reads the network's node file, and runs mutex alone.
    table = {"algorithm": "of-another-plugin"}
    await world.start("eve", plugins=["mutex"], node={"role": "client"}, mutex=table)
    with pytest.raises(guthi.ConfigError, match="there is no algorithm 'of-another-plugin'"):
        await world.start("alice", plugins=["mutex"], mutex=table)
