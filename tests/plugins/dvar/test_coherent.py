"""Coherent variables: what a caller sees of them, on whole nodes in a quiet simulated world."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from tests.plugins.dvar.members import a_client, a_member, members
from tests.plugins.dvar.network import NAMES, service, table

from guthi import MalformedMessage, NodeId, UsageError
from guthi.testing import World, simulated
from guthi_dvar import Change, Lagged, TableFull, TypeMismatch, UnknownVariable, ValueUnavailable, VariableExists
from guthi_dvar.coherent import telling
from guthi_dvar.coherent.rounds import Rounds
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
async def test_when_delete_returns_nobody_reads_the_value_any_more(world: World) -> None:
    everyone = await members(world)
    for deleter in everyone:
        await everyone[0].create("count", 1, coherence="coherent")
        assert [await each.get("count") for each in everyone] == [1] * len(everyone)
        await deleter.delete("count")
        for each in everyone:
            with pytest.raises(UnknownVariable):
                await each.get("count")


@simulated
async def test_what_is_created_again_as_eventual_has_nothing_of_the_former(world: World) -> None:
    alice, bob, *_ = await members(world)
    await alice.create("count", 1, coherence="coherent")
    assert await bob.get("count") == 1
    await alice.delete("count")
    await alice.create("count", 2, replicas=0)
    await alice.set("count", 3)
    assert await bob.get("count") in (2, 3)


@simulated
async def test_a_node_in_no_view_finds_at_once_what_was_created_again(world: World) -> None:
    everyone = await members(world, NAMES[:4])
    client = await a_client(world, "erin")
    for number, each in enumerate(everyone):
        await each.create("plan", number, coherence="coherent")
        assert await client.get("plan") == number
        await each.delete("plan")
        await world.sleep(1.0)


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


@simulated
async def test_a_class_that_one_member_does_not_know_stops_nobody_else(world: World) -> None:
    """Whoever it is to the variable: owner, keeper or reader; before and after a change of the view."""
    names = NAMES[:4]
    alice, bob, carol, dave = await members(world, names)
    for name in names[:3]:
        world.nodes[name].node.codec.register(Point, "Point")
    spots, counts = [[f"{word}{number}" for number in range(16)] for word in ("spot", "count")]
    for name in [*spots, *counts]:
        await alice.create(name, 0, type=Any, coherence="coherent")
        assert await dave.get(name) == 0
    written = []
    for name in spots:
        with suppress(MalformedMessage):  # its owner is dave
            await bob.set(name, Point(1.0, []))
            written.append(name)
        assert await carol.get(name) == (Point(1.0, []) if name in written else 0)
    assert len(written) in range(1, len(spots))
    with pytest.raises(MalformedMessage):
        await dave.get(written[0])
    await a_member(world, "erin")
    await world.sleep(1.0)
    for number, name in enumerate(counts):
        await carol.set(name, number)
        assert [await each.get(name) for each in (alice, bob, carol, dave)] == [number] * 4
    read = 0
    for name in written:
        with suppress(ValueUnavailable):  # its owner is erin, who does not know it either
            assert await alice.get(name) == Point(1.0, [])
            read += 1
        if name == written[-1]:
            await bob.set(name, 2)
            assert [await each.get(name) for each in (alice, carol, dave)] == [2] * 3
    assert read


@simulated
async def test_there_are_not_more_values_than_a_node_may_know(world: World) -> None:
    everyone = await members(world, NAMES[:3], dvar={"most_values": 6})
    for _ in range(3):  # what was deleted counts no more
        await everyone[0].create_array("grid", 10, "i4", chunk=1, coherence="coherent")
        await everyone[1].set("grid", 7, at=np.s_[:5])
        with pytest.raises(TableFull, match="most_values"):
            await everyone[2].set("grid", 8, at=np.s_[4:7])
        assert (await everyone[2].get("grid", np.s_[4:7])).tolist() == [7, 0, 0]
        await everyone[2].set("grid", 9, at=np.s_[4:6])
        with pytest.raises(TableFull, match="most_values"):
            await everyone[0].create("count", 1, coherence="coherent")
        await everyone[1].delete("grid")
    await everyone[0].create("count", 1, coherence="coherent")


@simulated
async def test_an_owner_refuses_what_it_has_no_room_for(world: World) -> None:
    everyone = await members(world, NAMES[:3], dvar={"most_bytes": 100_000})
    await everyone[0].create("text", "a" * 60_000, coherence="coherent")
    with pytest.raises(TableFull, match="most_bytes"):
        await everyone[1].create("other", "b" * 60_000, coherence="coherent")
    with pytest.raises(TableFull, match="most_bytes"):
        await everyone[1].set("text", "c" * 120_000)
    for letter in "def":
        await everyone[1].set("text", letter * 90_000)
        assert [await each.get("text") for each in everyone] == [letter * 90_000] * 3


@simulated
async def test_a_member_without_room_is_no_keeper(world: World) -> None:
    everyone = await members(world, NAMES[:2])
    await a_member(world, "carol", dvar={"most_bytes": 10_000})
    await world.until(world.is_connected)
    carol = service(world, "carol")
    names = [f"text{number}" for number in range(8)]
    made = []
    for name in names:
        with suppress(TableFull):  # its owner is carol
            await everyone[0].create(name, "a" * 20_000, coherence="coherent")
            made.append(name)
    assert made and table(world, "carol").get(made[0]) is not None
    cells = [cell for each in table(world, "carol").variables() for cell in each.cells.values()]
    assert not any(cell.copy is not None for cell in cells)
    for name in made:
        assert await carol.get(name) == "a" * 20_000
        await everyone[1].set(name, "b")
        assert [await each.get(name) for each in (*everyone, carol)] == ["b"] * 3


@simulated
async def test_who_has_a_part_of_a_write_does_not_take_it_for_done(world: World, monkeypatch: Any) -> None:
    """Else the next owner would tell the writer, who asks again, that all of it was there."""
    monkeypatch.setattr(telling, "MOST_BYTES_A_MESSAGE", 100)
    told: list[tuple[NodeId, int, int]] = []
    ask = Rounds.ask

    async def seen(self: Rounds, view_id: Any, topic: str, bodies: Any, **how: Any) -> list[Any]:
        if topic == telling.PREPARE:
            told.extend((to, len(prepared), len(notes)) for to, (_, prepared, notes, _) in bodies)
        return await ask(self, view_id, topic, bodies, **how)

    monkeypatch.setattr(Rounds, "ask", seen)
    alice, *_ = await members(world, NAMES[:3])
    await alice.create_array("grid", (4, 100), "u1", chunk=1, coherence="coherent")
    await alice.set("grid", 7, at=np.s_[:])
    assert [(prepared, notes) for _, prepared, notes in told] == [(1, 0)] * 8 + [(0, 1)] * 2
