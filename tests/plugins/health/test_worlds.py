"""The detectors on whole nodes, in simulated worlds: deaths are noticed in time, the living are left alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import guthi
from guthi import MemberState
from guthi.testing import Link, World, simulated
from guthi_health import HEALTH, Health, Sight

DETECTORS = ["echo", "swim", "phi-accrual"]
BOUND_S = {"echo": 30.0, "swim": 15.0, "phi-accrual": 15.0}
LOSSY = Link(latency_s=0.005, jitter_s=0.01, loss=0.05, duplicate=0.02, reorder=0.1)


async def network(world: World, count: int, detector: str, **table: Any) -> list[str]:
    names = [f"n{number}" for number in range(count)]
    for name in names:
        join = ["n0"] if name != "n0" else []
        await world.start(name, plugins=["health"], join=join, health={"detector": detector, **table})
    await world.until(world.is_whole)
    return names


def health(world: World, name: str) -> Health:
    return world.nodes[name].node.require(HEALTH)


def all_see(world: World, name: str, state: MemberState) -> bool:
    return all(node.node.member(name).state is state for node in world.running() if node.name != name)


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.guthi_seeds(3)
@simulated
async def test_a_death_is_known_to_all_within_the_bound(world: World, detector: str) -> None:
    await network(world, 8, detector)
    await asyncio.sleep(30)
    world.nodes["n3"].crash()
    await world.until(lambda: all_see(world, "n3", MemberState.FAILED), within=BOUND_S[detector] + 2)
    verdict = world.nodes["n5"].node.member("n3").verdict
    assert verdict is not None and verdict.evidence and verdict.path and verdict.health >= 0
    accusers = {node.node.id for node in world.running()}
    assert verdict.accuser in accusers
    await world.nodes["n3"].restart()
    await world.until(world.is_whole, within=10)  # it answers again, so it is available again


@pytest.mark.parametrize("detector", DETECTORS)
@simulated
async def test_with_loss_nobody_is_given_up(world: World, detector: str) -> None:
    world.network.set_link(LOSSY)
    await network(world, 8, detector)
    failed: list[str] = []
    health(world, "n0").on_failure(None, lambda member: failed.append(member.name))
    await asyncio.sleep(120)
    assert failed == [] and world.is_whole()


@pytest.mark.parametrize("detector", DETECTORS)
@simulated
async def test_a_pause_that_is_short_raises_no_verdict(world: World, detector: str) -> None:
    await network(world, 6, detector)
    failed: list[str] = []
    health(world, "n0").on_failure(None, lambda member: failed.append(member.name))
    for _ in range(5):
        world.nodes["n4"].machine.pause()
        await asyncio.sleep(1.5)
        world.nodes["n4"].machine.resume()
        await asyncio.sleep(10)
    assert failed == [] and world.is_whole()
    seen = world.nodes["n4"].node.members
    assert [member.state for member in seen] == [MemberState.ALIVE] * 5  # nor does it doubt the others


@pytest.mark.parametrize("detector", DETECTORS)
@simulated
async def test_who_was_given_up_and_lives_is_back_at_once(world: World, detector: str) -> None:
    await network(world, 6, detector)
    world.nodes["n4"].machine.pause()
    await world.until(lambda: all_see(world, "n4", MemberState.FAILED), within=BOUND_S[detector] + 2)
    world.nodes["n4"].machine.resume()
    await world.until(world.is_whole, within=25)


@simulated
async def test_a_partition_heals(world: World) -> None:
    names = await network(world, 6, "swim")
    world.network.partition(names[:3], names[3:])
    await world.until(lambda: len(world.nodes["n0"].node.members) == 2, within=60)
    world.network.heal()
    await world.until(world.is_whole, within=60)


@simulated
async def test_a_request_to_the_dead_ends_with_the_verdict(world: World) -> None:
    await network(world, 6, "swim")
    world.nodes["n4"].node.handle("forever", lambda _: asyncio.Event().wait())
    alice = world.nodes["n0"].node
    waiting = asyncio.create_task(alice.request("n4", "forever", None))
    await asyncio.sleep(1)
    world.nodes["n4"].crash()
    with pytest.raises(guthi.PeerLost, match="n4") as caught:
        await waiting
    assert caught.value.peer == "n4" and caught.value.reason


@simulated
async def test_detectors_of_different_kinds_watch_one_another(world: World) -> None:
    for number, detector in enumerate([*DETECTORS, *DETECTORS]):
        join = ["n0"] if number else []
        await world.start(f"n{number}", plugins=["health"], join=join, health={"detector": detector})
    await world.until(world.is_whole)
    await asyncio.sleep(120)
    assert world.is_whole()
    assert all(sight.rtt_s is not None for sight in health(world, "n0").table())
    world.nodes["n5"].crash()
    await world.until(lambda: all_see(world, "n5", MemberState.FAILED), within=15)


@simulated
async def test_who_does_not_run_the_plugin_is_not_watched(world: World) -> None:
    await network(world, 2, "swim")
    await world.start("plain", join=["n0"])
    await asyncio.sleep(60)
    assert world.is_whole()
    sights = {sight.member.name: sight for sight in health(world, "n0").table()}
    assert not sights["plain"].is_watched and sights["n1"].is_watched


@simulated
async def test_the_table_has_round_trips_and_ages(world: World) -> None:
    world.network.set_link(Link(latency_s=0.05))
    await network(world, 3, "swim")
    await asyncio.sleep(10)
    sights: list[Sight] = health(world, "n0").table()
    assert [sight.member.name for sight in sights] == ["n1", "n2"]
    for sight in sights:
        assert sight.rtt_s == pytest.approx(0.1, abs=0.02)
        assert sight.answered_ago_s is not None and sight.answered_ago_s < 3.0


@simulated
async def test_clock_offsets_are_known_with_their_bounds(world: World) -> None:
    world.network.set_link(Link(latency_s=0.01, jitter_s=0.02))
    await network(world, 3, "swim")
    world.play("0s skew n2 -7.5")
    await asyncio.sleep(30)
    offset = health(world, "n0").clock_offset("n2")
    assert offset is not None
    assert abs(offset.offset_s + 7.5) <= offset.bound_s < 0.05
    with pytest.raises(guthi.UsageError):
        health(world, "n0").clock_offset("n0")


@pytest.mark.parametrize("count", [4, 12])
@simulated
async def test_echo_sends_what_the_formula_says(world: World, count: int) -> None:
    names = await network(world, count, "echo", interval="5s", timeout="5s")
    sent = 0

    def counted(send: Any) -> Any:
        def count_and_send(*arguments: Any) -> None:
            nonlocal sent
            sent += 1
            send(*arguments)

        return count_and_send

    for name in names:
        watch = health(world, name).watch
        watch._send = counted(watch._send)  # type: ignore[method-assign]
    await asyncio.sleep(100)
    assert sent == pytest.approx(2 * count * (count - 1) / 5 * 100, rel=0.02)
