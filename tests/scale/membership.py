"""What membership costs and how fast it is among many nodes: growing, a change, rest, two halves that meet again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from tests.scale.detector import Detector
from tests.scale.row import Row

from guthi import Member
from guthi.testing import Link, SimulatedNode, World

__all__ = ["Figures", "Halves", "halves", "live", "rows"]

CHANGES = 5
BUSY_S, BUSY_CHANGES_A_S = 10.0, 10
CHANGE_S = 5.0
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Figures:
    """Of one network; seconds are virtual, messages are datagrams sent, a node and second.

    `spread_s` and `lossy_spread_s` are the longest times until a change was known everywhere. Busy is when
    `BUSY_CHANGES_A_S` members change a second; `change_messages` are those of a node for one change alone.
    """

    whole_after_s: float
    starting_messages: float
    resting_messages: float
    busy_messages: float
    change_messages: float
    spread_s: float
    lossy_spread_s: float


def live(count: int, *, loss: float = 0.0, within_s: float = 30.0, rest_s: float = 30.0, seed: int = 1) -> Figures:
    """Start that many nodes from one address at the same moment, let them rest, change, and change at 25 % loss."""
    world = World(seed, link=Link(loss=loss))

    async def scenario(world: World) -> Figures:
        whole_after_s = await grow(world, count, within_s)
        starting = sum(world.network.sent_datagrams.values()) / count
        await world.sleep(rest_s)
        assert world.is_whole()
        resting = await _messages(world, rest_s)
        spread_s = await _spread(world)
        _change(world, 999)
        change = CHANGE_S * (await _messages(world, CHANGE_S) - resting)
        for number in range(int(BUSY_S * BUSY_CHANGES_A_S)):
            world.loop.call_later(number / BUSY_CHANGES_A_S, _change, world, number)
        busy = await _messages(world, BUSY_S)
        await world.sleep(5.0)
        world.network.set_link(Link(loss=0.25))
        return Figures(whole_after_s, starting, resting, busy, change, spread_s, await _spread(world))

    return world.run(scenario)


async def grow(world: World, count: int, within_s: float, plugins: tuple[type[Detector], ...] = ()) -> float:
    """Start nodes that know the address of the first, all at once; returns when all know all."""
    await world.start("n0", plugins=plugins, disk=False)
    for number in range(1, count):
        node = world.add(f"n{number}", plugins=plugins, join=["n0"], disk=False)
        world.background(_started(node))
    return await world.until(lambda: len(world.running()) == count and world.is_whole(), within=within_s)


async def _started(node: SimulatedNode) -> None:
    await node.start()


async def _messages(world: World, seconds: float) -> float:
    before = sum(world.network.sent_datagrams.values())
    await world.sleep(seconds)
    return (sum(world.network.sent_datagrams.values()) - before) / len(world.running()) / seconds


def _change(world: World, number: int) -> SimulatedNode:
    running = world.running()
    node = running[number * 7919 % len(running)]
    network = node.node.network
    network.membership.update_me(plugins=[("change", f"1.{number}")])
    network.perform([])
    return node


async def _spread(world: World) -> float:
    longest_s = 0.0
    for number in range(CHANGES):
        me = _change(world, 1000 + number).node.me
        longest_s = max(longest_s, await world.until(partial(_all_know, world.running(), me), within=10.0))
        await world.sleep(5.0)
    return longest_s


def _all_know(unaware: list[SimulatedNode], record: Member) -> bool:
    """Those that know it are taken off the list: they will not forget it."""
    unaware[:] = [node for node in unaware if node.node.network.membership.get(record.id) != record]
    return not unaware


@dataclass(frozen=True)
class Halves:
    """Two halves that were apart: `gone` others the last node saw as failed before they met.

    `failed_since` counts, over all nodes, the failures that they saw when the halves met.
    """

    gone: int
    whole_after_s: float
    failed_since: int


def halves(count: int, *, apart_s: float = 60.0, within_s: float = 60.0, seed: int = 1) -> Halves:
    """Split a network with a failure detector in two for a while; when is it whole again?"""
    world = World(seed)

    async def scenario(world: World) -> Halves:
        await grow(world, count, 30.0, (Detector,))
        await world.sleep(5.0)
        names = [node.name for node in world.running()]
        world.network.partition(names[: count // 2], names[count // 2 :])
        await world.sleep(apart_s)
        gone = count - 1 - len(world.running()[-1].node.members)
        detectors = [plugin for node in world.running() for plugin in node.node.plugins if isinstance(plugin, Detector)]
        before = sum(len(detector.failed) for detector in detectors)
        world.network.heal()
        whole_after_s = await world.until(world.is_whole, within=within_s, each=0.05)
        return Halves(gone, whole_after_s, sum(len(detector.failed) for detector in detectors) - before)

    return world.run(scenario)


def _alike(what: str, few: float, many: float) -> Row:
    ratio = many / few
    return Row(what, "0.8 to 1.2", f"{few:.3g} and {many:.3g}, {ratio:.2f}", 0.8 <= ratio <= 1.2)


def rows() -> Iterator[Row]:
    """The issue's figures, with the shipped code."""
    hundred, thousand = live(100), live(1000)
    yield Row.at_most("1,000 nodes start at once from one address: one network", 10.0, thousand.whole_after_s, "s")
    yield Row.at_most("a change reaches all of 1,000 nodes, no loss", 1.5, thousand.spread_s, "s")
    yield Row.at_most("a change reaches all of 1,000 nodes, 25 % loss", 2.0, thousand.lossy_spread_s, "s")
    for what, few, many in (
        ("at rest", hundred.resting_messages, thousand.resting_messages),
        (f"{BUSY_CHANGES_A_S} changes a second", hundred.busy_messages, thousand.busy_messages),
    ):
        yield _alike(f"messages a node and second, 100 and 1,000 nodes, {what}", few, many)
    what = "messages a node, 100 and 1,000 nodes, for one change alone"
    yield _alike(what, hundred.change_messages, thousand.change_messages)
    found = [halves(200, seed=seed) for seed in SEEDS]
    gone, failed = {each.gone for each in found}, sum(each.failed_since for each in found)
    yield Row(f"200 nodes in halves for 60 s, seeds {SEEDS}: seen as failed", "[100]", str(sorted(gone)), gone == {100})
    yield Row.at_most("and whole again after", 15.0, max(each.whole_after_s for each in found), "s")
    yield Row("and failures seen when they met", "0", str(failed), failed == 0)
