"""A node's own files for tests, without a node."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from guthi import NodeId
from guthi.host.udp import SystemHost
from guthi_gutfs.config import ExportTable
from guthi_gutfs.disk import Disk
from guthi_gutfs.exports.catalogue import Catalogue
from guthi_gutfs.exports.files import LocalFiles
from guthi_gutfs.exports.index import Index
from guthi_gutfs.exports.rules import Exports

NODE = NodeId(b"a node in a test")


@asynccontextmanager
async def local_files(
    exports: Sequence[Path | ExportTable],
    *,
    index: Path | None = None,
    node: NodeId = NODE,
    name: str = "alice",
    most_entries: int = 10_000,
) -> AsyncIterator[LocalFiles]:
    """The files of a node that exports this, as long as the context lasts."""
    host = SystemHost(1200, 1 << 16)
    disk = Disk(host)
    catalogue = Catalogue(Exports(exports), Index(index, host.entropy(8)), node, name, host.wall_time_s, most_entries)
    files = LocalFiles(catalogue, disk, host, host.wall_time_s)
    await files.open()
    try:
        yield files
    finally:
        await files.close()
        disk.close()
