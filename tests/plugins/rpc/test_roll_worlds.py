"""In simulated worlds: who is gone for good is forgotten in time, also on disk, and keeps nobody waiting for long."""

from __future__ import annotations

import asyncio

import pytest

import guthi
from guthi.testing import World, simulated
from guthi_rpc import Undecided

from .test_handover import gone, parts_of
from .working import rpc_of, start_all

RETENTION_S = 600.0


async def first_answer_s(world: World, key: str) -> float:
    began = world.now
    while True:
        try:
            await rpc_of(world, "alice").options(key=key, timeout=30).call("pay", 1)
            return world.now - began
        except (Undecided, guthi.GuthiError):
            await asyncio.sleep(0.5)


def lose(world: World, name: str, by: list[str]) -> None:
    """A node dies for good, and these accuse it, as a failure detector has them do."""
    lost = world.nodes[name].node.id
    world.nodes[name].crash()
    for accuser in by:
        world.nodes[accuser].node.accuse(lost, guthi.MemberState.FAILED)


@pytest.mark.parametrize("is_noticed", [False, True], ids=["suspected", "failed"])
@simulated
async def test_who_was_replaced_long_ago_keeps_no_seat_after_a_restart(world: World, is_noticed: bool) -> None:
    await start_all(world, ["alice", "bob", "carol", "dora"], takes_s=0.0)
    lose(world, "dora", by=["alice", "bob", "carol"] if is_noticed else [])
    await asyncio.sleep(RETENTION_S + 60.0)
    for _ in range(2):
        for name in ("alice", "bob", "carol"):
            world.nodes[name].crash()
        await asyncio.gather(*(world.nodes[name].start_until_joined() for name in ("alice", "bob", "carol")))
        assert gone(world, "alice") == 0
        assert await first_answer_s(world, f"{world.now}") < 2.0
        await asyncio.sleep(60.0)


@simulated
async def test_a_restart_does_not_begin_the_retention_anew(world: World) -> None:
    await start_all(world, ["alice", "bob", "carol", "dora"], takes_s=0.0)
    lose(world, "dora", by=["alice", "bob", "carol"])
    for _ in range(3):
        await asyncio.sleep(180.0)
        for name in ("alice", "bob"):
            world.nodes[name].crash()
            await world.nodes[name].start_until_joined()
        await asyncio.sleep(20.0)
    for name in ("alice", "bob"):
        assert all(for_s < RETENTION_S / 2 for _, _, for_s in parts_of(world, name)._electors.gone()), name


@simulated
async def test_a_dead_peer_that_nobody_has_noticed_holds_up_a_leaver_for_a_moment_only(world: World) -> None:
    await start_all(world, ["alice", "bob", "carol", "dave", "erin"], takes_s=0.0)
    await rpc_of(world, "alice").options(key="x").call("pay", 1)
    world.nodes["carol"].crash()
    began = world.now
    await parts_of(world, "alice").leave()
    assert world.now - began < 0.5
    assert gone(world, "bob") == 0, "it has heard that alice has handed over"
