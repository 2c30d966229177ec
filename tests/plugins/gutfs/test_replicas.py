"""Exports with `sync` in bad worlds: all nodes have the same in the end, and nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.gutfs.network import NAMES, TRANSPORT, a_network, a_node, folder_of, service

import guthi
from guthi.testing import Link, PowerLost, World, simulated
from guthi_gutfs import GUTFS
from guthi_gutfs.conflicts.naming import original_path
from guthi_gutfs.entries import Entry, Kind, Version
from guthi_gutfs.errors import NotFound
from guthi_gutfs.vectors import VersionVector

AT = "/shared"
ROUGH = Link(latency_s=0.001, jitter_s=0.004, loss=0.05, duplicate=0.05, reorder=0.1)
SOON = {"sync_interval": "2s", "check_interval": "2s"}


def there(folder: Path, name: str) -> dict[str, bytes | None]:
    """What a node has on its disk: the content of files, None for folders."""
    root = folder_of(folder, name, AT)
    return {
        str(each.relative_to(root)): each.read_bytes() if each.is_file() else None
        for each in sorted(root.rglob("*"))
        if not each.name.startswith(".gutfs-")
    }


async def all_the_same(world: World, folder: Path, names: list[str], within: float = 60) -> dict[str, bytes | None]:
    """Wait until all have the same, and return it."""
    await world.until(lambda: len({str(there(folder, name)) for name in names}) == 1, within=within)
    await world.sleep(5.0)  # and that stays so
    assert len({str(there(folder, name)) for name in names}) == 1
    return there(folder, names[0])


def replicas(names: list[str]) -> dict[str, list[str]]:
    return {name: [f"{AT}:sync"] for name in names}


async def a_replica(world: World, folder: Path, name: str, **keys: Any) -> None:
    """One more node, with a replica that is described by a table."""
    folder_of(folder, name, AT).mkdir(parents=True)
    table = {"folder": str(folder_of(folder, name, AT)), "at": AT, "sync": True, **keys}
    gutfs = {"exports": [table], "tracking": "off", **SOON}
    await world.start(name, plugins=["gutfs"], join=["alice"], gutfs=gutfs, transport=TRANSPORT)


@simulated
async def test_what_one_writes_all_have(world: World, tmp_path: Path) -> None:
    alice, bob, carol = await a_network(world, tmp_path, replicas(NAMES[:3]), **SOON)
    large = world.random.randbytes(3_000_000)
    await alice.write(f"/node/alice{AT}/a.txt", b"text")
    await world.until(lambda: there(tmp_path, "carol") == {"a.txt": b"text"}, within=1)  # told, and not found by asking
    await bob.mkdir(f"/node/bob{AT}/in/it", parents=True)
    await bob.write(f"/node/bob{AT}/in/it/large", large)
    await carol.append(f"/node/carol{AT}/a.txt", b" and more")
    expected = {"a.txt": b"text and more", "in": None, "in/it": None, "in/it/large": large}
    assert await all_the_same(world, tmp_path, NAMES[:3]) == expected
    await alice.rename(f"/node/alice{AT}/in", f"/node/alice{AT}/out")
    await alice.delete(f"/node/alice{AT}/a.txt")
    await world.until(lambda: there(tmp_path, "bob") == {"out": None, "out/it": None, "out/it/large": large})
    await bob.delete(f"/node/bob{AT}/out", recursive=True)
    assert await all_the_same(world, tmp_path, NAMES[:3]) == {}


@simulated
async def test_both_sides_of_a_partition_keep_what_they_wrote(world: World, tmp_path: Path) -> None:
    alice, bob, carol = await a_network(world, tmp_path, replicas(NAMES[:3]), **SOON)
    await alice.write(f"/node/alice{AT}/cat.png", b"base")
    await alice.write(f"/node/alice{AT}/dog.png", b"base")
    await all_the_same(world, tmp_path, NAMES[:3])
    world.network.partition(["alice"], ["bob", "carol"])
    await world.sleep(5.0)
    await alice.write(f"/node/alice{AT}/cat.png", b"alice")
    await alice.delete(f"/node/alice{AT}/dog.png")
    await world.sleep(1.5)
    await bob.write(f"/node/bob{AT}/cat.png", b"bob")
    await carol.write(f"/node/carol{AT}/dog.png", b"not deleted")
    await world.sleep(3.0)
    world.network.heal()
    found = await all_the_same(world, tmp_path, NAMES[:3])
    assert found.pop("cat.png") == b"bob" and found.pop("dog.png") == b"not deleted"  # written later
    ((copy, content),) = found.items()
    assert original_path(f"/{copy}") == "/cat.png" and "-alice-" in copy and content == b"alice"


@simulated
async def test_who_comes_later_and_who_was_away_has_the_same(world: World, tmp_path: Path) -> None:
    alice, _ = await a_network(world, tmp_path, replicas(NAMES[:2]), **SOON)
    for number in range(20):
        await alice.write(f"/node/alice{AT}/{number}", str(number).encode())
    await all_the_same(world, tmp_path, NAMES[:2])
    folder_of(tmp_path, "carol", AT).mkdir(parents=True)
    (folder_of(tmp_path, "carol", AT) / "5").write_bytes(b"5")
    (folder_of(tmp_path, "carol", AT) / "own").write_bytes(b"own")
    await a_node(world, "carol", tmp_path, [f"{AT}:sync"], ["alice"], **SOON)
    found = await all_the_same(world, tmp_path, NAMES[:3])
    assert found == {str(number): str(number).encode() for number in range(20)} | {"own": b"own"}
    world.nodes["bob"].crash()
    for number in range(10):
        await alice.delete(f"/node/alice{AT}/{number}")
    (folder_of(tmp_path, "bob", AT) / "5").write_bytes(b"changed by hand, while it was away")
    await world.nodes["bob"].start_until_joined()
    found = await all_the_same(world, tmp_path, NAMES[:3])
    assert found.pop("5") == b"changed by hand, while it was away"
    assert found == {str(number): str(number).encode() for number in range(10, 20)} | {"own": b"own"}


@simulated
async def test_a_conflict_is_told_of_listed_and_resolved(world: World, tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []

    class Hearing(guthi.Plugin):
        name = "hearing"

        @guthi.hookimpl
        def file_conflict(self, path: str, copy: str) -> None:
            told.append((path, copy))

    alice, bob = await a_network(world, tmp_path, replicas(NAMES[:2]), **SOON)
    world.nodes["alice"].node.hooks.register(Hearing(world.nodes["alice"].node, None), "hearing")
    await alice.write(f"/node/alice{AT}/a", b"base")
    await alice.write(f"/node/alice{AT}/b", b"base")
    await all_the_same(world, tmp_path, NAMES[:2])
    world.network.cut("alice", "bob")
    for name in ("a", "b"):
        await alice.write(f"/node/alice{AT}/{name}", b"of alice")
        await bob.write(f"/node/bob{AT}/{name}", b"of bob")
    assert await bob.conflicts("/node/bob") == []
    world.network.mend("alice", "bob")
    await all_the_same(world, tmp_path, NAMES[:2])
    one, other = await bob.conflicts("/node/bob")
    assert (one.path, other.path) == (f"/node/bob{AT}/a", f"/node/bob{AT}/b")
    assert sorted(path for path, _ in told) == [f"{AT}/a", f"{AT}/b"]
    await bob.resolve(one.copy, keep="copy")
    await bob.resolve(other.copy, keep="original")
    loser, winner = sorted([b"of alice", b"of bob"], key=lambda content: content == there(tmp_path, "bob")["b"])
    assert await all_the_same(world, tmp_path, NAMES[:2]) == {"a": loser, "b": winner}
    assert await bob.conflicts() == []
    with pytest.raises(guthi.UsageError, match="no copy"):
        await bob.resolve(f"/node/bob{AT}/a", keep="copy")


@simulated
async def test_a_replica_has_what_its_patterns_let_in(world: World, tmp_path: Path) -> None:
    (alice,) = await a_network(world, tmp_path, replicas(NAMES[:1]), **SOON)
    await a_replica(world, tmp_path, "bob", exclude=["*.raw", "drafts"])
    for name in ("a.png", "a.raw", "drafts/b.png", "c/d.png"):
        await alice.mkdir(f"/node/alice{AT}/{name.rpartition('/')[0]}", parents=True)
        await alice.write(f"/node/alice{AT}/{name}", b"x")
    await world.sleep(6.0)
    assert there(tmp_path, "bob") == {"a.png": b"x", "c": None, "c/d.png": b"x"}
    assert len(there(tmp_path, "alice")) == 6
    assert not any("not as on" in line for line in world.journal.lines)


@simulated
async def test_what_does_not_fit_is_taken_over_when_it_does(world: World, tmp_path: Path) -> None:
    (alice,) = await a_network(world, tmp_path, replicas(NAMES[:1]), **SOON)
    await a_replica(world, tmp_path, "bob", quota=1000)
    await alice.write(f"/node/alice{AT}/large", b"x" * 900)
    await alice.write(f"/node/alice{AT}/larger", b"x" * 901)
    await world.sleep(6.0)
    assert len(there(tmp_path, "bob")) == 1
    assert any("not as on alice yet" in line and "quota" in line for line in world.journal.lines)
    (first,) = there(tmp_path, "bob")
    await alice.delete(f"/node/alice{AT}/{first}")
    await world.until(lambda: there(tmp_path, "bob") == there(tmp_path, "alice"), within=10)


GOOD = Entry(f"{AT}/a", Kind.FILE, 1, 0.0, Version(VersionVector(), 1 << 63, "alice"), 1, b"r" * 32)
BAD_ANSWERS: list[Any] = [
    None,
    [b"life", 1],
    [b"life", -1, []],
    [b"life", True, []],
    [b"life", 1 << 70, []],
    [b"life", 1, [None]],
    [b"life", 1, [GOOD.to_wire()] * 501],
    [b"life", 1, [replace(GOOD, root=None).to_wire()]],
    [b"life", 1, [replace(GOOD, path="/elsewhere/a").to_wire()]],
    [b"life", 1, [replace(GOOD, path=AT, kind=Kind.GONE).to_wire()]],
    [b"life", 1, [[f"{AT}/../up", *GOOD.to_wire()[1:]]]],
]


@simulated
async def test_what_another_replica_may_say_in_bad_faith(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = await a_network(world, tmp_path, replicas(NAMES[:2]), **SOON)
    await alice.write(f"/node/alice{AT}/mine", b"mine")
    await all_the_same(world, tmp_path, NAMES[:2])
    node, answers = world.nodes["bob"].node, [*BAD_ANSWERS, [b"life", 1, [GOOD.to_wire()]]]
    asked, count = node.request, 0

    async def request(member: Any, topic: str, value: Any, **keys: Any) -> Any:
        nonlocal count
        if topic != "gutfs.replica":
            return await asked(member, topic, value, **keys)
        count += 1
        return answers[count - 1] if count <= len(answers) else None

    monkeypatch.setattr(node, "request", request)
    await world.until(lambda: count > len(answers) + 2, within=300)
    assert there(tmp_path, "bob") == {"mine": b"mine"}
    assert any("what cannot be" in line for line in world.journal.lines)
    monkeypatch.undo()
    await bob.write(f"/node/bob{AT}/mine", b"still")
    assert await all_the_same(world, tmp_path, NAMES[:2]) == {"mine": b"still"}


class Ledger:
    """What was acknowledged, and what was given up by who knew of it."""

    def __init__(self) -> None:
        self.acknowledged: set[bytes] = set()
        self.given_up: set[bytes] = set()


PASSING = (guthi.GuthiError, PowerLost)


async def one_deed(world: World, folder: Path, name: str, number: int, ledger: Ledger) -> None:
    """A user of a node writes, deletes or renames; with what they give up, they know of it."""
    path = f"/node/{name}{AT}/{world.random.choice('abc')}"
    deed, content = world.random.choice(["write", "write", "delete", "rename", "by hand"]), f"{name} {number}".encode()
    target = f"/node/{name}{AT}/{world.random.choice('abc')}"

    async def do(node: guthi.Node) -> None:
        gutfs, root = node.require(GUTFS), folder_of(folder, name, AT)
        before = await read(gutfs, path)
        if deed == "write":
            ledger.given_up |= before
            await gutfs.write(path, content)
            ledger.acknowledged.add(content)
        elif deed == "delete":
            ledger.given_up |= before
            await gutfs.delete(path)
        elif deed == "rename":
            ledger.given_up |= await read(gutfs, target)
            await gutfs.rename(path, target, replace=True)
        else:
            file = root / f"by hand {number % 5}"
            ledger.given_up |= {file.read_bytes()} if file.exists() else set()
            file.write_bytes(content)
            ledger.acknowledged.add(content)

    try:
        await world.nodes[name].run(do)
    except PASSING:
        return


async def read(gutfs: Any, path: str) -> set[bytes]:
    try:
        return {await gutfs.read(path)}
    except NotFound:
        return set()


@pytest.mark.guthi_seeds(5)
@simulated
async def test_all_have_the_same_and_nothing_acknowledged_is_lost(world: World, tmp_path: Path) -> None:
    world.network.set_link(ROUGH)
    names, ledger = NAMES[:3], Ledger()
    await a_network(world, tmp_path, replicas(names), tracking="poll", poll_interval="1s", **SOON)
    faults, number = world.swarm(15.0), 0
    while not faults.done():
        running = world.running()
        if running:
            number += 1
            name = world.random.choice(running).name
            await asyncio.wait([world.background(one_deed(world, tmp_path, name, number, ledger))])
        await world.sleep(world.random.uniform(0.05, 0.5))
    await faults
    await world.until(lambda: len(world.running()) == len(names) and world.is_connected(), within=60)
    found = await all_the_same(world, tmp_path, names, within=120)
    lost = ledger.acknowledged - ledger.given_up - set(found.values())
    assert not lost, f"{sorted(lost)} of {sorted(ledger.acknowledged)}"
    assert all(service(world, name) for name in names)


@simulated
async def test_that_one_replica_leaves_disturbs_no_reader(world: World, tmp_path: Path) -> None:
    """Found by `make chaos SEED=1` (docs/bugs-found.md): NodeClosed of the one that left, or AmbiguousName."""
    world.network.set_link(Link(latency_s=0.005, jitter_s=0.01))
    alice, bob, _ = await a_network(world, tmp_path, replicas(NAMES[:3]), **SOON)
    leaving = asyncio.Event()

    async def write() -> int:
        number = 0
        while not leaving.is_set():
            number += 1
            await alice.write(f"{AT}/file", b"%d" % number)  # so that replicas have different versions for a moment
            await asyncio.sleep(0.02)
        return number

    async def read() -> int:
        count = 0
        while not leaving.is_set():
            assert int(await bob.read(f"{AT}/file")) > 0
            assert [each.path for each in await bob.list(AT)] == [f"{AT}/file"]
            count += 1
        return count

    await alice.write(f"{AT}/file", b"0")
    assert await all_the_same(world, tmp_path, NAMES[:3]) == {"file": b"0"}
    await alice.write(f"{AT}/file", b"1")
    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        readers = [group.create_task(read()) for _ in range(4)]
        await asyncio.sleep(1.0)
        await world.nodes["carol"].stop()
        await asyncio.sleep(1.0)
        leaving.set()
    assert min(each.result() for each in readers) > 20
