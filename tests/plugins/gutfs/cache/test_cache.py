"""The cache of chunks: memory and disk, restarts, damage, a full disk, and a system that is short of memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from guthi.host.udp import SystemHost
from guthi_gutfs.cache.cache import ChunkCache
from guthi_gutfs.cache.memory import MemoryProbe, system_memory_share
from guthi_gutfs.cache.store import ChunkStore
from guthi_gutfs.chunks import digest_of
from guthi_gutfs.disk import Disk

CHUNKS = {digest_of(data): data for data in (bytes([number]) * 1000 for number in range(20))}
DIGESTS = list(CHUNKS)


@asynccontextmanager
async def a_cache(
    folder: Path | None, *, memory: int = 3000, disk: int = 5000, share: Callable[[], float] = lambda: 0.5
) -> AsyncIterator[ChunkCache]:
    threads = Disk(SystemHost(1200, 1 << 16))
    probe = MemoryProbe(0.8, asyncio.get_running_loop().time, share)
    store = ChunkStore(folder) if folder is not None else None
    cache = ChunkCache(threads, store, probe, memory_bytes=memory, disk_bytes=disk)
    await cache.open()
    try:
        yield cache
    finally:
        threads.close()


def files(folder: Path) -> dict[str, int]:
    return {each.name: each.stat().st_size for each in folder.rglob("*") if each.is_file()}


async def test_both_tiers_are_used_and_bounded(tmp_path: Path) -> None:
    async with a_cache(tmp_path) as cache:
        for digest, data in CHUNKS.items():
            await cache.put(digest, data)
        held = [digest for digest in DIGESTS if cache.holds(digest)]
        assert held == DIGESTS[-8:]
        usage = cache.usage
        assert (usage.chunks, usage.memory_bytes, usage.disk_bytes) == (8, 3000, 5000)
        assert files(tmp_path) == {digest.hex(): 1000 for digest in DIGESTS[-8:-3]}
        for digest in held:
            assert await cache.get(digest) == CHUNKS[digest]
        assert await cache.get(DIGESTS[0]) is None
        assert (cache.usage.hits, cache.usage.misses) == (8, 1)


async def test_what_is_on_disk_outlives_the_node(tmp_path: Path) -> None:
    async with a_cache(tmp_path, memory=0) as cache:
        for digest in DIGESTS[:5]:
            await cache.put(digest, CHUNKS[digest])
        assert await cache.get(DIGESTS[0]) == CHUNKS[DIGESTS[0]]
    (tmp_path / "00").mkdir(exist_ok=True)
    (tmp_path / "00" / "junk.new").write_bytes(b"half")
    async with a_cache(tmp_path, memory=0, disk=2000) as cache:
        assert [digest for digest in DIGESTS if cache.holds(digest)] == [DIGESTS[0], DIGESTS[4]]  # used last
        assert await cache.get(DIGESTS[4]) == CHUNKS[DIGESTS[4]]
        assert len(files(tmp_path)) == 2


async def test_a_damaged_chunk_is_never_served(tmp_path: Path) -> None:
    async with a_cache(tmp_path, memory=0) as cache:
        for digest in DIGESTS[:3]:
            await cache.put(digest, CHUNKS[digest])
        places = sorted(each for each in tmp_path.rglob("*") if each.is_file())
        places[0].write_bytes(b"x" * 1000)
        places[1].write_bytes(b"")
        places[2].unlink()
        for digest in DIGESTS[:3]:
            assert await cache.get(digest) is None
            assert not cache.holds(digest)
        assert files(tmp_path) == {} and cache.usage.disk_bytes == 0
        await cache.put(DIGESTS[0], CHUNKS[DIGESTS[0]])
        assert await cache.get(DIGESTS[0]) == CHUNKS[DIGESTS[0]]


async def test_from_eighty_per_cent_on_it_goes_to_disk(tmp_path: Path) -> None:
    share = 0.79
    async with a_cache(tmp_path, share=lambda: share) as cache:
        await cache.put(DIGESTS[0], CHUNKS[DIGESTS[0]])
        assert cache.usage.memory_bytes == 1000
        share = 0.8
        await asyncio.sleep(0.51)  # so often is the system asked
        await cache.put(DIGESTS[1], CHUNKS[DIGESTS[1]])
        assert (cache.usage.memory_bytes, cache.usage.disk_bytes) == (0, 2000)
        assert await cache.get(DIGESTS[0]) == CHUNKS[DIGESTS[0]]
        assert cache.usage.memory_bytes == 0


async def test_without_a_disk_there_is_memory_only() -> None:
    async with a_cache(None) as cache:
        for digest in DIGESTS[:5]:
            await cache.put(digest, CHUNKS[digest])
        assert [digest for digest in DIGESTS if cache.holds(digest)] == DIGESTS[2:5]


async def test_pins_and_forgetting(tmp_path: Path) -> None:
    async with a_cache(tmp_path) as cache:
        cache.pin(DIGESTS[:2])
        for digest, data in CHUNKS.items():
            await cache.put(digest, data)
        assert cache.usage.pinned == 2
        assert [await cache.get(digest) for digest in DIGESTS[:2]] == [CHUNKS[digest] for digest in DIGESTS[:2]]
        await cache.clear()
        assert cache.usage.chunks == 0 and files(tmp_path) == {}
        assert await cache.get(DIGESTS[0]) is None


async def test_a_disk_that_fails_only_costs_what_it_would_have_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ChunkStore, "write", fail)
    async with a_cache(tmp_path, memory=1000) as cache:
        await cache.put(DIGESTS[0], CHUNKS[DIGESTS[0]])
        await cache.put(DIGESTS[1], CHUNKS[DIGESTS[1]])
        assert [digest for digest in DIGESTS if cache.holds(digest)] == [DIGESTS[1]]
        assert "No space left" in caplog.text


async def test_many_at_a_time(tmp_path: Path) -> None:
    async with a_cache(tmp_path) as cache:

        async def use(number: int) -> None:
            digest = DIGESTS[number % 20]
            if number % 3 == 0:
                await cache.put(digest, CHUNKS[digest])
            elif number % 7 == 0:
                await cache.forget([digest])
            else:
                assert await cache.get(digest) in (None, CHUNKS[digest])

        await asyncio.gather(*(use(number * 13) for number in range(500)))
        held = [digest for digest in DIGESTS if cache.holds(digest)]
        assert held
        for digest in held:
            assert await cache.get(digest) == CHUNKS[digest]
        assert sum(files(tmp_path).values()) == cache.usage.disk_bytes


def test_the_system_is_asked() -> None:
    assert 0 < system_memory_share() < 1
