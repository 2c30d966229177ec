"""Coherent variables: what a caller sees of them, on whole nodes in a quiet simulated world."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import numpy as np
import pytest
from tests.plugins.dvar.members import a_client, a_member, members
from tests.plugins.dvar.network import NAMES, service

from guthi import UsageError
from guthi.testing import World, simulated
from guthi_dvar import Change, Lagged, TypeMismatch, UnknownVariable, VariableExists
from guthi_mutex import Fence, StaleFence


@dataclass
class Point:
    x: float
    y: list[int]


@simulated
async def test_when_set_returns_nobody_reads_the_value_before(world: World) -> None:
    everyone = await members(world)
    await everyone[0].create("count", 0, coherence="coherent")
    for number, writer in enumerate([*everyone, *everyone], start=1):
        assert [await each.get("count") for each in everyone] == [number - 1] * len(everyone)
        await writer.set("count", number)
    assert [await each.get("count") for each in everyone] == [number] * len(everyone)
    reading = await everyone[0].read("count", max_age_s=0)
    assert (reading.value, reading.version, reading.age_s) == (number, number + 1, 0.0)
    assert reading.writer == world.nodes[NAMES[-1]].node.id


@simulated
async def test_updates_on_all_nodes_at_once_are_all_there(world: World) -> None:
    everyone = await members(world)
    await everyone[0].create("count", 0, coherence="coherent")
    await asyncio.gather(*(each.update("count", lambda count: count + 1) for each in everyone for _ in range(4)))
    assert await everyone[1].get("count") == 4 * len(everyone)
    assert await everyone[2].compare_and_set("count", 4 * len(everyone), 0)
    assert not await everyone[3].compare_and_set("count", 4 * len(everyone), 1)
    assert [await each.get("count") for each in everyone] == [0] * len(everyone)


@simulated
async def test_names_types_and_deletion(world: World) -> None:
    alice, bob, *_ = await members(world)
    await alice.create("plan", {"steps": [1]}, type=dict[str, list[int]], coherence="coherent")
    with pytest.raises(VariableExists):
        await bob.create("plan", 1, coherence="coherent")
    with pytest.raises(TypeMismatch):
        await bob.set("plan", {"steps": ["one"]})
    got = await bob.get("plan")
    got["steps"].append(2)
    assert await bob.get("plan") == {"steps": [1]} and bob.names() == ["plan"]
    await bob.delete("plan")
    for each in (alice, bob):
        with pytest.raises(UnknownVariable):
            await each.get("plan")
    await bob.create("plan", "another", coherence="coherent")
    assert await alice.get("plan") == "another"


@simulated
async def test_two_who_create_at_once(world: World) -> None:
    everyone = await members(world)
    outcomes = await asyncio.gather(
        *(each.create("plan", number, coherence="coherent") for number, each in enumerate(everyone)),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in outcomes) == ["NoneType", *["VariableExists"] * (len(everyone) - 1)]
    values = {await each.get("plan") for each in everyone}
    assert values == {outcomes.index(None)}


@simulated
async def test_dataclasses_travel_as_they_are(world: World) -> None:
    everyone = await members(world)
    for name in NAMES:
        world.nodes[name].node.codec.register(Point, "Point")
    await everyone[0].create("spot", Point(1.0, [2, 3]), coherence="coherent")
    await everyone[1].set("spot", Point(4.0, [5]))
    assert [await each.get("spot") for each in everyone] == [Point(4.0, [5])] * len(everyone)


@simulated
async def test_arrays_are_coherent_chunk_by_chunk(world: World) -> None:
    alice, bob, carol, *_ = await members(world)
    grid = await alice.create_array("grid", (8, 6), "i4", chunk=2, coherence="coherent")
    theirs = await bob.array("grid")
    assert (await theirs.as_numpy()).sum() == 0
    await grid.set(np.s_[1:5, 2], 7)
    await theirs.set(np.s_[[0, 3], :], 1)
    expected = np.zeros((8, 6), "i4")
    expected[1:5, 2] = 7
    expected[[0, 3], :] = 1
    for each in (alice, bob, carol):
        np.testing.assert_array_equal(await each.get("grid"), expected)
    await asyncio.gather(*(each.set("grid", row, at=np.s_[:, row]) for row, each in enumerate((alice, bob, carol))))
    assert (await carol.get("grid", np.s_[7])).tolist() == [0, 1, 2, 0, 0, 0]


@simulated
async def test_a_batch_is_written_as_a_whole_or_not_at_all_to_one_variable(world: World) -> None:
    alice, bob, *_ = await members(world)
    for name in "abcdef":
        await alice.create(name, 0, coherence="coherent")
    await alice.create("loose", 0)
    async with bob.batch() as batch:
        for name in "abcdef":
            batch.set(name, 1)
        batch.set("loose", 1)
    assert [await alice.get(name) for name in "abcdef"] == [1] * 6


@simulated
async def test_every_change_is_watched(world: World) -> None:
    alice, bob, *_ = await members(world)
    await alice.create("count", 0, coherence="coherent")
    seen: list[int] = []

    async def look() -> None:
        async for each in bob.watch("count"):
            assert isinstance(each, Change | Lagged)
            seen.append(each.value if isinstance(each, Change) else -each.missed)

    looking = asyncio.create_task(look())
    await world.sleep(0.5)
    for number in range(1, 4):
        await alice.set("count", number)
        await world.sleep(0.2)
    assert seen == [0, 1, 2, 3]
    for number in range(4, 14):
        await alice.set("count", number)
    await world.sleep(0.5)
    assert seen[-1] == 13 and sum(-each if each < 0 else 1 for each in seen) == 14
    await alice.delete("count")
    await looking


@simulated
async def test_a_chunk_that_is_written_for_the_first_time_is_watched(world: World) -> None:
    alice, bob, *_ = await members(world)
    await alice.create_array("grid", 6, "u1", chunk=2, coherence="coherent")
    changes = bob.watch("grid")
    await alice.set("grid", 1, at=0)
    asked = asyncio.ensure_future(anext(changes))
    await world.sleep(0.5)
    await alice.set("grid", 5, at=4)
    boxes = [(await asked).at, (await anext(changes)).at]
    assert boxes == [(slice(0, 2),), (slice(4, 6),)]
    await changes.aclose()  # type: ignore[attr-defined]


@simulated
async def test_an_older_fence_is_refused(world: World) -> None:
    alice, bob, *_ = await members(world)
    await alice.create("picture", "first", coherence="coherent")
    await alice.set("picture", "second", fence=Fence("render", 7))
    with pytest.raises(StaleFence, match="fence 7"):
        await bob.set("picture", "late", fence=Fence("render", 6))
    with pytest.raises(StaleFence):
        await bob.compare_and_set("picture", "second", "late", fence=Fence("render", 6))
    await bob.set("picture", "third", fence=Fence("render", 7))
    await bob.set("picture", "of another lock", fence=Fence("paint", 1))
    assert await alice.get("picture") == "of another lock"
    await alice.create("loose", 1)
    with pytest.raises(UsageError, match="coherent"):
        await alice.set("loose", 2, fence=Fence("render", 8))


@simulated
async def test_clients_read_write_and_watch(world: World) -> None:
    alice, *_ = await members(world)
    client = await a_client(world, "zoe")
    await client.create("count", 0, coherence="coherent")
    changes = client.watch("count")
    assert (await anext(changes)).value == 0  # type: ignore[union-attr]
    await client.set("count", 1)
    assert await alice.get("count") == 1
    assert (await anext(changes)).value == 1  # type: ignore[union-attr]
    await alice.set("count", 5)
    assert await client.get("count") == 5
    assert await client.update("count", lambda count: count + 1) == 6
    info = await client.info("count")
    assert (info.coherence, info.version, info.source, len(info.places)) == ("coherent", 4, "zoe", 3)
    await client.delete("count")
    with pytest.raises(UnknownVariable):
        await client.get("count")
    await client.create_array("grid", 4, "f8", coherence="coherent")
    await client.set("grid", 2.5, at=1)
    assert (await client.get("grid")).tolist() == [0, 2.5, 0, 0]


@simulated
async def test_without_the_plugin_mutex_there_are_no_coherent_variables(world: World) -> None:
    alone = await world.start("alone", plugins=["dvar"])
    with pytest.raises(UsageError, match="mutex"):
        await service(world, alone.name).create("count", 0, coherence="coherent")


@simulated
async def test_who_comes_later_reads_and_takes_its_part(world: World) -> None:
    alice, *_ = await members(world, NAMES[:2])
    for number in range(20):
        await alice.create(f"v{number}", number, coherence="coherent")
    for name in NAMES[2:]:
        await a_member(world, name)
        assert [await service(world, name).get(f"v{number}") for number in range(20)] == list(range(20))
    await world.sleep(5.0)
    sources = {(await alice.info(f"v{number}")).places[0] for number in range(20)}
    assert sources >= set(NAMES[2:])
