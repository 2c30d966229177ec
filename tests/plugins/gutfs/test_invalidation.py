"""Callbacks: what was read is not fetched again until it changes, and then never served again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.gutfs.network import a_network, folder_of

from guthi.testing import Link, World, simulated
from guthi_gutfs import Gutfs, NotFound
from guthi_gutfs.serving.answering import DO

ONE = {"alice": ["/p"], "bob": []}


def counted(world: World, name: str) -> list[Any]:
    """The operations that others ask a node for, from now on."""
    asked: list[Any] = []
    handlers = world.nodes[name].node.network.requests._serving._handlers
    answer = handlers[DO]

    def note(incoming: Any) -> Any:
        asked.extend(each[:2] for each in incoming.value[1:])
        return answer(incoming)

    handlers[DO] = note
    return asked


@simulated
async def test_what_is_kept_is_not_asked_for_again_until_it_changes(world: World, tmp_path: Path) -> None:
    alice, bob = await a_network(world, tmp_path, ONE)
    await alice.write("/p/a", b"one")
    await alice.write("/p/b", b"one")
    asked = counted(world, "alice")
    for _ in range(3):
        assert [each.name for each in await bob.list("/p")] == ["a", "b"]
        assert await bob.read("/p/a") == b"one"
        assert not await bob.exists("/p/c")
    assert asked == [["list", "/p"]]
    await alice.write("/p/a", b"two")
    await world.sleep(0.1)
    assert await bob.read("/p/a") == b"two"
    assert asked[1:] == [["stat", "/p/a"]]


@pytest.mark.guthi_seeds(5)
@simulated
async def test_what_a_node_has_changed_itself_it_sees_at_once(world: World, tmp_path: Path) -> None:
    """Also where the notice of its own change is lost, or comes later than the answer."""
    world.network.set_link(Link(latency_s=0.001, jitter_s=0.02, loss=0.1, reorder=0.3))
    _, bob = await a_network(world, tmp_path, ONE)
    for number in range(10):
        folder = f"/p/{number}"
        assert folder not in [each.path for each in await bob.list("/p")]
        await bob.mkdir(f"{folder}/in/it", parents=True)
        assert folder in [each.path for each in await bob.list("/p")]
        await bob.write(f"{folder}/in/a", b"a")
        assert [each.name for each in await bob.list(f"{folder}/in")] == ["a", "it"]
        await bob.rename(f"{folder}/in", f"{folder}/on")
        assert [each.name for each in await bob.list(folder)] == ["on"]
        with pytest.raises(NotFound):
            await bob.stat(f"{folder}/in/a")
        await bob.delete(folder, recursive=True)
        assert folder not in [each.path for each in await bob.list("/p")]
        with pytest.raises(NotFound):
            await bob.read(f"{folder}/on/a")


async def sees(fs: Gutfs, path: str) -> bytes | None:
    try:
        return await fs.read(path)
    except NotFound:
        return None


@pytest.mark.guthi_seeds(5)
@simulated
async def test_delete_and_recreate_rename_over_and_a_folder_that_goes(world: World, tmp_path: Path) -> None:
    world.network.set_link(Link(latency_s=0.001, jitter_s=0.003, loss=0.05, duplicate=0.05, reorder=0.2))
    alice, bob = await a_network(world, tmp_path, ONE)
    await alice.write("/p/a", b"1")
    deeds: list[tuple[Callable[[], Awaitable[object]], bytes | None]] = [
        (lambda: alice.delete("/p/a"), None),
        (lambda: alice.write("/p/a", b"2"), b"2"),
        (lambda: alice.write("/p/b", b"3"), b"2"),
        (lambda: alice.rename("/p/b", "/p/a", replace=True), b"3"),
        (lambda: alice.rename("/p/a", "/p/c"), None),
    ]
    for deed, expected in deeds:
        await bob.list("/p")
        await deed()
        await world.sleep(1.0)
        assert await sees(bob, "/p/a") == expected
    await alice.mkdir("/p/a")
    await world.sleep(1.0)
    assert (await bob.stat("/p/a")).is_folder
    await alice.write("/p/a/y", b"deep")
    assert await sees(bob, "/p/a/y") == b"deep"
    await alice.rename("/p/a", "/p/d")
    await world.sleep(1.0)
    assert await sees(bob, "/p/a/y") is None and await sees(bob, "/p/d/y") == b"deep"
    await alice.delete("/p/d", recursive=True)
    await world.sleep(1.0)
    assert await sees(bob, "/p/d/y") is None


@simulated
async def test_what_was_missed_is_found_by_the_check_and_not_served_beyond_its_interval(
    world: World, tmp_path: Path
) -> None:
    alice, bob = await a_network(world, tmp_path, ONE, check_interval="2s")
    await alice.write("/p/a", b"one")
    assert await bob.read("/p/a") == b"one"
    world.network.cut(["alice"], ["bob"])
    await alice.write("/p/a", b"two")
    cut_at = world.now
    assert await bob.read("/p/a") == b"one"  # nobody could tell; what was promised is good for an interval
    await world.sleep(20.0)
    world.network.heal()
    await world.until(world.is_connected)
    await world.sleep(5.0)
    assert await bob.read("/p/a") == b"two" and world.now > cut_at


@simulated
async def test_a_node_that_was_started_anew_has_made_no_promises(world: World, tmp_path: Path) -> None:
    alice, bob = await a_network(world, tmp_path, ONE)
    await alice.write("/p/a", b"one")
    assert await bob.read("/p/a") == b"one"
    await world.nodes["alice"].stop()
    (folder_of(tmp_path, "alice", "/p") / "a").write_bytes(b"changed while it was away")
    await world.nodes["alice"].restart()
    await world.until(world.is_connected)
    await world.sleep(3.0)
    assert await bob.read("/p/a") == b"changed while it was away"


@pytest.mark.guthi_seeds(10)
@simulated
async def test_a_reader_never_goes_back_and_ends_with_the_newest(world: World, tmp_path: Path) -> None:
    """A counter is written at alice while bob and carol read it, over bad links and cuts."""
    world.network.set_link(Link(latency_s=0.001, jitter_s=0.004, loss=0.05, duplicate=0.05, reorder=0.2))
    alice, bob, carol = await a_network(world, tmp_path, {**ONE, "carol": []}, check_interval="2s")
    written = 0
    seen = {"bob": 0, "carol": 0}
    await alice.write("/p/count", b"0")

    async def read(name: str, fs: Gutfs) -> None:
        before = seen[name]  # what comes while this read is under way is no older for it
        count = int(await fs.read("/p/count"))
        assert count >= before, f"{name} read {count} after {before}"
        seen[name] = max(seen[name], count)

    for _ in range(40):
        written += 1
        await alice.write("/p/count", str(written).encode())
        for name, fs in (("bob", bob), ("carol", carol)):
            if world.random.random() < 0.7:
                world.background(read(name, fs))
        await world.sleep(world.random.choice([0.0, 0.001, 0.01, 0.3]))
    await world.sleep(5.0)
    for name, fs in (("bob", bob), ("carol", carol)):
        await read(name, fs)
    assert seen == {"bob": written, "carol": written}
