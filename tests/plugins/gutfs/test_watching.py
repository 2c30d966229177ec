"""Watching: changes on one node reach the others soon, all of them or with a word of what was missed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.plugins.gutfs.network import a_network, a_node, folder_of, service

from guthi import UsageError
from guthi.testing import Link, World, simulated
from guthi_gutfs import ChangeKind, FileChange, Lagged, Watch

TWO = {"alice": ["/p"], "bob": ["/p"]}


async def started(watch: Watch) -> Watch:
    await watch.started()
    return watch


@simulated
async def test_changes_on_all_nodes_are_told_in_one_message(world: World, tmp_path: Path) -> None:
    world.network.set_link(Link(latency_s=0.02))
    alice, bob = await a_network(world, tmp_path, TWO)
    watch = await started(bob.watch("/p"))
    began = world.now
    await alice.write("/node/alice/p/a", b"1")
    change = await anext(watch)
    assert isinstance(change, FileChange) and (change.kind, change.path, change.node) == (
        ChangeKind.CREATED,
        "/p/a",
        "alice",
    )
    assert world.now - began < 0.05  # one way of 20 ms
    await bob.write("/node/bob/p/b", b"1")
    await alice.delete("/node/alice/p/a")
    told = [await anext(watch) for _ in range(2)]
    assert {(each.kind, each.path, each.node) for each in told if isinstance(each, FileChange)} == {
        (ChangeKind.CREATED, "/p/b", "bob"),
        (ChangeKind.DELETED, "/p/a", "alice"),
    }


@simulated
async def test_only_what_is_watched_is_told_and_in_the_words_of_the_path(world: World, tmp_path: Path) -> None:
    alice, bob = await a_network(world, tmp_path, TWO)
    await alice.mkdir("/node/alice/p/x")
    watch = await started(bob.watch("/node/alice/p/x"))
    await alice.write("/node/alice/p/y", b"1")
    await alice.write("/node/bob/p/z", b"1")
    await alice.write("/node/alice/p/x/a", b"1")
    change = await anext(watch)
    assert isinstance(change, FileChange) and change.path == "/node/alice/p/x/a"
    await watch.aclose()
    assert [each async for each in watch] == []
    await world.sleep(1.0)
    tree = bob._view.tree(world.nodes["alice"].node.id)
    assert not tree.watches  # type: ignore[union-attr]


@simulated
async def test_what_other_programs_do_is_told(world: World, tmp_path: Path) -> None:
    await a_network(world, tmp_path, TWO, tracking="poll", poll_interval="500ms")
    bob = service(world, "bob")
    watch = await started(bob.watch("/p"))
    (folder_of(tmp_path, "alice", "/p") / "dropped").write_bytes(b"x")
    async with asyncio.timeout(5):
        change = await anext(watch)
    assert isinstance(change, FileChange) and change.path == "/p/dropped"


@simulated
async def test_a_node_that_comes_later_is_watched_too(world: World, tmp_path: Path) -> None:
    _, bob = await a_network(world, tmp_path, TWO)
    watch = await started(bob.watch("/"))
    carol = await a_node(world, "carol", tmp_path, ["/q"], ["alice"])
    await world.until(world.is_connected)
    await world.sleep(2.0)
    await carol.write("/q/a", b"1")
    change = await anext(watch)
    assert isinstance(change, FileChange) and (change.path, change.node) == ("/q/a", "carol")


@simulated
async def test_a_full_queue_is_told(world: World, tmp_path: Path) -> None:
    alice, bob = await a_network(world, tmp_path, TWO)
    watch = await started(bob.watch("/p", queue=2))
    for number in range(5):
        await alice.write(f"/node/alice/p/{number}", b"1")
    await world.sleep(1.0)
    told = [await anext(watch)]
    await alice.write("/node/alice/p/last", b"1")
    await world.sleep(1.0)
    told += [await anext(watch) for _ in range(2)]
    assert told[-1] == Lagged(4, "")  # what is told next has happened after those that were missed
    await alice.write("/node/alice/p/next", b"1")
    change = await anext(watch)
    assert isinstance(change, FileChange) and change.path == "/p/next"
    with pytest.raises(UsageError):
        bob.watch("/p", queue=0)


@simulated
async def test_what_happened_on_a_node_that_was_thought_failed_is_told_as_missed(world: World, tmp_path: Path) -> None:
    alice, bob = await a_network(world, tmp_path, TWO)
    watch = await started(bob.watch("/p"))
    await alice.write("/node/alice/p/before", b"1")
    assert isinstance(await anext(watch), FileChange)
    node = world.nodes["bob"].node
    member = node.member("alice")
    world.network.cut(["alice"], ["bob"])
    node.hooks.notify("member_failed", member=member)
    await alice.write("/node/alice/p/meanwhile", b"2")
    world.network.heal()
    node.hooks.notify("member_recovered", member=member)
    async with asyncio.timeout(60):
        told = await anext(watch)
    assert told == Lagged(None, "alice")
    await alice.write("/node/alice/p/after", b"3")
    async with asyncio.timeout(60):
        while not (isinstance(change := await anext(watch), FileChange) and change.path == "/p/after"):
            pass  # the notice of what was missed may come at last


@pytest.mark.guthi_seeds(8)
@simulated
async def test_each_file_that_changed_is_told_or_a_gap_is(world: World, tmp_path: Path) -> None:
    """Bad links, and a cut in the middle: the last state of each file is told, or that something was missed."""
    world.network.set_link(Link(latency_s=0.001, jitter_s=0.004, loss=0.05, duplicate=0.05, reorder=0.2))
    alice, bob = await a_network(world, tmp_path, TWO, check_interval="2s")
    watch = await started(bob.watch("/p"))
    last: dict[str, int] = {}
    gaps = 0

    async def listen() -> None:
        nonlocal gaps
        async for each in watch:
            if isinstance(each, Lagged):
                gaps += 1
            elif each.node == "alice":
                last[each.path] = max(last.get(each.path, 0), each.entry.size_bytes)

    world.background(listen())
    sizes: dict[str, int] = {}
    for turn in range(30):
        if turn == 10:
            world.network.cut(["alice"], ["bob"])
        if turn == 20:
            await world.sleep(world.random.choice([0.0, 8.0]))
            world.network.heal()
        path = f"/p/{world.random.randrange(5)}"
        await alice.write(f"/node/alice{path}", bytes(turn + 1))
        sizes[path] = turn + 1
        await world.sleep(world.random.choice([0.0, 0.05, 0.2]))
    await world.sleep(20.0)
    assert last == sizes or gaps > 0
    await watch.aclose()
