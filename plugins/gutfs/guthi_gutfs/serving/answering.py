"""Answers what other nodes ask of this one's files, and tells them what they were promised to be told.

| topic           | value                                       | answer |
| --------------- | ------------------------------------------- | ---------------------------------------------------- |
| `gutfs.do`      | `[goes on after a failure, operation…]`     | `[life, sequence, [[done, result or error]…]]` |
| `gutfs.chunk`   | `[path, timestamp, [index…]]`               | the bytes of each, or FileChanged |
| `gutfs.cached`  | `[digest…]`                                 | the bytes of each, or null where they are not here |
| `gutfs.changes` | `[life or null, since, watched paths]`      | `[life, sequence, entries or null: forget all]` |
| `gutfs.changed` | one way: `[life, before, after, changes]`   | |
| `gutfs.usage`   | null                                        | what the cache holds (`CacheUsage`), by name |
| `gutfs.upload`  | a stream, opened with `[path, base, fence]` | bytes go in, what was written comes back |

`life` names the index that `sequence` numbers the changes of. The sequence of an answer is that of before it was made.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from guthi import GuthiError, Incoming, MalformedMessage, NodeId, Stream
from guthi.values.faults import describe
from guthi_gutfs.cache.cache import ChunkCache
from guthi_gutfs.chunks import DIGEST_BYTES, MOST_ASKED
from guthi_gutfs.entries import Change, Entry, Version
from guthi_gutfs.errors import BadPath
from guthi_gutfs.exports.files import LocalFiles
from guthi_gutfs.paths import tree_path
from guthi_gutfs.serving.holders import Holders
from guthi_gutfs.serving.operations import Caller, Operations, fence_of
from guthi_gutfs.serving.promises import MOST_WATCHES, Notice, Promises

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["CACHED", "CHANGED", "CHANGES", "CHUNK", "DO", "UPLOAD", "USAGE", "Answering"]

DO, CHUNK, CACHED = "gutfs.do", "gutfs.chunk", "gutfs.cached"
CHANGES, CHANGED, UPLOAD, USAGE = "gutfs.changes", "gutfs.changed", "gutfs.upload", "gutfs.usage"
MOST_CHANGES = 1000
READS_AT_ONCE = 16


class Answering:
    """The answering side of one node."""

    def __init__(self, node: Node, files: LocalFiles, cache: ChunkCache, most_promises: int) -> None:
        self._node, self._files, self._cache = node, files, cache
        self._promises, self._holders = Promises(most_promises), Holders()
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self.operations = Operations(node.id, files, self._promises, self._holders)
        node.handle(DO, self._do)
        node.handle(CHUNK, self._chunk)
        node.handle(CACHED, self._cached)
        node.handle(CHANGES, self._changes)
        node.handle(USAGE, lambda _: asdict(cache.usage))
        node.handle_stream(UPLOAD, self._upload)
        self.close = files.subscribe(self._changed)
        """Tell nobody any more."""

    def lost(self, peer: NodeId) -> None:
        """A member failed or left."""
        self._promises.lost(peer)
        self._holders.lost(peer)

    # ---- answering

    async def _do(self, incoming: Incoming) -> list[Any]:
        life, sequence = self._files.life, self._files.sequence
        results = await self.operations.several(self._caller(incoming.peer), incoming.value)
        return [life, sequence, [[done, each if done else self._told(each)] for done, each in results]]

    def _told(self, refusal: GuthiError) -> dict[str, Any]:
        """That something is not there is asked all the time: where the code found out costs more than to find out."""
        return describe(refusal.with_traceback(None), self._node.codec)

    def _caller(self, peer: NodeId) -> Caller:
        return Caller(peer, self._node.network.name_of(peer))

    async def _chunk(self, incoming: Incoming) -> list[bytes]:
        match incoming.value:
            case [str(path), int(timestamp), list(indices)] if _are_few(indices) and all(map(_is_number, indices)):
                checked = _path(path)
                async with self._room_for(incoming.peer):
                    return await self._files.chunks(checked, timestamp, indices)
        raise MalformedMessage("chunks are asked for by path, timestamp and a few numbers")

    async def _cached(self, incoming: Incoming) -> list[bytes | None]:
        digests = incoming.value
        if not isinstance(digests, list) or not _are_few(digests) or not all(map(_is_digest, digests)):
            raise MalformedMessage("cached chunks are asked for by a few digests")
        async with self._room_for(incoming.peer):
            return [await self._cache.get(each) or await self._files.chunk_by_digest(each) for each in digests]

    @asynccontextmanager
    async def _room_for(self, peer: NodeId) -> AsyncIterator[None]:
        """Read no chunk for one that takes none, nor too many at a time for all: whoever asks bounds no memory here."""
        if not self._node.network.is_writable(peer):
            await self._node.network.writable(peer)
        async with self._reads:
            yield

    async def _upload(self, incoming: Incoming, stream: Stream) -> None:
        match incoming.value:
            case [str(path), None | list() as base, None | list() as fence]:
                path, known = _path(path), Version.from_wire(base) if base is not None else None
                under = fence_of(fence)
            case _:
                raise MalformedMessage("an upload is opened with a path, a base and a fence")
        draft = await self._files.draft(path, fence=under)
        try:
            async for data in stream:
                if type(data) is not bytes:
                    raise MalformedMessage("a file is uploaded as bytes")
                await draft.write(data)
        except BaseException:
            await draft.abort()
            raise
        written = await draft.commit(writer=self._caller(incoming.peer).name, base=known, fence=under)
        await stream.send(written.to_wire())

    # ---- telling

    async def _changes(self, incoming: Incoming) -> list[Any]:
        match incoming.value:
            case [None | bytes() as life, int(since), list(watches)] if len(watches) <= MOST_WATCHES:
                watched = [_path(each) for each in watches]
            case _:
                raise MalformedMessage("changes are asked for by life, number and watched paths")
        sequence = self._files.sequence
        self._promises.watch(incoming.peer, watched, sequence)
        changed = await self._changed_since(since) if life == self._files.life else None
        self._promises.caught_up(incoming.peer, sequence)
        return [self._files.life, sequence, changed]

    async def _changed_since(self, since: int) -> list[Any] | None:
        entries: list[Entry] = await self._files.changes_since(since, MOST_CHANGES + 1)
        return [each.to_wire() for each in entries] if len(entries) <= MOST_CHANGES else None

    def _changed(self, changes: Sequence[Change]) -> None:
        for notice in self._promises.changed(changes, self._files.sequence):
            self._tell(notice)

    def _tell(self, notice: Notice) -> None:
        if not self._node.network.is_writable(notice.peer):
            self._promises.lost(notice.peer)  # it takes nothing; when it asks, it hears what it has missed
            return
        value = [self._files.life, notice.before, notice.after, [each.to_wire() for each in notice.changes]]
        try:
            self._node.network.requests.cast(notice.peer, CHANGED, value)
        except GuthiError:
            self._promises.lost(notice.peer)


def _are_few(asked: Sequence[object]) -> bool:
    return 1 <= len(asked) <= MOST_ASKED


def _is_number(wire: object) -> bool:
    return type(wire) is int and wire >= 0


def _is_digest(wire: object) -> bool:
    return type(wire) is bytes and len(wire) == DIGEST_BYTES


def _path(wire: object) -> str:
    try:
        return tree_path(wire)  # type: ignore[arg-type]  # it refuses what is no text
    except BadPath as error:
        raise MalformedMessage(str(error)) from None
