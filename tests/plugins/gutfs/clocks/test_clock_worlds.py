"""The network's time on nodes whose clocks are wrong: all agree, and their stamps order what they write."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.plugins.gutfs.network import NAMES, a_network

from guthi.testing import Link, World, simulated
from guthi_gutfs.clocks.network import NetworkClock
from guthi_gutfs.timestamps import unix_from_ntp

EXPORTS = {name: ["/p"] for name in NAMES}
LATENCY_S = 0.02


def clock(world: World, name: str) -> NetworkClock:
    plugins = {each.name: each for each in world.nodes[name].node.plugins}
    found: NetworkClock = plugins["gutfs"]._network._clock  # type: ignore[attr-defined]
    return found


def times(world: World) -> list[float]:
    return sorted(clock(world, each.name).time_s() for each in world.running())


@pytest.mark.guthi_seeds(5)
@simulated
async def test_nodes_with_skewed_clocks_agree(world: World, tmp_path: Path) -> None:
    world.network.set_link(Link(latency_s=LATENCY_S, jitter_s=0.01, loss=0.05))
    await a_network(world, tmp_path, EXPORTS, clock_interval="5s")
    for name in NAMES:
        world.nodes[name].machine.clock.wall_offset_s = world.random.uniform(-3600, 3600)
    truth = sorted(world.nodes[name].machine.wall_time_s() for name in NAMES)
    assert truth[-1] - truth[0] > 1.0
    await world.sleep(60.0)
    agreed = times(world)
    assert agreed[-1] - agreed[0] < 4 * LATENCY_S
    alice, bob = clock(world, "alice"), world.nodes["bob"]
    offset = alice.offset(bob.node.id)
    assert offset is not None
    true_s = bob.machine.wall_time_s() - world.nodes["alice"].machine.wall_time_s()
    assert abs(offset.offset_s - true_s) <= offset.bound_s + 1e-6


@simulated
async def test_one_wrong_clock_moves_nobody(world: World, tmp_path: Path) -> None:
    await a_network(world, tmp_path, EXPORTS, clock_interval="5s")
    world.nodes["bob"].machine.clock.wall_offset_s = -1e6
    await world.sleep(60.0)
    right = world.nodes["alice"].machine.wall_time_s()
    assert all(abs(each - right) < 0.01 for each in times(world))


@simulated
async def test_who_has_a_server_is_followed(world: World, tmp_path: Path) -> None:
    await a_network(world, tmp_path, EXPORTS, clock_interval="5s")
    for name in NAMES:
        world.nodes[name].machine.clock.wall_offset_s = 100.0
    clock(world, "carol")._ensemble.served_s = -100.0  # what an NTP server would have said
    await world.sleep(30.0)
    right = world.nodes["alice"].machine.wall_time_s() - 100.0
    assert all(abs(each - right) < 0.01 for each in times(world))


@simulated
async def test_a_later_write_has_a_later_timestamp_whoever_made_it(world: World, tmp_path: Path) -> None:
    alice, bob = (await a_network(world, tmp_path, EXPORTS, clock_interval="5s"))[:2]
    world.nodes["alice"].machine.clock.wall_offset_s = 500.0
    await world.sleep(30.0)
    stamps = []
    for turn in range(6):
        fs, owner = (alice, "alice") if turn % 2 else (bob, "bob")
        stamps.append((await fs.write(f"/node/{owner}/p/{turn}", b"x")).entry.version.timestamp)
        await world.sleep(0.1)
    assert stamps == sorted(stamps)
    assert abs(unix_from_ntp(stamps[0]) - world.nodes["carol"].machine.wall_time_s()) < 2.0


@simulated
async def test_stamps_never_go_back(world: World, tmp_path: Path) -> None:
    await a_network(world, tmp_path, {"alice": ["/p"]})
    mine = clock(world, "alice")
    before = mine.now()
    world.nodes["alice"].machine.clock.wall_offset_s = -1000.0
    assert mine.now() > before
