"""The chunks of the files of others that this node keeps: in memory while the system has plenty of it, else on disk.

What is put in has been verified; what comes from the disk is verified again. As a chunk is named by its content, none
is ever out of date: which chunks a file has now is for others to know.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from guthi_gutfs.cache.memory import MemoryProbe
from guthi_gutfs.cache.policy import Moves, Tiers
from guthi_gutfs.cache.store import ChunkStore
from guthi_gutfs.disk import Disk

__all__ = ["CacheUsage", "ChunkCache"]

log = logging.getLogger("guthi_gutfs")


@dataclass(frozen=True, slots=True)
class CacheUsage:
    """What a cache holds, and how often it had what was asked for since the node started."""

    chunks: int
    memory_bytes: int
    disk_bytes: int
    pinned: int
    hits: int
    misses: int


class ChunkCache:
    """The cache of one node. Bounds are in bytes; `store` None: nothing is kept on disk."""

    def __init__(
        self, disk: Disk, store: ChunkStore | None, probe: MemoryProbe, *, memory_bytes: int, disk_bytes: int
    ) -> None:
        self._disk, self._store, self._probe = disk, store, probe
        self._tiers = Tiers(memory_bytes, disk_bytes if store is not None else 0)
        self._memory: dict[bytes, bytes] = {}
        self._writing: dict[bytes, bytes] = {}
        self._hits = self._misses = 0

    async def open(self) -> None:
        """Take up what an earlier life has left on disk."""
        if self._store is not None:
            for digest, size_bytes in await self._disk.write(self._store.open):
                await self._carry_out(self._tiers.found(digest, size_bytes), {})

    @property
    def usage(self) -> CacheUsage:
        """What it holds."""
        tiers = self._tiers
        return CacheUsage(len(tiers), tiers.memory_bytes, tiers.disk_bytes, tiers.pinned, self._hits, self._misses)

    def holds(self, digest: bytes) -> bool:
        """Whether a chunk is here, as far as is known without looking at the disk."""
        return digest in self._tiers

    async def get(self, digest: bytes) -> bytes | None:
        """A chunk; None if it is not here."""
        data = self._memory.get(digest) or self._writing.get(digest)
        if data is None and self._tiers.on_disk(digest) and self._store is not None:
            data = await self._disk.read(self._store.read, digest)
            if data is None:
                await self._carry_out(self._tiers.gone(digest), {})
        if data is None:
            self._misses += 1
            return None
        self._hits += 1
        if self._tiers.in_memory(digest):
            self._tiers.used(digest, is_short=False)
        else:
            await self._carry_out(self._tiers.used(digest, is_short=self._probe.is_short), {digest: data})
        return data

    async def put(self, digest: bytes, data: bytes) -> None:
        """Keep a chunk that was verified, as far as there is room."""
        await self._carry_out(self._tiers.came(digest, len(data), is_short=self._probe.is_short), {digest: data})

    def pin(self, digests: Iterable[bytes]) -> None:
        """Keep these until each is unpinned as often as it was pinned."""
        self._tiers.pin(digests)

    def unpin(self, digests: Iterable[bytes]) -> None:
        """Take back one pin of each."""
        self._tiers.unpin(digests)

    async def forget(self, digests: Iterable[bytes]) -> None:
        """Keep these no longer."""
        for digest in digests:
            await self._carry_out(self._tiers.gone(digest), {})

    async def clear(self) -> None:
        """Keep nothing."""
        await self.forget(self._tiers.all())

    async def _carry_out(self, moves: Moves, came: dict[bytes, bytes]) -> None:
        """Do what was decided. `came` are the bytes that are in no tier yet."""
        to_write = [(digest, self._memory.get(digest) or came[digest]) for digest in moves.written]
        self._memory.update((digest, data) for digest, data in came.items() if self._tiers.in_memory(digest))
        for digest in moves.forgotten:
            self._memory.pop(digest, None)
        if self._store is None:
            return
        self._writing.update(to_write)  # until it is written, it is read from here
        for digest, data in to_write:
            await self._write(self._store, digest, data)
        for digest in moves.removed:
            await self._disk.write(self._remove, self._store, digest)

    async def _write(self, store: ChunkStore, digest: bytes, data: bytes) -> None:
        try:
            await self._disk.write(store.write, digest, data)
        except OSError as error:
            log.warning("the cache cannot keep a chunk on disk: %s", error)
            self._tiers.gone(digest)
            self._memory.pop(digest, None)
        finally:
            self._writing.pop(digest, None)

    def _remove(self, store: ChunkStore, digest: bytes) -> None:
        if not self._tiers.on_disk(digest):  # it may have come back meanwhile
            store.remove(digest)
