"""Whole networks under faults: what must hold in every world that a seed can draw."""

import pytest

from guthi.testing import Link, World, simulated

NAMES = ["alice", "bob", "carol", "dave", "erin"]
FAST = {"transport": {"keepalive": "1s", "timeout": "3s", "handshake_timeout": "2s"}}
ROUGH = Link(latency_s=0.001, jitter_s=0.004, loss=0.05, duplicate=0.02, reorder=0.1)


async def five(world: World) -> None:
    for name in NAMES:
        await world.start(name, join=["alice"] if name != "alice" else ["bob"], **FAST)


@pytest.mark.guthi_seeds(100)
@simulated
async def test_a_network_is_whole_again_after_any_faults(world):
    world.network.set_link(ROUGH)
    await world.start("alice", **FAST)
    for name in NAMES[1:]:
        await world.start(name, join=["alice"], **FAST)
    await world.swarm(20.0, spare=["alice"])
    await world.until(world.is_connected, within=60.0)
