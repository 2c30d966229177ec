"""Whole nodes in bad worlds: what is read never goes back, and in the end all nodes know and read the same.

The worlds lose, double and reorder datagrams, crash nodes, wipe their disks, restart, pause and slow them, cut and clog
links; their seeds choose. For more: `pytest tests/plugins/dvar/test_worlds.py --guthi-seeds 2000`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from tests.plugins.dvar.network import NAMES, a_network, a_node, agree, service, table

import guthi
from guthi.testing import Link, PowerLost, World, simulated
from guthi_dvar import DVAR, Change, Dvar, Lagged, SourceUnreachable, ValueUnavailable
from guthi_dvar.errors import UnknownVariable

ROUGH = Link(latency_s=0.001, jitter_s=0.004, loss=0.05, duplicate=0.05, reorder=0.1)
VARIABLES = ["a", "b", "c"]
PASSING = (guthi.PeerLost, guthi.DeadlineExceeded, ValueUnavailable, SourceUnreachable, UnknownVariable, PowerLost)


async def read_forward(node: guthi.Node, name: str, seen: dict[str, int]) -> None:
    """Read on a node: not an older version than it has seen, in this life of it."""
    dvar = node.require(DVAR)
    reading = await dvar.read(name)
    assert reading.version >= seen.get(name, 0), f"{node.name} read version {reading.version} after {seen[name]}"
    seen[name] = reading.version


async def one_deed(world: World, name: str, seen: dict[tuple[str, Any], dict[str, int]]) -> None:
    """A node reads or writes something."""
    machine = world.nodes[name]
    life = seen.setdefault((name, machine.machine.processor), {})
    variable, value = world.random.choice(VARIABLES), f"{name} at {world.now:.3f}"
    deed = world.random.choice(["read", "read", "set", "rows", "update"])

    async def do(node: guthi.Node) -> None:
        dvar = node.require(DVAR)
        if deed == "read":
            await read_forward(node, variable, life)
        elif deed == "set":
            await dvar.set(variable, value)
        elif deed == "update":
            await dvar.update(variable, lambda old: f"{old[-40:]}, {value}")
        else:
            row = NAMES.index(name)
            await dvar.set("grid", row + 1, at=np.s_[row, :])

    try:
        await machine.run(do)
    except PASSING:
        return


async def work(world: World, faults: asyncio.Future[Any]) -> None:
    """Nodes read and write while the faults last."""
    seen: dict[tuple[str, Any], dict[str, int]] = {}
    under_way: set[asyncio.Task[None]] = set()
    while not faults.done():
        running = world.running()
        if running:
            under_way.add(world.background(one_deed(world, world.random.choice(running).name, seen)))
        await world.sleep(world.random.uniform(0.01, 0.2))
    await faults
    await asyncio.wait(under_way)


async def outcome(dvar: Dvar, name: str) -> Any:
    """What reads give in the end."""
    try:
        value = await dvar.get(name)
    except (ValueUnavailable, UnknownVariable) as error:
        return type(error).__name__
    return value.tolist() if isinstance(value, np.ndarray) else value


async def all_read_the_same(world: World) -> dict[str, Any]:
    """The worlds are whole again: wait until the nodes agree, and return what all of them read."""
    await world.until(lambda: len(world.running()) == len(world.nodes) and world.is_connected(), within=60)
    await world.until(lambda: agree(world), within=60)
    found = {}
    for name in service(world, "alice").names():
        values = [await outcome(service(world, each.name), name) for each in world.running()]
        assert all(value == values[0] for value in values), f"{name}: {values}"
        found[name] = values[0]
    return found


async def created(world: World) -> None:
    alice = service(world, "alice")
    for name in VARIABLES:
        await alice.create(name, "first")
    await alice.create_array("grid", (5, 8), "i4", chunk=2)


@pytest.mark.guthi_seeds(10)
@simulated
async def test_all_read_the_same_whatever_has_happened(world: World) -> None:
    world.network.set_link(ROUGH)
    await a_network(world, NAMES, sync_interval="2s")
    await created(world)
    await work(world, world.swarm(15.0, spare=["alice"]))
    found = await all_read_the_same(world)
    assert sorted(found) == [*VARIABLES, "grid"]


@pytest.mark.guthi_seeds(6)
@simulated
async def test_nothing_is_lost_with_one_node(world: World) -> None:
    """One node after the other crashes and comes back empty; what was written before is there."""
    world.network.set_link(ROUGH)
    await a_network(world, NAMES, sync_interval="2s")
    await created(world)
    for name in world.random.sample(NAMES, len(NAMES)):
        writer = service(world, world.random.choice([each for each in NAMES if each != name]))
        for variable in VARIABLES:
            await writer.set(variable, f"before {name}")
        world.nodes[name].crash()
        await world.sleep(world.random.uniform(0, 8))
        others = [service(world, each) for each in NAMES if each != name]
        for variable in VARIABLES:
            assert [await each.get(variable) for each in others] == [f"before {name}"] * len(others)
        await world.nodes[name].start_until_joined()
        await world.sleep(8.0)
    await all_read_the_same(world)


@pytest.mark.guthi_seeds(6)
@simulated
async def test_both_sides_of_a_partition_go_on_and_one_write_wins(world: World) -> None:
    await a_network(world, NAMES, sync_interval="2s")
    await created(world)
    one = world.random.sample(NAMES, world.random.randint(1, 4))
    other = [name for name in NAMES if name not in one]
    world.network.partition(one, other)
    await world.sleep(1.0)
    await asyncio.gather(service(world, one[0]).set("a", "one"), service(world, other[0]).set("a", "other"))
    await service(world, other[0]).create("new", 1)
    await service(world, one[0]).delete("b")
    await world.sleep(world.random.uniform(1, 10))
    world.network.heal()
    found = await all_read_the_same(world)
    greater = max(one[0], other[0], key=lambda name: world.nodes[name].node.id)
    assert found == {"a": "one" if greater == one[0] else "other", "c": "first", "grid": found["grid"], "new": 1}


@pytest.mark.guthi_seeds(4)
@simulated
async def test_newcomers_know_and_take_their_part(world: World) -> None:
    world.network.set_link(ROUGH)
    await a_network(world, NAMES[:2], sync_interval="2s")
    await created(world)
    for name in NAMES[2:]:
        await a_node(world, name, ["alice"], sync_interval="2s")
        await service(world, name).set("a", name)
    await all_read_the_same(world)
    await world.sleep(10.0)
    assert sum("a" in table(world, name).ready for name in NAMES) >= 3


@pytest.mark.guthi_seeds(4)
@simulated
async def test_each_change_is_told_or_counted(world: World) -> None:
    world.network.set_link(ROUGH)
    alice, bob, _ = await a_network(world, sync_interval="2s")
    await alice.create("count", 0)
    versions = [0]

    async def look() -> None:
        async for each in bob.watch("count"):
            if isinstance(each, Lagged):
                versions[0] += each.missed
            else:
                versions[0] += 1
                assert isinstance(each, Change) and each.version == versions[0]

    looking = asyncio.create_task(look())
    await world.sleep(1.0)
    for number in range(100):
        await alice.set("count", number)
        await world.sleep(world.random.choice([0, 0, 0.05]))
    await world.until(lambda: versions[0] == 101, within=30)
    await alice.delete("count")
    await looking


@pytest.mark.guthi_seeds(4)
@simulated
async def test_rows_written_at_once_are_all_there(world: World) -> None:
    world.network.set_link(ROUGH)
    services = await a_network(world, NAMES)
    await services[0].create_array("grid", (20, 30), "i4", chunk=7)
    await asyncio.gather(
        *(each.set("grid", row + 1, at=np.s_[row]) for n, each in enumerate(services) for row in range(n, 20, 5))
    )
    await world.until(lambda: agree(world))
    expected = np.repeat(np.arange(1, 21, dtype="i4")[:, None], 30, axis=1)
    for each in services:
        np.testing.assert_array_equal(await each.get("grid"), expected)
