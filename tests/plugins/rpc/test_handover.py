"""In simulated worlds: who leaves hands over what it remembers of calls with keys, or else its seat stays."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

import guthi
from guthi.testing import Link, PowerLost, World, simulated
from guthi_rpc import Undecided
from guthi_rpc.outcomes import Stage
from guthi_rpc.parts import Parts
from guthi_rpc.plugin import RpcPlugin

from .test_rolling_worlds import PASSING, pay_all
from .working import ROUGH, rpc_of, start_all

FIVE = ["alice", "bob", "carol", "dave", "erin"]
SIX = [*FIVE, "frank"]


def parts_of(world: World, name: str) -> Parts:
    (plugin,) = (each for each in world.nodes[name].node.plugins if isinstance(each, RpcPlugin))
    assert plugin._parts is not None
    return plugin._parts


def remembered(world: World, name: str) -> set[tuple[str, str]]:
    return {call for call, _, _ in parts_of(world, name)._outcomes.later_than(0)}


def gone(world: World, name: str) -> int:
    return len(parts_of(world, name)._electors.gone())


async def gives_up(world: World, name: str, lost: guthi.NodeId) -> None:
    """As a failure detector has a node do."""
    world.nodes[name].node.accuse(lost, guthi.MemberState.FAILED)
    await world.until(lambda: gone(world, name) == 1)


async def leave(world: World, name: str) -> None:
    await world.nodes[name].run(lambda node: node.drain())
    await world.nodes[name].stop()


@simulated
async def test_the_others_take_over_what_they_lack_and_no_seat_stays(world: World) -> None:
    await start_all(world, ["alice", "bob", "carol"], takes_s=0.0)
    only = parts_of(world, "alice")._outcomes
    for number in range(1500):
        outcome = bytes(1000) if number % 2 else None
        only.note(("pay", f"k{number}"), parts_of(world, "alice")._life(), Stage.DONE, outcome)
    await leave(world, "alice")
    for name in ("bob", "carol"):
        assert remembered(world, name) == {("pay", f"k{number}") for number in range(1500)}
        assert parts_of(world, name)._outcomes._bytes == 750 * 1000
        assert gone(world, name) == 0


@simulated
async def test_of_six_each_takes_over_only_those_for_which_it_has_a_seat(world: World) -> None:
    await start_all(world, SIX, takes_s=0.0)
    parts = parts_of(world, "alice")
    calls = {("pay", f"k{number}") for number in range(300)}
    for call in calls:
        parts._outcomes.note(call, parts._life(), Stage.DONE)
    await leave(world, "alice")
    await world.start("grace", plugins=["rpc"], join=["bob"])
    await world.until(lambda: parts_of(world, "grace")._standing.is_settled)
    for name in ("bob", "grace"):
        electors, node = parts_of(world, name)._electors, world.nodes[name].node.id
        assert remembered(world, name) >= {call for call in calls if node in dict(electors.of(call[1]))}
    assert 0 < len(remembered(world, "grace")) < len(calls)


@simulated
async def test_who_leaves_without_draining_hands_over_too(world: World) -> None:
    paid = await start_all(world, SIX, takes_s=0.0)
    keys = range(20)
    for name in SIX[1:4]:
        assert await pay_all(world, "alice", keys) == [[key, 1] for key in keys]
        await world.nodes[name].stop()
    assert await pay_all(world, "erin", keys) == [[key, 1] for key in keys]
    assert set(paid.values()) == {1} and gone(world, "alice") == 0


@simulated
async def test_the_seat_of_who_is_killed_while_it_hands_over_stays(world: World) -> None:
    world.network.set_link(Link(latency_s=0.05))
    paid = await start_all(world, FIVE, takes_s=0.0)
    await pay_all(world, "alice", range(20))
    bob = world.nodes["bob"].node.id
    leaving = asyncio.ensure_future(leave(world, "bob"))
    await asyncio.sleep(0.08)  # they have heard that it leaves, and ask what it remembers
    world.nodes["bob"].crash()
    with pytest.raises(PowerLost):
        await leaving
    await gives_up(world, "alice", bob)
    assert await pay_all(world, "carol", range(20)) == [[key, 1] for key in range(20)]
    assert set(paid.values()) == {1}


@simulated
async def test_the_seat_of_who_leaves_while_it_is_cut_off_stays(world: World) -> None:
    await start_all(world, FIVE, takes_s=0.0)
    await pay_all(world, "alice", range(5))
    world.network.partition(["bob"], ["alice", "carol", "dave", "erin"])
    bob, started_at = world.nodes["bob"].node.id, world.now
    await leave(world, "bob")
    assert world.now - started_at < 10 + 2 + 4 + 1  # drain, its end, two of the kernel
    await gives_up(world, "alice", bob)


@simulated
async def test_two_leave_at_once_and_the_three_that_stay_know_all(world: World) -> None:
    paid = await start_all(world, FIVE, takes_s=0.0)
    assert await pay_all(world, "alice", range(20)) == [[key, 1] for key in range(20)]
    await asyncio.gather(leave(world, "bob"), leave(world, "carol"))
    await world.until(world.is_whole)
    assert gone(world, "alice") == gone(world, "dave") == 0
    assert await pay_all(world, "dave", range(20)) == [[key, 1] for key in range(20)]
    assert set(paid.values()) == {1}


@simulated
async def test_all_leave_at_once_and_none_waits_for_another(world: World) -> None:
    await start_all(world, FIVE, takes_s=0.0)
    await pay_all(world, "alice", range(20))
    started_at = world.now
    await asyncio.gather(*(leave(world, name) for name in FIVE))
    assert world.now - started_at < 1


@simulated
async def test_who_has_no_room_takes_nothing_over_and_the_seat_stays(world: World) -> None:
    await start_all(world, ["alice", "bob"], takes_s=0.0, max_keys=3)
    for number in range(3):
        parts_of(world, "alice")._outcomes.note(("pay", f"k{number}"), parts_of(world, "alice")._life(), Stage.DONE)
        parts_of(world, "bob")._outcomes.note(("pay", f"other {number}"), parts_of(world, "bob")._life(), Stage.DONE)
    await leave(world, "alice")
    assert gone(world, "bob") == 1
    with pytest.raises(guthi.GuthiError):
        await rpc_of(world, "bob").options(key="k0").call("pay", 1)


@simulated
async def test_who_starts_with_one_that_is_back_while_the_rest_is_cut_off_waits_for_it(world: World) -> None:
    """They were there when it was, as its file says; without that these two would take themselves for all there are."""
    paid = await start_all(world, FIVE, takes_s=0.0)
    assert await pay_all(world, "alice", range(5)) == [[key, 1] for key in range(5)]
    for name in ("dave", "erin"):
        world.nodes[name].crash()
    world.network.partition(["dave", "erin"], ["alice", "bob", "carol"])
    world.nodes["dave"].config = world.nodes["dave"].config.with_overrides(node={"join": []})
    join = [world.nodes["dave"].config.node.listen]
    world.nodes["erin"].config = world.nodes["erin"].config.with_overrides(node={"join": join})
    for name in ("dave", "erin"):
        await world.nodes[name].start()
    await rpc_of(world, "erin").available("pay", nodes=2, timeout=10)
    with pytest.raises(Undecided):
        await rpc_of(world, "erin").options(key="k1").call("pay", 1)
    world.network.heal()
    await world.until(world.is_whole, within=120)
    await world.until(lambda: parts_of(world, "erin")._standing.is_settled)
    assert await pay_all(world, "erin", range(5)) == [[key, 1] for key in range(5)]
    assert set(paid.values()) == {1}


@pytest.mark.guthi_seeds(3)
@simulated
async def test_nodes_leave_and_come_back_whatever_happens(world: World) -> None:
    world.network.set_link(ROUGH)
    paid = await start_all(world, SIX, takes_s=0.1)
    world.swarm(10.0, spare=["alice", "bob"])
    answers: list[object] = []

    async def insist(key: int) -> None:
        for _ in range(4):
            await asyncio.sleep(world.random.uniform(0, 4))
            with suppress(*PASSING):
                rpc = rpc_of(world, world.random.choice(["alice", "bob"]))
                answers.append(await rpc.options(key=f"k{key}", timeout=8).call("pay", key) == [key, 1])

    async def roll() -> None:
        while world.now < 12:
            await asyncio.sleep(world.random.uniform(0, 2))
            name = world.random.choice(SIX[2:])
            if world.nodes[name].runs:
                with suppress(PowerLost, guthi.UsageError):
                    await leave(world, name)
                await world.nodes[name].start_until_joined()

    rolling = world.background(roll())
    await asyncio.gather(rolling, *(insist(key) for key in range(20)))
    assert answers and all(answers)
    assert {key: count for key, count in paid.items() if count > 1} == {}
