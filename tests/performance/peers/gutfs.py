"""Guthi's files: a node that exports a folder, and one that reads in it."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from guthi import Config, Node
from guthi_gutfs import GUTFS, FileChange, Gutfs
from performance.shape import BULK_BYTES, LISTED_FILES, Ready, payload

FILE, CACHED = "bulk", "cached"
CACHED_BYTES = 32 << 20
# The file is not to stay in the cache, for the next turn is to fetch it again; a smaller one is.
CACHES = {"cache_memory": "48 MiB", "cache_disk": 0}


def _config(exports: Sequence[str], join: Sequence[str]) -> Config:
    node = {"listen": "127.0.0.1:0", "join": list(join), "plugins": ["gutfs"]}
    return Config.from_mapping(
        {"node": node, "plugins": {"gutfs": {"exports": list(exports), **CACHES}}}, environment={}
    )


class Reader:
    """A node that reads what another exports; `here` is a copy on its own disk."""

    def __init__(self, fs: Gutfs, here: Path) -> None:
        self._fs, self._here = fs, here
        self.listed_s = 0.0

    async def file(self) -> int:
        """All of a file, which has been in the cache once but is not any more."""
        size = 0
        async for piece in self._fs.chunks(f"/bench/{FILE}"):
            size += len(piece)
        return size

    async def read_again(self) -> float:
        """Seconds for a file that is in the cache."""
        began = time.perf_counter()
        assert len(await self._fs.read(f"/bench/{CACHED}")) == CACHED_BYTES
        return time.perf_counter() - began

    async def read_here(self) -> float:
        """Seconds for the same on this machine's disk."""
        began = time.perf_counter()
        assert len(self._here.read_bytes()) == CACHED_BYTES
        return time.perf_counter() - began

    async def listing(self) -> int:
        """A large folder, of which something has just changed, so that nothing of it is kept."""
        await self._fs.write("/bench/many/00000", b"x")
        began = time.perf_counter()
        assert len(await self._fs.list("/bench/many")) == LISTED_FILES
        self.listed_s = time.perf_counter() - began
        return LISTED_FILES

    async def noticed(self, times: int) -> list[float]:
        """Seconds from when a file is written, by another program, until this node is told."""
        watch = self._fs.watch("/bench/seen")
        await watch.started()
        took_s = []
        for turn in range(times):
            began = time.perf_counter()
            await asyncio.to_thread((self._here.parent / "seen" / str(turn)).write_bytes, b"x")
            while not (isinstance(change := await anext(watch), FileChange) and change.path.endswith(f"/{turn}")):
                continue
            took_s.append(time.perf_counter() - began)
        await watch.aclose()
        return took_s


class Files:
    """One node serves, one reads; the folder is told with the address, for `noticed` writes into it."""

    async def serve(self, join: Sequence[str], ready: Ready) -> None:
        """Export a folder."""
        with tempfile.TemporaryDirectory(prefix="guthi-bench-") as name:
            folder = Path(name)
            for each in ("many", "seen"):
                (folder / each).mkdir()
            for number in range(LISTED_FILES):
                (folder / "many" / f"{number:05}").touch()
            (folder / FILE).write_bytes(payload(BULK_BYTES))
            (folder / CACHED).write_bytes(payload(CACHED_BYTES))
            async with Node(_config([f"{folder}:/bench:rw"], join)) as node:
                ready(f"{node.address} {folder}")
                await asyncio.Event().wait()

    @asynccontextmanager
    async def client(self, addresses: Sequence[str]) -> AsyncIterator[Any]:
        """A node that has joined and knows the export."""
        address, folder = addresses[0].split()
        async with Node(_config([], [address])) as node:
            fs = node.require(GUTFS)
            await fs.synced()
            yield Reader(fs, Path(folder) / CACHED)


ADAPTERS = {"files": Files()}
