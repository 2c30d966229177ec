"""Does what `reconciling` decides about one entry of another replica: fetches, takes over, keeps copies."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

from guthi import NodeId
from guthi_gutfs.chunks import chunk_count
from guthi_gutfs.conflicts.naming import conflict_path
from guthi_gutfs.conflicts.reconciling import Action, decide
from guthi_gutfs.entries import Entry, Kind, Version
from guthi_gutfs.errors import FileChanged, FolderNotEmpty
from guthi_gutfs.exports.draft import Draft
from guthi_gutfs.exports.files import LocalFiles
from guthi_gutfs.transfer.fetching import Fetcher, Source

__all__ = ["Conforming"]

MOST_TRIES = 5


class Conforming:
    """Makes the replicas of one node conform to those of others; one entry of a path at a time."""

    def __init__(self, files: LocalFiles, fetcher: Fetcher) -> None:
        self._files, self._fetcher = files, fetcher
        self._locks: dict[str, asyncio.Lock] = {}
        self._taken_over: Counter[Version] = Counter()

    def is_taken_over(self, entry: Entry) -> bool:
        """Whether a change is no change of this node's own, but a version of another that is being taken over."""
        return entry.version in self._taken_over

    async def hear(self, theirs: Entry, peer: NodeId) -> None:
        """Do what has to be done about an entry, if this node's replica is to have it by its patterns.

        Raises FileChanged if they have another by now, and other errors.
        """
        if self._files.has(theirs.path, theirs.kind):
            await self._hear(theirs, Source(theirs, (peer,)))

    async def _hear(self, theirs: Entry, source: Source) -> None:
        lock = self._locks.setdefault(theirs.path, asyncio.Lock())
        try:
            async with lock:
                for tries in range(1, MOST_TRIES + 1):
                    try:
                        return await self._conform(theirs, source)
                    except FileChanged:  # here, while it was fetched; or there, and then again
                        if tries == MOST_TRIES:
                            raise
        finally:
            if not lock.locked():
                self._locks.pop(theirs.path, None)

    async def _conform(self, theirs: Entry, source: Source) -> None:
        mine, has_children = await self._files.known(theirs.path)
        decision = decide(mine, theirs, has_children=has_children)
        wanted = replace(theirs, version=decision.version)
        match decision.action:
            case Action.NOTHING:
                return
            case Action.JOIN:
                assert mine is not None
                await self._adopt(replace(mine, version=decision.version), mine, None)
            case Action.REVIVE:
                await self._files.revive(theirs.path, decision.version.vector)
            case Action.PUT_BESIDE:
                await self._hear(replace(theirs, path=conflict_path(theirs.path, theirs.version)), source)
                await self._files.revive(theirs.path, decision.version.vector)
            case Action.TAKE | Action.KEEP_BOTH:
                await self._take(wanted, mine, source, keep=decision.action is Action.KEEP_BOTH)

    async def _take(self, wanted: Entry, mine: Entry | None, source: Source, *, keep: bool) -> None:
        if not wanted.is_gone:
            await self._files.make_way(wanted.path)
        if wanted.kind is not Kind.FILE:
            try:
                await self._adopt(wanted, mine, None, keep=keep)
            except FolderNotEmpty:  # of what the index does not have, because it is left out, or just came
                await self._files.revive(wanted.path, wanted.version.vector)
            return
        draft = await self._files.draft(wanted.path)
        try:
            async for data in self._fetcher.chunks(source, 0, chunk_count(wanted.size_bytes)):
                await draft.write(data)
            await self._adopt(wanted, mine, draft, keep=keep)
        finally:
            await draft.abort()

    async def _adopt(self, wanted: Entry, mine: Entry | None, draft: Draft | None, *, keep: bool = False) -> None:
        self._taken_over[wanted.version] += 1
        try:
            expected = mine.version if mine is not None else None
            await self._files.adopt(wanted, draft, expected=expected, keep=keep)
        finally:
            self._taken_over[wanted.version] -= 1
            if not self._taken_over[wanted.version]:
                del self._taken_over[wanted.version]
