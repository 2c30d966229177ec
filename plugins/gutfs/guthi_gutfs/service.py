"""The service `GUTFS`: one file tree for the whole network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from guthi import NodeId, Service, UnknownMember, UsageError
from guthi_gutfs.batch import Batch
from guthi_gutfs.cache.cache import CacheUsage, ChunkCache
from guthi_gutfs.conflicts.listing import Conflict, Keep, conflicts, resolve
from guthi_gutfs.copying import pieces, pieces_of_file, save
from guthi_gutfs.disk import Disk
from guthi_gutfs.entries import Kind, Version, Written
from guthi_gutfs.errors import FileChanged, NotFound, WrongKind
from guthi_gutfs.exports.files import LocalFiles
from guthi_gutfs.globbing import fixed_part, matches
from guthi_gutfs.handle import OpenFile
from guthi_gutfs.information import ExporterInfo, FileInfo, info_of
from guthi_gutfs.paths import tree_path
from guthi_gutfs.serving.operations import MOST_INLINE_BYTES
from guthi_gutfs.transfer.content import Content
from guthi_gutfs.transfer.fetching import DIGESTS_AT_ONCE, Fetcher, Source
from guthi_gutfs.tree.announcing import Announcing
from guthi_gutfs.tree.remote import RemoteTree
from guthi_gutfs.tree.view import Found, View
from guthi_gutfs.watching import Watch, Watching

if TYPE_CHECKING:
    from guthi import Node
    from guthi_gutfs.clocks.network import NetworkClock
    from guthi_mutex import Fence

__all__ = ["GUTFS", "Gutfs"]


MOST_TRIES = 5

Infos: TypeAlias = list[FileInfo]
Conflicts: TypeAlias = list[Conflict]
Exporters: TypeAlias = list[ExporterInfo]
Digests: TypeAlias = list[bytes]


class Gutfs:
    """The tree; one instance a node, got by `node.require(GUTFS)`.

    A path is `/node/NAME/…`, in the tree of one node, or one of the merged view of all (docs/gutfs.md). Methods raise
    BadPath, NotFound, AmbiguousName, WrongKind, PermissionDenied, and SourceGone where nobody who has it is reached.
    """

    def __init__(
        self,
        node: Node,
        files: LocalFiles,
        cache: ChunkCache,
        disk: Disk,
        announcing: Announcing,
        view: View,
        fetcher: Fetcher,
        watching: Watching,
        clock: NetworkClock,
    ) -> None:
        self._node, self._files, self._cache, self._disk = node, files, cache, disk
        self._announcing, self._view, self._fetcher = announcing, view, fetcher
        self._watching, self._clock = watching, clock

    # ---- looking

    async def synced(self) -> None:
        """Wait until this node, which may have just joined, knows what the others export."""
        await self._announcing.done_once.wait()

    async def list(self, path: str = "/") -> Infos:
        """What is in a folder, sorted by name."""
        return self._infos(await self._view.listing(tree_path(path)))

    async def stat(self, path: str) -> FileInfo:
        """What is under a path."""
        return self._info(await self._view.find(tree_path(path)))

    async def exists(self, path: str) -> bool:
        """Whether something is under a path; True also for an ambiguous name."""
        try:
            await self._view.find(tree_path(path))
        except NotFound:
            return False
        return True

    async def walk(self, path: str = "/") -> AsyncIterator[FileInfo]:
        """All below a path, folders before what is in them. Below the root, `/node` is left out: it is all again."""
        async for each in self._walk(tree_path(path)):
            yield self._info(each)

    async def _walk(self, path: str) -> AsyncIterator[Found]:
        split = self._view.split(path)
        tree = self._view.tree(split[0]) if split is not None else None
        if split is not None and isinstance(tree, RemoteTree):  # many folders in one round trip
            async for entry in tree.walk(split[1]):
                yield Found(self._view.global_path(split[0], entry.path), entry, (split[0],))
            return
        for found in await self._view.listing(path):
            if found.path == "/node":
                continue
            yield found
            if found.entry.kind is Kind.FOLDER:
                async for below in self._walk(found.path):
                    yield below

    async def glob(self, pattern: str) -> Infos:
        """What matches: `*`, `?`, `[a-z]`, `[!a]` within a name, `**` for any number of folders. Sorted by path."""
        folder = fixed_part(pattern)
        try:
            found = [each async for each in self._walk(folder) if matches(pattern, each.path)]
        except (NotFound, WrongKind):
            return []
        return self._infos(sorted(found, key=lambda each: each.path))

    async def nodes(self) -> Exporters:
        """Who exports what, sorted by name."""
        return sorted(
            (self._exporter(each.node) for each in self._announcing.catalogue.all), key=lambda each: each.name
        )

    def _exporter(self, node: NodeId) -> ExporterInfo:
        words = {(True, True): "sync", (True, False): "rw"}
        exports = self._announcing.catalogue.exports(node)
        told = tuple((each.at, words.get((each.is_writable, each.is_sync), "ro")) for each in exports)
        offset = self._clock.offset(node) if node != self._node.id else None
        return ExporterInfo(self._view.name(node), told, offset.offset_s if offset is not None else None)

    def _info(self, found: Found) -> FileInfo:
        return info_of(found, [self._view.name(each) for each in found.nodes], self._address(found.nodes))

    def _infos(self, found: Sequence[Found]) -> Infos:
        """As above, of many that are on few nodes."""
        name = cache(self._view.name)
        address = cache(self._address)
        return [info_of(each, [name(node) for node in each.nodes], address(each.nodes)) for each in found]

    def _address(self, nodes: tuple[NodeId, ...]) -> str:
        """Of the first; empty for a folder that is on none."""
        if not nodes:
            return ""
        try:
            return self._node.member(nodes[0]).addresses[0].host
        except UnknownMember:  # it has just left
            return ""

    # ---- reading

    def open(self, path: str) -> OpenFile:
        """A file to read any part of: `async with fs.open(path) as file: await file.read(offset, size)`."""
        checked = tree_path(path)
        return OpenFile(lambda: self._opened(checked))

    async def read(self, path: str) -> bytes:
        """A whole file: of one version, also while it is being written. FileChanged if that never succeeds."""
        for _ in range(MOST_TRIES - 1):
            try:
                return await self.open(path).read()
            except FileChanged:
                if (data := await self._at_once(path)) is not None:
                    return data
        return await self.open(path).read()

    async def _at_once(self, path: str) -> bytes | None:
        """A small file that changes while it is being asked for chunk by chunk."""
        found = await self._view.find(tree_path(path))
        tree = self._view.tree(found.nodes[0])
        return (await tree.fetch(found.entry.path)).data if isinstance(tree, RemoteTree) else None

    async def chunks(self, path: str) -> AsyncIterator[bytes]:
        """A whole file piece by piece, however large: of one version, or FileChanged."""
        _, content = await self._opened(tree_path(path))
        async for data in content.chunks():
            yield data

    async def _opened(self, path: str) -> tuple[FileInfo, Content]:
        found = await self._view.find(path)
        if found.entry.kind is not Kind.FILE:
            raise WrongKind(f"{path} is a folder; list it")
        if self._node.id in found.nodes:
            entry = await self._files.stat(found.entry.path)
            return self._info(found), Content(entry, self._files, self._fetcher, None)
        return self._info(found), Content(found.entry, self._files, self._fetcher, Source(found.entry, found.nodes))

    async def pin(self, path: str) -> None:
        """Fetch a file and keep it in the cache until it is unpinned, as far as that has room."""
        found = await self._view.find(tree_path(path))
        digests = await self._all_digests(found)
        self._cache.pin(digests)
        async for _ in self.chunks(path):
            pass

    async def unpin(self, path: str) -> None:
        """Let the cache drop a file again."""
        self._cache.unpin(await self._all_digests(await self._view.find(tree_path(path))))

    async def _all_digests(self, found: Found) -> Digests:
        digests: Digests = []
        content = Content(found.entry, self._files, self._fetcher, None)
        while len(digests) < content.count:
            some = min(content.count - len(digests), DIGESTS_AT_ONCE)
            told = await self._view.tree(found.nodes[0]).digests(
                found.entry.path, found.entry.version.timestamp, len(digests), some
            )
            digests += told.digests
        return digests

    async def get(self, path: str, to: str | Path, *, progress: Callable[[int], None] | None = None) -> None:
        """Copy a file to this machine's disk, whatever its size; `progress` is told how many bytes more have come."""
        await save(self._disk, Path(to), self.chunks(path), progress)

    def cache(self) -> CacheUsage:
        """What the cache of this node holds."""
        return self._cache.usage

    async def caches(self) -> dict[str, dict[str, int]]:
        """What the caches of all nodes that export files, and are reached, hold; by name."""
        return await self._view.caches()

    # ---- writing

    async def write(
        self, path: str, data: bytes, *, base: Version | None = None, fence: Fence | None = None
    ) -> Written:
        """Write a whole file, that may be new. When this returns it is on its node's disk.

        With `base`, the version that the caller has read, a version that came meanwhile is not lost: what is written
        is kept beside it, as a conflict (`Written.conflict`). A `fence` that is older than one seen raises StaleFence.
        Raises QuotaExceeded.
        """
        node, own = await self._view.place(tree_path(path))
        tree = self._view.tree(node)
        if len(data) <= MOST_INLINE_BYTES:
            return await tree.write(own, data, base=base, fence=fence)
        return await tree.upload(own, pieces(data), base=base, fence=fence)

    async def upload(
        self, path: str, chunks: AsyncIterator[bytes], *, base: Version | None = None, fence: Fence | None = None
    ) -> Written:
        """As `write`, of what does not fit into memory: the pieces of a file."""
        node, own = await self._view.place(tree_path(path))
        return await self._view.tree(node).upload(own, chunks, base=base, fence=fence)

    async def put(
        self,
        file: str | Path,
        path: str,
        *,
        base: Version | None = None,
        fence: Fence | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Written:
        """Copy a file of this machine's disk into the tree, whatever its size."""
        return await self.upload(path, pieces_of_file(self._disk, Path(file), progress), base=base, fence=fence)

    async def append(self, path: str, data: bytes, *, fence: Fence | None = None) -> Written:
        """Write at the end of a file, that may be new; what several append at once is all there."""
        node, own = await self._view.place(tree_path(path))
        return await self._view.tree(node).append(own, data, fence=fence)

    async def rename(self, path: str, to: str, *, replace: bool = False, fence: Fence | None = None) -> None:
        """Give a file or folder another path on the node that has it. Raises PathExists, unless it may `replace`."""
        node, own = await self._view.place(tree_path(path))
        target = self._view.split(tree_path(to)) or (node, tree_path(to))
        if target[0] != node:
            raise UsageError(f"{path} and {to} are on different nodes; copy it, and delete the old one")
        await self._view.tree(node).rename(own, target[1], replace=replace, fence=fence)

    async def delete(self, path: str, *, recursive: bool = False, fence: Fence | None = None) -> None:
        """Delete a file, or an empty folder; with `recursive` a folder with all that is in it. On one node."""
        node, own = await self._view.place(tree_path(path))
        await self._view.tree(node).delete(own, recursive=recursive, fence=fence)

    async def mkdir(self, path: str, *, parents: bool = False, fence: Fence | None = None) -> None:
        """Make a folder; with `parents` those that it is in as well, and nothing is wrong if it is there already."""
        node, own = await self._view.place(tree_path(path))
        await self._view.tree(node).make_folder(own, parents=parents, fence=fence)

    def batch(self, *, goes_on: bool = False) -> Batch:
        """Several operations in one round trip a node: `async with fs.batch() as batch: one = batch.stat(path)`.

        They are done when the context is left; then `one.value` is the result, or raises. When one fails, those after
        it on its node are not tried, unless the batch `goes_on`.
        """
        return Batch(self._view, goes_on=goes_on)

    # ---- watching

    def watch(self, path: str = "/", *, queue: int = 4096) -> Watch:
        """Each change at or below a path, on all nodes: an async iterator of FileChange, and of Lagged.

        At most `queue` wait to be taken. `await watch.started()` waits until all nodes have been asked to tell.
        """
        if queue < 1:
            raise UsageError(f"a watcher keeps at least one change, not {queue}")
        return self._watching.watch(tree_path(path), queue)

    # ---- conflicts

    async def conflicts(self, path: str = "/") -> Conflicts:
        """The copies below a path that were kept because two writes knew not of each other, sorted."""
        return await conflicts(self, path)

    async def resolve(self, copy: str, *, keep: Keep) -> None:
        """Decide about one: keep the "original" and delete the copy, or put the "copy" in the original's place."""
        await resolve(self, copy, keep)


GUTFS: Service[Gutfs] = Service("gutfs")
"""What the plugin gutfs provides: `node.require(GUTFS)`."""
