"""Transfers between whole nodes: from several holders, over breaks and deaths, verified, and in bounded memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.gutfs.network import NAMES, a_network, folder_of, service

from guthi.testing import Link, World, simulated
from guthi_gutfs import FileChanged, SourceGone
from guthi_gutfs.chunks import CHUNK_BYTES
from guthi_gutfs.serving.answering import CACHED, CHUNK

ONE_OWNER = {"alice": ["/p"], **{name: [] for name in NAMES[1:4]}}
COUNT = 12


def served(world: World) -> Counter[str]:
    """How many chunks each node hands out from now on."""
    count: Counter[str] = Counter()
    for name, node in world.nodes.items():
        handlers = node.node.network.requests._serving._handlers
        for topic in (CHUNK, CACHED):

            def counting(incoming: Any, name: str = name, topic: str = topic, answer: Any = handlers[topic]) -> Any:
                count[name] += len(incoming.value[2] if topic == CHUNK else incoming.value)
                return answer(incoming)

            handlers[topic] = counting
    return count


async def a_file(world: World, folder: Path, count: int = COUNT) -> bytes:
    """A file at alice, of that many chunks and a bit."""
    data = world.random.randbytes(count * CHUNK_BYTES - 5)
    (folder_of(folder, "alice", "/p") / "large").write_bytes(data)
    return data


@simulated
async def test_those_that_have_fetched_are_holders_too(world: World, tmp_path: Path) -> None:
    world.network.set_link(Link(latency_s=0.001, bandwidth_bytes_s=20e6, queue_bytes=1 << 20))
    _, bob, carol, dave = await a_network(world, tmp_path, ONE_OWNER)
    data = await a_file(world, tmp_path)
    assert await bob.read("/p/large") == data
    assert await carol.read("/p/large") == data
    count = served(world)
    assert await dave.read("/p/large") == data
    assert sum(count.values()) == COUNT and all(count[name] >= 2 for name in NAMES[:3])


@simulated
async def test_who_has_fetched_a_part_is_a_holder_of_that_part(world: World, tmp_path: Path) -> None:
    world.network.set_link(Link(latency_s=0.001, bandwidth_bytes_s=20e6, queue_bytes=1 << 20))
    _, bob, carol, _ = await a_network(world, tmp_path, ONE_OWNER, read_ahead="4 MiB")
    data = await a_file(world, tmp_path)
    pieces = bob.chunks("/p/large")
    for _ in range(COUNT // 2):
        await anext(pieces)
    await pieces.aclose()  # type: ignore[attr-defined]
    assert COUNT // 2 <= bob.cache().chunks < COUNT
    count = served(world)
    assert await carol.read("/p/large") == data
    assert count["bob"] >= 1 and sum(count.values()) <= COUNT + count["bob"]  # asked of the owner, what bob lacks


@simulated
async def test_the_owner_dies_and_those_that_have_fetched_do_it(world: World, tmp_path: Path) -> None:
    _, bob, carol, _ = await a_network(world, tmp_path, ONE_OWNER)
    data = await a_file(world, tmp_path)
    assert await bob.read("/p/large") == data
    pieces = carol.chunks("/p/large")
    got = [await anext(pieces)]
    world.nodes["alice"].crash()
    got += [piece async for piece in pieces]
    assert b"".join(got) == data


@pytest.mark.guthi_seeds(5)
@simulated
async def test_a_holder_dies_in_mid_transfer(world: World, tmp_path: Path) -> None:
    world.network.set_link(Link(latency_s=0.001, bandwidth_bytes_s=20e6, queue_bytes=1 << 20, loss=0.01))
    _, bob, carol, dave = await a_network(world, tmp_path, ONE_OWNER)
    data = await a_file(world, tmp_path)
    assert await bob.read("/p/large") == await carol.read("/p/large") == data
    reading = asyncio.create_task(dave.read("/p/large"))
    await world.sleep(world.random.uniform(0.01, 0.3))
    world.nodes[world.random.choice(["bob", "carol"])].crash()
    began = world.now
    assert await reading == data
    assert world.now - began < 20


@simulated
async def test_a_break_is_sat_out_and_what_has_come_is_not_fetched_again(world: World, tmp_path: Path) -> None:
    world.network.set_link(Link(latency_s=0.001, bandwidth_bytes_s=20e6, queue_bytes=1 << 20))
    _, bob, *_ = await a_network(world, tmp_path, ONE_OWNER)
    data = await a_file(world, tmp_path)
    count = served(world)
    reading = asyncio.create_task(bob.read("/p/large"))
    await world.until(lambda: bob.cache().chunks >= 4)
    world.network.cut(["alice"], ["bob"])
    await world.sleep(8.0)
    world.network.heal()
    assert await reading == data
    assert count["alice"] <= COUNT + 8  # those that were under way when it broke, and some tries


@simulated
async def test_who_was_interrupted_goes_on_where_it_was(world: World, tmp_path: Path) -> None:
    _, bob, *_ = await a_network(world, tmp_path, ONE_OWNER)
    data = await a_file(world, tmp_path)
    pieces = bob.chunks("/p/large")
    for _ in range(6):
        await anext(pieces)
    await pieces.aclose()  # type: ignore[attr-defined]
    await world.sleep(1.0)  # what was asked for before has been answered by now
    had = bob.cache().chunks
    count = served(world)
    assert await bob.read("/p/large") == data
    assert had >= 6 and count["alice"] == COUNT - had


@simulated
async def test_nobody_is_left_that_has_it(world: World, tmp_path: Path) -> None:
    world.network.set_link(Link(latency_s=0.001, bandwidth_bytes_s=20e6, queue_bytes=1 << 20))
    _, bob, *_ = await a_network(world, tmp_path, ONE_OWNER)
    await a_file(world, tmp_path)
    pieces = bob.chunks("/p/large")
    await anext(pieces)
    world.nodes["alice"].crash()
    with pytest.raises(SourceGone):
        async for _ in pieces:
            pass


@simulated
async def test_a_file_that_changes_meanwhile_is_not_mixed(world: World, tmp_path: Path) -> None:
    alice, bob, *_ = await a_network(world, tmp_path, ONE_OWNER, read_ahead="2 MiB")
    await a_file(world, tmp_path)
    pieces = bob.chunks("/p/large")
    await anext(pieces)
    await alice.write("/p/large", b"short")
    with pytest.raises(FileChanged):
        async for _ in pieces:
            pass
    assert await bob.read("/p/large") == b"short"


@simulated
async def test_a_wrong_chunk_is_not_believed(world: World, tmp_path: Path) -> None:
    _, bob, carol, _ = await a_network(world, tmp_path, ONE_OWNER)
    data = await a_file(world, tmp_path)
    assert await bob.read("/p/large") == data
    handlers = world.nodes["bob"].node.network.requests._serving._handlers
    handlers[CACHED] = lambda incoming: [b"rubbish"] * len(incoming.value)
    assert await carol.read("/p/large") == data


@simulated
async def test_little_waits_in_memory_for_a_slow_reader(world: World, tmp_path: Path) -> None:
    _, bob, *_ = await a_network(world, tmp_path, ONE_OWNER, read_ahead="2 MiB")
    await a_file(world, tmp_path)
    count = served(world)
    pieces = bob.chunks("/p/large")
    taken = 0
    async for _ in pieces:
        taken += 1
        await world.sleep(1.0)
        assert count["alice"] <= taken + 2


@simulated
async def test_equal_files_of_two_owners_come_from_both(world: World, tmp_path: Path) -> None:
    world.network.set_link(Link(latency_s=0.001, bandwidth_bytes_s=20e6, queue_bytes=1 << 20))
    await a_network(world, tmp_path, {"alice": ["/p"], "bob": ["/p"], "carol": []})
    data = await a_file(world, tmp_path)
    (folder_of(tmp_path, "bob", "/p") / "large").write_bytes(data)
    carol = service(world, "carol")
    assert set((await carol.stat("/p/large")).nodes) == {"alice", "bob"}
    count = served(world)
    assert await carol.read("/p/large") == data
    assert min(count["alice"], count["bob"]) >= 2 and sum(count.values()) == COUNT
