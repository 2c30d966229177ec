"""Gets chunks of a file from whoever has them: this node's cache, else its owner and those that fetched it before.

Which chunk is asked of whom is decided in `swarm`. What comes is verified against its digest before anybody sees it,
and goes into the cache; so a transfer that broke off goes on where it was, and whoever has fetched is a holder as well.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guthi import GuthiError, MalformedMessage, NodeId, UnknownMember, UnknownTopic
from guthi.calmlog import CalmLog
from guthi_gutfs.cache.cache import ChunkCache
from guthi_gutfs.chunks import chunk_count, chunk_span, digest_of, root_of
from guthi_gutfs.disk import Disk
from guthi_gutfs.entries import Entry
from guthi_gutfs.errors import FileChanged, NotFound, PermissionDenied, SourceGone
from guthi_gutfs.exports.files import LocalFiles
from guthi_gutfs.serving.answering import CACHED, CHUNK
from guthi_gutfs.transfer.swarm import Run, Swarm
from guthi_gutfs.tree.peers import PeerTrees

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Fetcher", "Source"]

CHUNK_TIMEOUT_S = 10.0
PATIENCE_S = 30.0
DIGESTS_AT_ONCE = 1024

log = logging.getLogger("guthi_gutfs.transfer")


@dataclass(frozen=True, slots=True)
class Source:
    """A version of a file, and the nodes whose files are known to have that content; the first is asked for digests."""

    entry: Entry
    nodes: tuple[NodeId, ...]


class Fetcher:
    """Fetches for one node; of one transfer at most `ahead` chunks wait in memory for their reader."""

    def __init__(
        self, node: Node, files: LocalFiles, cache: ChunkCache, disk: Disk, peers: PeerTrees, ahead: int
    ) -> None:
        self._node, self._files, self._cache, self._disk, self._peers = node, files, cache, disk, peers
        self._ahead = ahead
        self._log = CalmLog(log, asyncio.get_running_loop().time)

    async def chunks(self, source: Source, first: int, count: int) -> AsyncIterator[bytes]:
        """Chunks in order, from `first` on. Raises FileChanged, SourceGone, and what the owner says."""
        try:
            for start in range(first, first + count, DIGESTS_AT_ONCE):
                some = min(DIGESTS_AT_ONCE, first + count - start)
                async for data in self._some(source, start, some):
                    yield data
        except (FileChanged, NotFound):
            self._peers.of(source.nodes[0]).doubt(source.entry.path)
            raise

    async def _some(self, source: Source, first: int, count: int) -> AsyncIterator[bytes]:
        entry, owner = source.entry, self._peers.of(source.nodes[0])
        if chunk_count(entry.size_bytes) == 1 and not owner.knows_digests(entry):
            yield await self._only(source)
            return
        digests, others = await owner.digests(entry.path, entry.version.timestamp, first, count)
        if count == chunk_count(entry.size_bytes) and entry.root not in (None, root_of(entry.size_bytes, digests)):
            raise MalformedMessage(f"{owner.name} tells of another content than {entry.path} has")
        if count == 1 and (data := await self.here(digests[0])) is not None:
            yield data
            return
        transfer = _Transfer(self, source, {first + at: digest for at, digest in enumerate(digests)}, others)
        try:
            async for data in transfer.run():
                yield data
        finally:
            await transfer.stop()

    async def _only(self, source: Source) -> bytes:
        """The only chunk of a small file: not worth a question for its digest first. The owner's word is good."""
        entry, owner = source.entry, self._peers.of(source.nodes[0])
        data = await owner.chunk(entry.path, entry.version.timestamp, 0)
        digest = await self._disk.read(digest_of, data)
        if len(data) != entry.size_bytes or entry.root not in (None, root_of(entry.size_bytes, [digest])):
            raise MalformedMessage(f"{owner.name} sent another content than {entry.path} has")
        owner.kept.keep_digests(entry.path, entry.version.timestamp, 0, [digest])
        await self._cache.put(digest, data)
        return data

    # ---- for one transfer

    def swarm(self, source: Source, wanted: Sequence[int], others: Sequence[NodeId]) -> Swarm:
        """A swarm of those holders that are there."""
        swarm = Swarm(wanted, self._ahead, PATIENCE_S)
        present = {each.id for each in self._node.members}
        for each in (*source.nodes, *others):
            if each in present:
                swarm.join(each)
        return swarm

    async def here(self, digest: bytes) -> bytes | None:
        """A chunk that need not be fetched."""
        if self._cache.holds(digest) and (data := await self._cache.get(digest)) is not None:
            return data
        return await self._files.chunk_by_digest(digest) if self._files.exports else None

    async def ask(self, run: Run, source: Source, digests: Sequence[bytes]) -> list[bytes | None]:
        """Chunks from one holder, verified; None where one is not there. Raises MalformedMessage if one is wrong.

        Each has to have the size that it should as well: memory is counted in chunks.
        """
        if run.holder == source.nodes[0]:
            named = [source.entry.path, source.entry.version.timestamp, list(run.chunks)]
            found = await self._node.request(run.holder, CHUNK, named, timeout_s=CHUNK_TIMEOUT_S)
        else:
            found = await self._node.request(run.holder, CACHED, list(digests), timeout_s=CHUNK_TIMEOUT_S)
        sizes = [chunk_span(each, source.entry.size_bytes)[1] for each in run.chunks]
        if not isinstance(found, list) or not await self._disk.read(_are_right, found, sizes, digests):
            raise MalformedMessage("a chunk is not what its digest says")
        return found

    async def keep(self, digest: bytes, data: bytes) -> None:
        """Put a verified chunk into the cache."""
        await self._cache.put(digest, data)

    def complain(self, holder: NodeId, error: GuthiError) -> None:
        """A holder has sent rubbish."""
        self._log.warning("%s sent a wrong chunk: %s", self._node.network.name_of(holder), error)


def _are_right(found: Sequence[object], sizes: Sequence[int], digests: Sequence[bytes]) -> bool:
    """Whether each is missing, or what its digest says."""
    return len(found) == len(sizes) and all(
        data is None or (type(data) is bytes and len(data) == size_bytes and digest_of(data) == digest)
        for data, size_bytes, digest in zip(found, sizes, digests, strict=True)
    )


class _Transfer:
    """One transfer under way."""

    def __init__(self, fetcher: Fetcher, source: Source, digests: dict[int, bytes], others: Sequence[NodeId]) -> None:
        self._fetcher, self._source, self._digests = fetcher, source, digests
        self._swarm = fetcher.swarm(source, list(digests), others)
        self._loop = asyncio.get_running_loop()
        self._data: dict[int, bytes] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._has_news = asyncio.Event()
        self._looked_for: set[int] = set()
        self._reason: GuthiError | None = None

    async def run(self) -> AsyncIterator[bytes]:
        """The chunks in order."""
        swarm = self._swarm
        while True:
            self._has_news.clear()
            while swarm.next_is_there:
                yield self._data.pop(swarm.taken())
            if swarm.is_done:
                return
            if await self._look_here():
                continue
            for each in swarm.runs(self._loop.time()):
                self._start(each)
            if swarm.is_exhausted and not self._tasks:
                raise self._reason or SourceGone(f"no node that can be reached has {self._source.entry.path}")
            await self._news()

    async def _look_here(self) -> bool:
        """Do not ask for what is here already; whether something is that was not known to be."""
        found = []
        for index in self._swarm.horizon:
            if index not in self._looked_for:
                self._looked_for.add(index)
                if (data := await self._fetcher.here(self._digests[index])) is not None:
                    self._data[index] = data
                    found.append(index)
        self._swarm.found(found)
        return bool(found)

    async def _news(self) -> None:
        deadline = self._swarm.deadline(self._loop.time())
        alarm = self._loop.call_at(deadline, self._has_news.set) if deadline is not None else None
        try:
            await self._has_news.wait()
        finally:
            if alarm is not None:
                alarm.cancel()

    def _start(self, run: Run) -> None:
        task = self._loop.create_task(self._ask(run), name="gutfs chunks")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._has_news.set()

    async def _ask(self, run: Run) -> None:
        holder, chunks = run
        try:
            found = await self._fetcher.ask(run, self._source, [self._digests[each] for each in chunks])
        except (FileChanged, NotFound, PermissionDenied) as error:
            self._reason = error
            for each in chunks:
                self._swarm.missed(holder, each)
        except (UnknownMember, UnknownTopic):
            self._swarm.lost(holder)
        except GuthiError as error:
            if isinstance(error, MalformedMessage):
                self._fetcher.complain(holder, error)
            for each in chunks:
                self._swarm.failed(holder, each, self._loop.time())
        else:
            await self._take(holder, dict(zip(chunks, found, strict=True)))

    async def _take(self, holder: NodeId, found: Mapping[int, bytes | None]) -> None:
        """They have come, but for those that the holder has not got."""
        now = self._loop.time()
        for index, data in found.items():
            if data is None:
                self._swarm.missed(holder, index)
            elif self._swarm.arrived(holder, index, now):
                self._data[index] = data
                self._has_news.set()
        for index, data in found.items():
            if data is not None:
                await self._fetcher.keep(self._digests[index], data)

    async def stop(self) -> None:
        """Nobody reads any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
