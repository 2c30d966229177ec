"""What coherent variables cost, counted: ways of messages on links that take 10 ms, and messages."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from tests.plugins.dvar.members import members
from tests.plugins.dvar.network import NAMES, service

import guthi
from guthi.testing import Link, World, simulated
from guthi_dvar import Dvar

ROUND_TRIP_S = 0.02


async def far_apart(world: World) -> None:
    """Five nodes, ten milliseconds from each other, that have opened sessions."""
    world.network.set_link(Link(latency_s=ROUND_TRIP_S / 2))
    await members(world)


async def owned_by(world: World, owner: str, replicas: int = 0) -> str:
    """A variable of that owner."""
    for number in range(100):
        name = f"{owner}{replicas}.{number}"
        await service(world, owner).create(name, 0, coherence="coherent", replicas=replicas)
        if (await service(world, owner).info(name)).places[0] == owner:
            return name
    raise AssertionError(f"{owner} owns nothing")


async def held(world: World, name: str, holders: list[str]) -> None:
    """These have a valid copy."""
    await asyncio.gather(*(service(world, each).get(name) for each in holders))


async def round_trips(world: World, work: Any) -> float:
    """How many round trips something takes."""
    began_at = world.now
    await work
    return (world.now - began_at) / ROUND_TRIP_S


@simulated
async def test_a_write_by_the_owner_takes_one_round_trip(world: World) -> None:
    await far_apart(world)
    for replicas in (0, 2):
        name = await owned_by(world, "alice", replicas)
        await held(world, name, NAMES[1:4])
        assert await round_trips(world, service(world, "alice").set(name, 1)) == pytest.approx(1.0, abs=0.2)


@simulated
async def test_a_write_by_another_takes_one_and_a_half(world: World) -> None:
    await far_apart(world)
    name = await owned_by(world, "bob", 2)
    await held(world, name, NAMES[2:5])
    assert await round_trips(world, service(world, "alice").set(name, 1)) == pytest.approx(1.5, abs=0.15)
    assert await round_trips(world, service(world, "carol").compare_and_set(name, 1, 2)) == pytest.approx(1.5, abs=0.15)


@simulated
async def test_reads_take_nothing_or_one_round_trip(world: World) -> None:
    await far_apart(world)
    name = await owned_by(world, "bob")
    await held(world, name, ["carol"])
    assert await round_trips(world, service(world, "carol").get(name)) == 0
    assert await round_trips(world, service(world, "dave").get(name)) == pytest.approx(1.0, abs=0.2)


class Ear:
    """Notes when a copy became invalid."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()

    @guthi.hookimpl
    def variable_invalidated(self) -> None:
        self.heard.set()


@pytest.mark.parametrize(("owner", "ways"), [("alice", 1), ("bob", 2)])
@simulated
async def test_a_write_is_known_to_readers_after_one_way_or_two(world: World, owner: str, ways: int) -> None:
    await far_apart(world)
    name, ear = await owned_by(world, owner), Ear()
    await held(world, name, ["carol"])
    world.nodes["carol"].node.hooks.register(ear, "ear")
    began_at = world.now
    writing = asyncio.ensure_future(service(world, "alice").set(name, 1))
    await ear.heard.wait()
    assert (world.now - began_at) / ROUND_TRIP_S == pytest.approx(ways / 2, abs=0.15)
    await writing


def counted(world: World, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many requests go out from now on, by topic."""
    seen: Counter[str] = Counter()
    for each in world.running():
        requests = each.node.network.requests

        def ask(peer: Any, topic: str, *rest: Any, asks: Any = requests.ask) -> Any:
            seen[topic] += topic.startswith("dvar.")
            return asks(peer, topic, *rest)

        monkeypatch.setattr(requests, "ask", ask)
    return seen


@pytest.mark.parametrize(("owner", "topic"), [("alice", "dvar.prepare"), ("bob", "dvar.operate")])
@simulated
async def test_a_write_leaves_in_the_turn_of_the_loop_in_which_it_is_made(
    world: World, monkeypatch: pytest.MonkeyPatch, owner: str, topic: str
) -> None:
    await far_apart(world)
    name, ear = await owned_by(world, owner), Ear()
    await held(world, name, ["alice", "carol"])
    world.nodes["alice"].node.hooks.register(ear, "ear")
    seen = counted(world, monkeypatch)
    writing = asyncio.ensure_future(service(world, "alice").set(name, 1))
    await asyncio.sleep(0)
    assert seen == {topic: 1} and not ear.heard.is_set()  # hooks here can wait until it is on its way
    await writing
    assert ear.heard.is_set()


@simulated
async def test_a_batch_takes_one_round_for_each_owner(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await far_apart(world)
    alice = service(world, "alice")
    for number in range(10):
        await alice.create(f"x{number}", 0, coherence="coherent", replicas=0)
        await held(world, f"x{number}", ["carol"])
    seen = counted(world, monkeypatch)

    async def write(dvar: Dvar) -> None:
        async with dvar.batch() as batch:
            for number in range(10):
                batch.set(f"x{number}", 1)

    assert await round_trips(world, write(alice)) == pytest.approx(1.5, abs=0.15)
    assert 1 <= seen["dvar.operate"] <= len(NAMES) - 1 and 1 <= seen["dvar.prepare"] <= len(NAMES)


@simulated
async def test_those_who_read_at_once_share_a_fetch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await far_apart(world)
    name = await owned_by(world, "bob")
    seen = counted(world, monkeypatch)
    await held(world, name, ["carol"] * 20)
    assert seen["dvar.obtain"] == 1


@simulated
async def test_only_what_has_changed_of_a_chunk_is_sent(world: World) -> None:
    await members(world)
    alice = service(world, "alice")
    await alice.create_array("large", 1_000_000, "u1", coherence="coherent")
    everyone = [service(world, name) for name in NAMES]
    await asyncio.gather(*(each.get("large", 0) for each in everyone))
    before = world.network.sent_bytes.total()
    for number in range(20):
        await alice.set("large", number, at=number * 1000)
        assert [await each.get("large", number * 1000) for each in everyone] == [number] * 5
    assert world.network.sent_bytes.total() - before < 200_000
