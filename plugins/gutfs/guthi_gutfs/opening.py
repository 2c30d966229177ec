"""Puts together what a node has of its own: its exported files, its cache, and who notices what other programs do."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from guthi_gutfs.cache.cache import ChunkCache
from guthi_gutfs.cache.memory import MemoryProbe
from guthi_gutfs.cache.store import ChunkStore
from guthi_gutfs.disk import Disk
from guthi_gutfs.exports.catalogue import Catalogue
from guthi_gutfs.exports.files import LocalFiles
from guthi_gutfs.exports.index import Index
from guthi_gutfs.exports.rules import Exports
from guthi_gutfs.tracking.tracker import Tracker

if TYPE_CHECKING:
    from guthi import Node
    from guthi_gutfs.config import GutfsConfig

__all__ = ["folder_of", "open_cache", "open_files", "tracker_of"]

LIFE_BYTES = 8
CACHE_READERS = 2


def folder_of(node: Node, stack: AsyncExitStack) -> Path:
    """Where the plugin keeps its own data: in the node's `data_dir`, or in a folder that goes with the node."""
    data_dir = node.config.node.data_dir
    if data_dir is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="guthi-gutfs-", ignore_cleanup_errors=True)))
    folder = data_dir / "gutfs"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


async def open_files(
    node: Node, config: GutfsConfig, folder: Path, stack: AsyncExitStack, time_s: Callable[[], float]
) -> LocalFiles:
    """The exported files, with an index that is up to date. Raises ConfigError for exports that cannot be."""
    data_dir = node.config.node.data_dir
    exports = Exports(config.exports, data_dir)
    disk = Disk(node.host)
    stack.callback(disk.close)
    index = Index(folder / "index.sqlite" if data_dir is not None else None, node.host.entropy(LIFE_BYTES))
    catalogue = Catalogue(exports, index, node.id, node.name, node.host.wall_time_s, config.most_entries)
    files = LocalFiles(catalogue, disk, node.host, time_s)
    stack.push_async_callback(files.close)
    await files.open()
    return files


def tracker_of(node: Node, config: GutfsConfig, files: LocalFiles, stack: AsyncExitStack) -> Tracker:
    """Who notices what other programs do; its `run` is for the time from the node's start."""
    disk = Disk(node.host, 1)
    stack.callback(disk.close)
    return Tracker(files, config, disk)


async def open_cache(node: Node, config: GutfsConfig, folder: Path, stack: AsyncExitStack) -> ChunkCache:
    """The cache, with what an earlier life of the node has left in it on disk."""
    disk = Disk(node.host, CACHE_READERS)
    stack.callback(disk.close)
    cache = ChunkCache(
        disk,
        ChunkStore(folder / "chunks") if config.cache_disk else None,
        MemoryProbe(config.cache_memory_share, asyncio.get_running_loop().time),
        memory_bytes=config.cache_memory,
        disk_bytes=config.cache_disk,
    )
    await cache.open()
    return cache
