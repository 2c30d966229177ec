"""What a caller is given is its own, and what it gives, or forgets, harms nobody else; in a quiet simulated world."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tests.plugins.dvar.network import a_network

import guthi
from guthi.testing import World, simulated
from guthi_dvar import Change, UnknownVariable, ValueUnavailable


@dataclass
class Point:
    x: float
    y: float


@simulated
async def test_what_an_update_returns_and_a_watcher_is_told_belongs_to_them(world: World) -> None:
    alice, bob, _ = await a_network(world)
    await alice.create("steps", [1])
    for each in (alice, bob):  # the second is not the source
        (await each.update("steps", lambda value: [*value, 2])).append("mine")
        async for told in each.watch("steps"):
            assert isinstance(told, Change)
            told.value.append("mine")
            break
    assert [await each.get("steps") for each in (alice, bob)] == [[1, 2, 2]] * 2


@simulated
async def test_a_text_that_cannot_travel_is_not_written(world: World) -> None:
    alice, bob, _ = await a_network(world)
    await alice.create("file", "a")
    with pytest.raises(guthi.NotEncodable):
        await alice.set("file", "caf\udce9")
    assert [await each.get("file") for each in (alice, bob)] == ["a", "a"]


@simulated
async def test_a_handle_is_of_the_array_that_it_was_given_for(world: World) -> None:
    alice, bob, _ = await a_network(world)
    handle = await alice.create_array("grid", (4,), "i4")
    await bob.delete("grid")
    with pytest.raises(UnknownVariable):
        await handle.as_numpy()
    await bob.create_array("grid", (2, 2), "f8")
    for call in (handle.get(0), handle.set(0, 1), handle.as_numpy()):
        with pytest.raises(UnknownVariable, match="another array"):
            await call
    assert (await (await alice.array("grid")).get(0)).tolist() == [0.0, 0.0]


@simulated
async def test_who_has_not_registered_a_class_is_told_so(world: World) -> None:
    alice, bob, _ = await a_network(world)
    world.nodes["alice"].node.codec.register(Point)
    await alice.create("point", Point(1, 2))
    with pytest.raises(ValueUnavailable, match=r"by alice, cannot be read here: .*'Point' is not registered"):
        await bob.get("point")
    world.nodes["bob"].node.codec.register(Point)
    assert await bob.get("point") == Point(1, 2)
