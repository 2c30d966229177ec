"""The service: what a caller sees of variables, on whole nodes in a quiet simulated world."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from tests.plugins.dvar.network import NAMES, a_network, a_node, agree, service, table

import guthi
from guthi.testing import World, simulated
from guthi_dvar import (
    Change,
    ConstantWritten,
    Lagged,
    SourceUnreachable,
    TypeMismatch,
    UnknownVariable,
    ValueUnavailable,
    VariableExists,
)


@dataclass
class Point:
    x: float
    y: float


@simulated
async def test_created_on_one_node_readable_on_all(world: World) -> None:
    alice, bob, carol = await a_network(world)
    await alice.create("temperature", 21.5)
    assert [await each.get("temperature") for each in (alice, bob, carol)] == [21.5] * 3
    assert all(each.names() == ["temperature"] for each in (alice, bob, carol))


@simulated
async def test_a_write_invalidates_and_readers_fetch(world: World) -> None:
    alice, bob, carol = await a_network(world)
    await alice.create("count", 1, replicas=0)
    assert await carol.get("count") == 1
    await bob.set("count", 2)
    await world.sleep(0.1)
    assert "count" not in table(world, "carol").ready
    assert await carol.get("count") == 2
    assert "count" in table(world, "carol").ready
    reading = await carol.read("count")
    assert (reading.value, reading.version, reading.writer) == (2, 2, world.nodes["bob"].node.id)


@simulated
async def test_how_old_a_reading_is_can_be_seen_and_bounded(world: World) -> None:
    alice, bob, _ = await a_network(world)
    await alice.create("count", 1)
    await bob.get("count")
    await world.sleep(5.0)
    assert 4.9 < (await bob.read("count")).age_s < 5.1
    assert (await bob.read("count", max_age_s=1.0)).age_s < 0.1
    world.network.partition(["alice"], ["bob", "carol"])
    assert (await bob.read("count")).value == 1
    with pytest.raises(SourceUnreachable, match="alice"):
        await bob.read("count", max_age_s=0)


@simulated
async def test_values_outlive_their_source(world: World) -> None:
    alice, *others = await a_network(world, NAMES)
    await alice.create("plan", {"steps": [1, 2]}, type=dict[str, list[int]])
    world.nodes["alice"].crash()
    for each in others:
        assert await each.get("plan") == {"steps": [1, 2]}


@simulated
async def test_copies_are_made_again_when_nodes_go(world: World) -> None:
    await a_network(world, NAMES, sync_interval="2s")
    await service(world, "alice").create("plan", "a", replicas=1)
    kept = [name for name in NAMES if "plan" in table(world, name).ready]
    assert len(kept) == 2
    for name in kept:
        await world.nodes[name].stop()
        await world.sleep(5.0)
    rest = [name for name in NAMES if name not in kept]
    assert sum("plan" in table(world, name).ready for name in rest) == 2
    assert [await service(world, name).get("plan") for name in rest] == ["a"] * 3


@simulated
async def test_who_comes_later_knows_everything(world: World) -> None:
    alice, _, _ = await a_network(world)
    for number in range(50):
        await alice.create(f"v{number}", number)
    await alice.delete("v7")
    dave = await a_node(world, "dave", ["bob"])
    await dave.synced()
    assert len(dave.names()) == 49
    assert await dave.get("v49") == 49
    await world.until(lambda: agree(world))


@simulated
async def test_types_are_checked_at_creation_and_at_each_write(world: World) -> None:
    alice, bob, _ = await a_network(world)
    with pytest.raises(TypeMismatch, match="is to be int, not 'one'"):
        await alice.create("count", "one", type=int)
    await alice.create("count", 1)
    with pytest.raises(TypeMismatch, match=r"is to be int, not True \(bool\)"):
        await bob.set("count", True)
    await alice.create("sizes", [1], type=list[int])
    with pytest.raises(TypeMismatch, match=r"the value\[1\] is to be int"):
        await bob.set("sizes", [1, "2"])
    await alice.create("place", (1, "a"), type=tuple[int, str])
    assert await bob.get("place") == (1, "a")
    with pytest.raises(guthi.UsageError, match="no variable can have the type set"):
        await alice.create("odd", {1})


@simulated
async def test_dataclasses_by_registration(world: World) -> None:
    alice, bob, _ = await a_network(world)
    with pytest.raises(guthi.NotEncodable, match="register"):
        await alice.create("point", Point(1, 2))
    for name in NAMES[:3]:
        world.nodes[name].node.codec.register(Point)
    await alice.create("point", Point(1, 2))
    assert await bob.get("point") == Point(1, 2)


@simulated
async def test_what_is_read_belongs_to_the_reader(world: World) -> None:
    alice, bob, _ = await a_network(world)
    mine = {"a": [1]}
    await alice.create("plan", mine)
    mine["a"].append(2)
    (await alice.get("plan"))["a"].append(3)
    assert await alice.get("plan") == await bob.get("plan") == {"a": [1]}


@simulated
async def test_constants_are_not_written(world: World) -> None:
    alice, bob, _ = await a_network(world)
    await alice.constant("pi", 3.14)
    await alice.constant("table", np.arange(4))
    assert await bob.get("pi") == 3.14
    for write in (bob.set("pi", 3.0), bob.update("pi", float), bob.compare_and_set("pi", 3.14, 3.0)):
        with pytest.raises(ConstantWritten, match="pi"):
            await write
    with pytest.raises(ConstantWritten):
        await bob.set("table", 1, at=0)


@simulated
async def test_names(world: World) -> None:
    alice, bob, _ = await a_network(world)
    await alice.create("temperature", 1.0)
    with pytest.raises(VariableExists, match="temperature"):
        await bob.create("temperature", 2.0)
    with pytest.raises(UnknownVariable, match="did you mean 'temperature'"):
        await bob.get("temprature")
    await bob.delete("temperature")
    with pytest.raises(UnknownVariable):
        await alice.get("temperature")
    await alice.create("temperature", "warm")
    assert await bob.get("temperature") == "warm"
    for name in ("", "a" * 256, "\ud800", 5):
        with pytest.raises(guthi.UsageError, match="1 to 255 bytes"):
            await alice.create(name, 1)  # type: ignore[arg-type]
        with pytest.raises(UnknownVariable, match="1 to 255 bytes"):
            await alice.get(name)  # type: ignore[arg-type]
    with pytest.raises(guthi.UsageError, match="there is now: 'eventual', 'coherent'"):
        await alice.create("strict", 1, coherence="strict")
    with pytest.raises(guthi.UsageError, match="from 0 to 16"):
        await alice.create("many", 1, replicas=17)


@simulated
async def test_no_update_is_lost(world: World) -> None:
    services = await a_network(world)
    await services[0].create("count", 0)

    async def count(dvar: Any) -> None:
        for _ in range(10):
            await dvar.update("count", lambda value: value + 1)

    await asyncio.gather(*map(count, services))
    assert [await each.get("count") for each in services] == [30] * 3


@simulated
async def test_one_of_those_who_compare_succeeds(world: World) -> None:
    services = await a_network(world)
    await services[0].create("leader", "")
    won = await asyncio.gather(*(each.compare_and_set("leader", "", str(n)) for n, each in enumerate(services)))
    assert sum(won) == 1
    await world.sleep(0.1)
    assert {await each.get("leader") for each in services} == {str(won.index(True))}


@simulated
async def test_who_compares_needs_the_source(world: World) -> None:
    alice, bob, _ = await a_network(world)
    await alice.create("count", 1)
    world.nodes["alice"].crash()
    with pytest.raises(SourceUnreachable, match="alice"):
        await bob.compare_and_set("count", 1, 2)
    assert await bob.get("count") == 1
    await bob.set("count", 5)
    assert await bob.compare_and_set("count", 5, 6)


@simulated
async def test_a_value_that_nobody_has_is_said_to_be_so(world: World) -> None:
    alice, bob, _ = await a_network(world)
    await alice.create("count", 1, replicas=0)
    world.nodes["alice"].crash()
    with pytest.raises(ValueUnavailable, match="version 1 of 'count', written by alice"):
        await bob.get("count")
    await bob.set("count", 2)
    assert await bob.get("count") == 2


@simulated
async def test_fetches_of_one_version_are_merged(world: World) -> None:
    alice, bob, _ = await a_network(world)
    await alice.create("blob", bytes(100_000), replicas=0)
    asked: list[str] = []
    node = world.nodes["bob"].node
    original = node.request

    async def request(member: Any, topic: str, value: Any, **named: Any) -> Any:
        asked.append(topic)
        return await original(member, topic, value, **named)

    node.request = request  # type: ignore[method-assign]
    values = await asyncio.gather(*(bob.get("blob") for _ in range(100)))
    assert all(value is values[0] for value in values)
    assert asked == ["dvar.fetch"]


@simulated
async def test_a_batch_is_one_invalidation(world: World) -> None:
    alice, bob, _ = await a_network(world)
    for number in range(5):
        await alice.create(f"v{number}", 0)
    told: list[Any] = []
    node = world.nodes["alice"].node
    original = node.broadcast

    async def broadcast(topic: str, value: Any) -> None:
        told.append(value)
        await original(topic, value)

    node.broadcast = broadcast  # type: ignore[method-assign]
    async with alice.batch() as batch:
        for number in range(5):
            batch.set(f"v{number}", number)
        batch.set("v4", 44)
    assert len(told) == 1
    await world.sleep(0.1)
    assert [await bob.get(f"v{number}") for number in range(5)] == [0, 1, 2, 3, 44]
    with pytest.raises(KeyError):
        async with alice.batch() as batch:
            batch.set("v0", 9)
            raise KeyError
    assert await alice.get("v0") == 0
    with pytest.raises(guthi.UsageError, match="inside"):
        batch.set("v0", 9)


@simulated
async def test_a_watcher_is_told_each_change(world: World) -> None:
    alice, bob, _ = await a_network(world)
    await alice.create("count", 1)
    seen: list[Change | Lagged] = []

    async def look() -> None:
        seen.extend([each async for each in bob.watch("count")])

    looking = asyncio.create_task(look())
    await world.sleep(0.1)
    for number in range(2, 6):
        await alice.set("count", number)
        await world.sleep(0.1)
    await alice.delete("count")
    await looking
    assert [each.value for each in seen if isinstance(each, Change)] == [1, 2, 3, 4, 5]
    assert [each.version for each in seen if isinstance(each, Change)] == [1, 2, 3, 4, 5]


@simulated
async def test_a_watcher_that_lags_is_told_so(world: World) -> None:
    alice, *_ = await a_network(world)
    await alice.create("count", 0)
    changes = alice.watch("count", queue=4)
    first = await anext(changes)
    assert isinstance(first, Change) and first.value == 0
    for number in range(1, 11):
        await alice.set("count", number)
    assert await anext(changes) == Lagged(6)
    assert [(await anext(changes)).value for _ in range(4)] == [7, 8, 9, 10]  # type: ignore[union-attr]
    await changes.aclose()  # type: ignore[attr-defined]


@simulated
async def test_clients_read_and_write_through_peers(world: World) -> None:
    alice, _, _ = await a_network(world)
    client = await a_node(world, "shell", ["alice"], role="client")
    await client.synced()
    await client.create("count", 1)
    assert await client.get("count") == await alice.get("count") == 1
    await alice.set("count", 2)
    await world.sleep(0.1)
    assert await client.get("count") == 2
    await client.set("count", 3)
    assert await client.get("count") == 3
    assert await client.update("count", lambda value: value + 1) == 4
    info = await client.info("count")
    assert (info.type, info.version, info.coherence) == ("int", 4, "eventual")
    assert "shell" not in info.places and info.source != "shell"
    await client.delete("count")
    assert client.names() == []
    with pytest.raises(TypeMismatch):
        await client.create("odd", "a", type=int)


@simulated
async def test_hooks_tell_of_versions(world: World) -> None:
    alice, bob, _ = await a_network(world)
    await alice.create("count", 1, replicas=0)
    await bob.get("count")
    heard: list[tuple[str, str, int]] = []

    class Ear:
        @guthi.hookimpl
        def variable_changed(self, name: str, version: int) -> None:
            heard.append(("changed", name, version))

        @guthi.hookimpl
        def variable_invalidated(self, name: str, version: int) -> None:
            heard.append(("invalidated", name, version))

    world.nodes["bob"].node.hooks.register(Ear(), "ear")
    await alice.set("count", 2)
    await world.sleep(0.1)
    assert heard == [("changed", "count", 2), ("invalidated", "count", 2)]


@simulated
async def test_a_full_table_says_so(world: World) -> None:
    alice, bob, _ = await a_network(world, most_variables=2)
    await alice.create("a", 1)
    await alice.create("b", 1)
    with pytest.raises(guthi.GuthiError, match="most_variables"):
        await alice.create("c", 1)
    await alice.set("a", 2)
    assert await bob.get("b") == 1


@simulated
async def test_copies_that_belong_elsewhere_make_room(world: World) -> None:
    alice, bob, _ = await a_network(world, most_bytes=150_000)
    for number in range(5):
        await alice.create(f"v{number}", bytes(50_000), replicas=0)
        assert len(await bob.get(f"v{number}")) == 50_000
    assert 0 < len(table(world, "bob").ready) <= 2
    assert len(table(world, "alice").ready) == 5
    assert len(await bob.get("v0")) == 50_000
