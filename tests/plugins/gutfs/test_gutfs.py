"""The service between simulated nodes: the one tree, reading, writing, batches, errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.plugins.gutfs.network import a_network, folder_of

from guthi import UsageError
from guthi.testing import World, simulated
from guthi_gutfs import AmbiguousName, NotFound, NotTried, PermissionDenied, SourceGone, WrongKind
from guthi_gutfs.chunks import CHUNK_BYTES
from guthi_gutfs.serving.operations import MOST_OPERATIONS
from guthi_mutex import Fence, StaleFence

PHOTOS = {"alice": ["/photos"], "bob": ["/photos", "/music:ro"]}


@simulated
async def test_what_one_writes_the_other_reads(world: World, tmp_path: Path) -> None:
    alice, bob = await a_network(world, tmp_path, PHOTOS)
    await bob.write("/node/alice/photos/cat.txt", b"miaow")
    assert await alice.read("/photos/cat.txt") == b"miaow" == await bob.read("/photos/cat.txt")
    assert (folder_of(tmp_path, "alice", "/photos") / "cat.txt").read_bytes() == b"miaow"
    info = await bob.stat("/photos/cat.txt")
    assert (info.nodes, info.size_bytes, info.version.writer) == (("alice",), 5, "bob")
    assert info.id is not None and info.id.name == "/photos/cat.txt" and info.id.timestamp == info.version.timestamp
    await bob.append("/photos/cat.txt", b", miaow")
    assert await bob.read("/photos/cat.txt") == b"miaow, miaow"
    await bob.rename("/photos/cat.txt", "/photos/dog.txt")
    assert [each.name for each in await alice.list("/photos")] == ["dog.txt"]
    await bob.delete("/photos/dog.txt")
    assert not await bob.exists("/photos/dog.txt") and await alice.list("/photos") == []


@simulated
async def test_the_tree_is_merged(world: World, tmp_path: Path) -> None:
    alice, bob = await a_network(world, tmp_path, PHOTOS)
    await alice.write("/node/alice/photos/a", b"cat")
    await alice.write("/node/bob/photos/a", b"cat")
    await alice.write("/node/alice/photos/b", b"cat")
    await alice.write("/node/bob/photos/b", b"dog")
    await alice.mkdir("/node/bob/photos/x/y", parents=True)
    await alice.mkdir("/node/alice/photos/x")
    for fs in (alice, bob):
        assert [each.path for each in await fs.list("/")] == ["/music", "/node", "/photos"]
        assert [each.name for each in await fs.list("/node")] == ["alice", "bob"]
        assert {each.name: set(each.nodes) for each in await fs.list("/photos")} == {
            "a": {"alice", "bob"},
            "b@alice": {"alice"},
            "b@bob": {"bob"},
            "x": {"alice", "bob"},
        }
        assert await fs.read("/photos/a") == b"cat" and await fs.read("/photos/b@bob") == b"dog"
        with pytest.raises(AmbiguousName, match="b@alice, /photos/b@bob"):
            await fs.read("/photos/b")
        assert [each.path for each in await fs.glob("/photos/**/y")] == ["/photos/x/y"]
        walked = [each.path async for each in fs.walk("/node/bob")]
        assert walked == [
            f"/node/bob/{each}" for each in ["music", "photos", "photos/a", "photos/b", "photos/x", "photos/x/y"]
        ]


@simulated
async def test_a_part_of_a_large_file_costs_only_the_chunks_it_touches(world: World, tmp_path: Path) -> None:
    alice, bob = await a_network(world, tmp_path, PHOTOS)
    data = world.random.randbytes(5 * CHUNK_BYTES + 17)
    await alice.write("/node/alice/photos/large", data)
    async with bob.open("/photos/large") as file:
        assert await file.size() == len(data)
        assert await file.read(2 * CHUNK_BYTES - 3, 7) == data[2 * CHUNK_BYTES - 3 : 2 * CHUNK_BYTES + 4]
        assert bob.cache().chunks == 2
        buffer = bytearray(20)
        assert await file.readinto(len(data) - 10, buffer) == 10 and buffer[:10] == data[-10:]
        assert await file.read(len(data) + 5, 10) == b""
    assert await bob.read("/photos/large") == data
    assert bob.cache().chunks == 6


@simulated
async def test_a_large_file_is_written_as_a_stream(world: World, tmp_path: Path) -> None:
    alice, bob = await a_network(world, tmp_path, PHOTOS)
    data = world.random.randbytes(9 * CHUNK_BYTES)
    written = await bob.write("/node/alice/photos/large", data)
    assert written.entry.size_bytes == len(data)
    assert await alice.read("/photos/large") == data
    await alice.write("/node/alice/photos/own", data)  # its own, also piece by piece
    assert await bob.read("/photos/own") == data

    async def breaking_off() -> AsyncIterator[bytes]:
        yield data
        raise OSError("the source broke")

    for fs in (alice, bob):
        with pytest.raises(OSError, match="the source broke"):
            await fs.upload("/node/alice/photos/own", breaking_off())
        with pytest.raises(StaleFence):
            await fs.write("/node/alice/photos/own", data[::-1], fence=Fence("a", 2))
            await fs.write("/node/alice/photos/own", data, fence=Fence("a", 1))
        assert await fs.read("/photos/own") == data[::-1]
    assert sorted(each.name for each in folder_of(tmp_path, "alice", "/photos").iterdir()) == ["large", "own"]
    (tmp_path / "here").write_bytes(data[:100])
    seen: list[int] = []
    await bob.put(tmp_path / "here", "/node/alice/photos/put", progress=seen.append)
    await bob.get("/photos/put", tmp_path / "there")
    assert (tmp_path / "there").read_bytes() == data[:100] and sum(seen) == 100


@simulated
async def test_several_operations_go_in_one_round_trip(world: World, tmp_path: Path) -> None:
    alice, bob = await a_network(world, tmp_path, {"alice": ["/photos"], "bob": []})
    await bob.list("/photos")
    async with bob.batch() as batch:
        made = batch.mkdir("/photos/x")
        written = batch.write("/photos/x/a", b"cat")
        read = batch.read("/photos/x/a")
        stat = batch.stat("/photos/x/none")
        after = batch.write("/photos/x/b", b"dog")
    assert made.value.path == "/photos/x" and written.value.entry.size_bytes == 3 and read.value == b"cat"
    with pytest.raises(NotFound):
        _ = stat.value
    with pytest.raises(NotTried):
        _ = after.value
    async with bob.batch(goes_on=True) as batch:
        stat, after = batch.stat("/photos/x/none"), batch.write("/photos/x/b", b"dog")
    assert after.value.entry.size_bytes == 3
    assert [each.name for each in await alice.list("/photos/x")] == ["a", "b"]


@simulated
async def test_errors_come_as_themselves(world: World, tmp_path: Path) -> None:
    alice, bob = await a_network(world, tmp_path, {**PHOTOS, "alice": ["/notes", "/photos"]})
    with pytest.raises(PermissionDenied):
        await alice.write("/node/bob/music/a", b"x")
    with pytest.raises(PermissionDenied):
        await alice.write("/music/a", b"x")
    with pytest.raises(NotFound):
        await alice.read("/node/bob/photos/none")
    with pytest.raises(NotFound):
        await alice.read("/node/nobody/x")
    with pytest.raises(WrongKind):
        await alice.read("/photos")
    await alice.write("/node/alice/photos/a", b"x")
    with pytest.raises(WrongKind):
        await bob.list("/photos/a")
    world.nodes["alice"].crash()
    for path in ("/node/alice/photos/other", "/notes/other"):
        with pytest.raises(SourceGone):
            await bob.stat(path)
    with pytest.raises(SourceGone):
        await bob.list("/notes")
    assert await bob.list("/photos") == []
    with pytest.raises(SourceGone):
        await bob.write("/notes/other", b"x")


@simulated
async def test_a_write_under_an_old_fence_is_refused(world: World, tmp_path: Path) -> None:
    alice, bob = await a_network(world, tmp_path, PHOTOS)
    await bob.write("/node/alice/photos/a", b"new", fence=Fence("render", 8))
    for fs in (alice, bob):
        with pytest.raises(StaleFence):
            await fs.write("/node/alice/photos/a", b"old", fence=Fence("render", 7))
    assert await bob.read("/photos/a") == b"new"


@simulated
async def test_concurrent_writes_are_both_kept(world: World, tmp_path: Path) -> None:
    alice, bob = await a_network(world, tmp_path, PHOTOS)
    base = (await alice.write("/node/alice/photos/a.txt", b"first")).entry.version
    await alice.write("/photos/a.txt", b"alice", base=base)
    written = await bob.write("/photos/a.txt", b"bob", base=base)
    assert written.conflict is not None
    contents = {each.name: await bob.read(each.path) for each in await bob.list("/photos")}
    assert sorted(contents.values()) == [b"alice", b"bob"] and len(contents) == 2
    assert any(".conflict-" in name for name in contents)


@simulated
async def test_a_batch_has_bounds(world: World, tmp_path: Path) -> None:
    alice, bob = await a_network(world, tmp_path, {"alice": ["/photos"], "bob": []})
    await alice.write("/photos/large", bytes(8 * CHUNK_BYTES))
    async with bob.batch() as batch:
        reads = [batch.read("/photos/large") for _ in range(12)]
    assert len(reads[0].value) == 8 * CHUNK_BYTES
    with pytest.raises(UsageError, match="make several"):
        _ = reads[9].value
    with pytest.raises(UsageError, match="make several"):
        for _ in range(MOST_OPERATIONS):
            batch.stat("/photos/large")
    with pytest.raises(UsageError, match="not done yet"):
        _ = bob.batch().stat("/photos").value


@simulated
async def test_an_open_file_has_one_version(world: World, tmp_path: Path) -> None:
    alice, bob = await a_network(world, tmp_path, {"alice": ["/photos"], "bob": []})
    await alice.write("/photos/a", b"first")
    async with bob.open("/photos/a") as file:
        assert await file.read(0, 2) == b"fi"
        await alice.write("/photos/a", b"other")
        await world.sleep(1.0)
        assert await file.read() == b"first"  # from the cache: it is that version for ever
        with pytest.raises(UsageError):
            await file.read(-1, 2)
    assert await bob.read("/photos/a") == b"other"
    assert (await bob.open("/photos/a").info()).size_bytes == 5


@simulated
async def test_what_is_pinned_stays(world: World, tmp_path: Path) -> None:
    small = {"cache_memory": "2 MiB", "cache_disk": 0}
    alice, bob = await a_network(world, tmp_path, {"alice": ["/photos"], "bob": []}, **small)
    await alice.write("/photos/kept", world.random.randbytes(CHUNK_BYTES))
    await alice.write("/photos/large", world.random.randbytes(4 * CHUNK_BYTES))
    await bob.pin("/photos/kept")
    assert len(await bob.read("/photos/large")) == 4 * CHUNK_BYTES
    misses = bob.cache().misses
    await bob.read("/photos/kept")
    assert bob.cache().misses == misses and bob.cache().pinned == 1
    await bob.unpin("/photos/kept")
    assert bob.cache().pinned == 0
