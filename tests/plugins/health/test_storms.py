"""Nodes that are hard on the others: a loop that stands still for seconds, restarts again and again."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest
from tests.plugins.health.test_pending import CountPlugin, outcome
from tests.plugins.health.test_worlds import DETECTORS, health, network

import guthi
from guthi.testing import World, simulated
from guthi_health import HEALTH, Swim

HELD_S = 5.0


class Gossip:
    """Remembers every verdict that a node hears of: who accused whom."""

    def __init__(self, world: World) -> None:
        self.verdicts: list[tuple[str, str, str]] = []
        names = {node.node.id: node.name for node in world.running()}
        for node in world.running():
            node.node.hooks.register(self._listener(names), "gossip")

    def _listener(self, names: dict[guthi.NodeId, str]) -> Any:
        def note(member: guthi.Member) -> None:
            assert member.verdict is not None
            self.verdicts.append((names[member.verdict.accuser], member.name, member.state.name))

        class Listener:
            @guthi.hookimpl
            def member_suspected(self, member: guthi.Member) -> None:
                note(member)

            @guthi.hookimpl
            def member_failed(self, member: guthi.Member) -> None:
                note(member)

        return Listener()


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.guthi_seeds(3)
@simulated
async def test_a_loop_that_stood_still_accuses_nobody_and_is_believed_again(world: World, detector: str) -> None:
    """As a callback does that blocks inline: nothing is read, no timer fires, and then all at once."""
    await network(world, 6, detector)
    await asyncio.sleep(20)
    gossip, worst = Gossip(world), 0
    for _ in range(6):
        world.nodes["n4"].machine.pause()
        await asyncio.sleep(HELD_S)
        world.nodes["n4"].machine.resume()
        for _ in range(100):
            await asyncio.sleep(0.05)
            worst = max(worst, health(world, "n4").score)
        assert world.is_whole()
        await asyncio.sleep(world.random.uniform(5, 20))
    assert {(accuser, accused) for accuser, accused, _ in gossip.verdicts if accused != "n4"} == set()
    if detector == "echo":
        assert gossip.verdicts == []  # within its timeout
    if detector == "swim":
        assert gossip.verdicts and worst > 0  # it was accused, took that back, and trusts itself less for a while


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("disk", [True, False])
@simulated
async def test_a_storm_of_restarts_leaves_nothing_behind(world: World, detector: str, disk: bool) -> None:
    names = await network(world, 4, detector)
    world.add("storm", plugins=["health"], join=["n0"], health={"detector": detector}, disk=disk)
    await world.nodes["storm"].start_until_joined()
    for _ in range(60):
        await asyncio.sleep(world.random.uniform(0.2, 1.8))
        world.nodes["storm"].crash()
        await world.nodes["storm"].restart()
    await world.until(lambda: all(len(world.nodes[name].node.members) == 4 for name in names), within=120)
    for name in names:
        watch = health(world, name).watch
        present = {member.id for member in world.nodes[name].node.members}
        assert set(watch._contacts) == present
        assert {waiting.peer for waiting in watch._exchange._waiting.values()} <= present
        detector_of = watch.detector
        if isinstance(detector_of, Swim):
            assert set(detector_of._members) == present and not set(detector_of._suspicions) - present
    gossip = Gossip(world)
    await asyncio.sleep(60)
    assert gossip.verdicts == []


@simulated
async def test_work_gets_done_beside_a_taker_that_restarts_every_second(world: World) -> None:
    class Counting(CountPlugin):
        steps: ClassVar[list[tuple[str, int]]] = []

    quick = {"detector": "swim", "interval": "300ms", "timeout": "100ms"}
    for name in ("alice", "bob", "storm"):
        join = ["alice"] if name != "alice" else []
        await world.start(name, plugins=["health", Counting], join=join, health=quick)
    events = [await world.nodes["alice"].node.require(HEALTH).pending.keep("count", 7) for _ in range(8)]
    for _ in range(40):
        await asyncio.sleep(1)
        world.nodes["storm"].crash()
        await world.nodes["storm"].restart()
    assert [await outcome(event) for event in events] == [10] * 8
