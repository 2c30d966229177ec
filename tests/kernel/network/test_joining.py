"""A join list that all nodes share, their own address in it: who comes back is in the network before it is up."""

from __future__ import annotations

import asyncio

from guthi.testing import Link, World, simulated

NAMES = ["alice", "bob", "carol"]
TIMEOUT_S = 5.0


async def three(world: World) -> None:
    nodes = [world.add(name, join=NAMES, node={"join_timeout": f"{TIMEOUT_S}s"}) for name in NAMES]
    await asyncio.gather(*(node.start() for node in nodes))
    await world.until(world.is_connected, within=60)


@simulated
async def test_nodes_that_start_together_find_one_another_at_once(world: World) -> None:
    await three(world)
    assert world.now < TIMEOUT_S


@simulated
async def test_a_node_that_comes_back_is_no_network_of_its_own(world: World) -> None:
    """Found by `make chaos SEED=1` (docs/bugs-found.md): it ran calls with a key again, and gave locks away."""
    await three(world)
    world.nodes["bob"].crash()
    world.network.set_link(Link(latency_s=0.2))
    bob = await world.nodes["bob"].restart()
    assert bob.members and not bob.network.has_met_nobody


@simulated
async def test_the_first_waits_for_others_and_then_goes_on_alone(world: World) -> None:
    alice, bob, _ = [world.add(name, join=NAMES, node={"join_timeout": f"{TIMEOUT_S}s"}) for name in NAMES]
    await alice.start()
    assert TIMEOUT_S <= world.now < TIMEOUT_S + 1 and alice.node.members == []
    await bob.start()
    await world.until(lambda: len(alice.node.members) == 1, within=10)


@simulated
async def test_who_names_only_itself_waits_for_nobody(world: World) -> None:
    await world.start("alice", join=["alice"])
    assert world.now < 0.1
