"""The tree of one other node as this one sees it: what is kept is served, the rest is asked for.

It has the methods of `exports.files.LocalFiles` that make sense from afar, with the same errors; and SourceGone where
the other cannot be reached.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from guthi import DeadlineExceeded, MalformedMessage, NodeClosed, NodeId, PeerLost, UnknownMember, UnknownTopic
from guthi.api import Buffer
from guthi.values.faults import revive
from guthi_gutfs.entries import Change, Entry, Kind, Version, Written
from guthi_gutfs.errors import NotFound, SourceGone
from guthi_gutfs.paths import name_of, parent_of, parents_of
from guthi_gutfs.serving.answering import CHANGES, CHUNK, DO, UPLOAD, USAGE
from guthi_gutfs.serving.operations import fence_to_wire
from guthi_gutfs.tree.following import Following, Standing
from guthi_gutfs.tree.kept import Absent, KeptTree
from guthi_gutfs.tree.results import READING, Digests, Fetched, Listed, result_of
from guthi_mutex import Fence

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from guthi import Node

__all__ = ["RemoteTree"]

TIMEOUT_S = 30.0
CHECK_TIMEOUT_S = 5.0
UPLOAD_TIMEOUT_S = 24 * 3600.0
GONE = (PeerLost, DeadlineExceeded, UnknownMember, UnknownTopic, NodeClosed)
"""What it means that the other cannot be asked; the last is what it says itself while it leaves."""


class RemoteTree:
    """One other node's tree; `check_interval_s` is how long what is kept is believed without a word from there."""

    def __init__(self, node: Node, peer: NodeId, check_interval_s: float) -> None:
        self.peer = peer
        self.kept = KeptTree(check_interval_s)
        self.watches: Counter[str] = Counter()
        """How many here watch each path."""
        self.used_at = 0.0
        self._has_missed = False
        self._node = node
        self._following = Following()
        self._loop = asyncio.get_running_loop()

    @property
    def is_new(self) -> bool:
        """Whether nothing of it was known until now, so that nothing can have been missed."""
        return self._following.life is None and not self._has_missed

    # ---- asking

    async def several(self, operations: Sequence[Sequence[Any]], *, goes_on: bool = False) -> list[Any]:
        """Do operations in one round trip; a result each, which is an error where it failed. Raises SourceGone."""
        fetch, began = self._following.begin(), self._now_used()
        try:
            answer = await self._request(DO, [goes_on, *(list(each) for each in operations)])
            match answer:
                case [bytes(life), int(sequence), list(results)] if len(results) == len(operations):
                    may_keep = self._following.may_keep(fetch, life, sequence)
                case _:
                    raise MalformedMessage("operations are answered by a life, a sequence and results")
        finally:
            self._following.end(fetch)
        self._begin_to_keep(may_keep, began)
        told = [self._result(each, result) for each, result in zip(operations, results, strict=True)]
        for operation, result in zip(operations, told, strict=True):
            self._note(operation, result, sequence, may_keep=may_keep)
        return told

    def _result(self, operation: Sequence[Any], wire: object) -> Any:
        match wire:
            case [True, result]:
                return result_of(operation, result)
            case [False, fault]:
                error = revive(fault, self._node.codec, self.name)
                return SourceGone(f"{self.name} is leaving: {error}") if isinstance(error, NodeClosed) else error
        raise MalformedMessage("an operation is answered by whether it is done, and a result or a fault")

    def _begin_to_keep(self, may_keep: bool, asked_at: float) -> None:
        """What was kept before may have missed something; where nothing was, what comes now has been promised."""
        if may_keep and not len(self.kept):
            self.kept.confirmed(asked_at)

    async def _request(self, topic: str, value: Any, timeout_s: float = TIMEOUT_S) -> Any:
        try:
            return await self._node.request(self.peer, topic, value, timeout_s=timeout_s)
        except GONE as error:
            raise SourceGone(f"{self.name} cannot be reached: {error}") from error

    @property
    def name(self) -> str:
        """What people call the node."""
        return self._node.network.name_of(self.peer)

    async def _one(self, *operation: Any) -> Any:
        (result,) = await self.several([operation])
        if isinstance(result, Exception):
            raise result
        return result

    def _now_used(self) -> float:
        self.used_at = self._loop.time()
        return self.used_at

    # ---- reading

    async def stat(self, path: str) -> Entry:
        """What is under a path."""
        known = self.kept.entry(path, self._now_used())
        if isinstance(known, Absent):
            raise NotFound(f"{path} is not there on {self.name}")
        entry: Entry = known or await self._one("stat", path)
        return entry

    async def listing(self, path: str) -> list[Entry]:
        """What is in a folder, sorted by name."""
        known = self.kept.listing(path, self._now_used())
        if known is not None:
            return known
        listed: Listed = await self._one("list", path)
        if listed.has_more:
            return [each async for each in self.walk(path) if parent_of(each.path) == path]
        return sorted(listed.entries, key=lambda each: name_of(each.path))

    async def walk(self, path: str) -> AsyncIterator[Entry]:
        """All below a path, sorted by path."""
        listed = Listed([], has_more=True)
        while listed.has_more:
            listed = await self._one("walk", path, listed.entries[-1].path if listed.entries else "")
            for each in listed.entries:
                if each.path != path:
                    yield each

    async def fetch(self, path: str) -> Fetched:
        """What is under a path now, and its content if that is small: of one version."""
        fetched: Fetched = await self._one("fetch", path)
        return fetched

    async def root(self, path: str) -> bytes:
        """The root digest of a file as it is now."""
        root: bytes = await self._one("root", path)
        return root

    async def digests(self, path: str, timestamp: int, first: int, count: int) -> Digests:
        """Digests of at most 1,024 chunks from `first` on, and who else may have them. Raises FileChanged."""
        known = self.kept.digests(path, timestamp, first, count)
        if known is not None:
            return Digests(known, [])
        told: Digests = await self._one("digests", path, timestamp, first, count)
        return told

    def knows_digests(self, entry: Entry) -> bool:
        """Whether the digest of the first chunk of a file is known here."""
        return self.kept.digests(entry.path, entry.version.timestamp, 0, 1) is not None

    async def chunk(self, path: str, timestamp: int, index: int) -> bytes:
        """A chunk as the node sends it, not verified. Raises FileChanged."""
        match await self._request(CHUNK, [path, timestamp, [index]]):
            case [bytes(data)]:
                return data
        raise MalformedMessage("a chunk is bytes")

    def doubt(self, path: str) -> None:
        """What is kept of a path has turned out to be wrong."""
        self.kept.changed(path, has_children=True)

    async def read(self, path: str, offset: int, size_bytes: int) -> bytes:
        """Bytes of the file as it is now."""
        data: bytes = await self._one("read", path, offset, size_bytes)
        return data

    async def cache_usage(self) -> dict[str, int]:
        """What the node's cache holds."""
        usage = await self._request(USAGE, None, CHECK_TIMEOUT_S)
        if not isinstance(usage, dict) or not all(type(k) is str and type(v) is int for k, v in usage.items()):
            raise MalformedMessage("the usage of a cache is told by names and numbers")
        return usage

    # ---- writing

    async def write(self, path: str, data: Buffer, *, base: Version | None, fence: Fence | None) -> Written:
        """Write a whole file."""
        written: Written = await self._one("write", path, bytes(data), base and base.to_wire(), fence_to_wire(fence))
        return written

    async def upload(
        self, path: str, chunks: AsyncIterator[bytes], *, base: Version | None, fence: Fence | None
    ) -> Written:
        """Write a whole file that is told piece by piece."""
        opening = [path, base and base.to_wire(), fence_to_wire(fence)]
        try:
            async with self._node.open_stream(self.peer, UPLOAD, opening, timeout_s=UPLOAD_TIMEOUT_S) as stream:
                async for chunk in chunks:
                    await stream.send(chunk)
                stream.finish()
                answers = [each async for each in stream]
        except GONE as error:
            raise SourceGone(f"{self.name} was lost while it was given {path}: {error}") from error
        if len(answers) != 1:
            raise MalformedMessage("an upload is answered by what was written")
        self.kept.changed(path, has_children=False)
        return Written.from_wire(answers[0])

    async def append(self, path: str, data: Buffer, *, fence: Fence | None) -> Written:
        """Write at the end of a file."""
        written: Written = await self._one("append", path, bytes(data), fence_to_wire(fence))
        return written

    async def rename(self, path: str, to: str, *, replace: bool, fence: Fence | None) -> Entry:
        """Give a file or folder another path."""
        entry: Entry = await self._one("rename", path, to, replace, fence_to_wire(fence))
        return entry

    async def delete(self, path: str, *, recursive: bool, fence: Fence | None) -> None:
        """Delete a file or folder."""
        await self._one("delete", path, recursive, fence_to_wire(fence))

    async def make_folder(self, path: str, *, parents: bool, fence: Fence | None) -> Entry:
        """Make a folder."""
        entry: Entry = await self._one("mkdir", path, parents, fence_to_wire(fence))
        return entry

    # ---- what has come

    def _note(self, operation: Sequence[Any], result: Any, sequence: int, *, may_keep: bool) -> None:
        """Keep what was answered; what this node has changed itself it need not be told of."""
        name, path, *rest = operation
        if name not in READING:
            self._following.changed(sequence + 1)
            self._touched(name, path, rest)
        elif may_keep and isinstance(result, Fetched):
            self.kept.keep_entry(result.entry)
        elif isinstance(result, Digests):
            self.kept.keep_digests(path, rest[0], rest[1], result.digests)
        elif may_keep and name == "stat" and isinstance(result, Entry):
            self.kept.keep_entry(result)
        elif may_keep and name == "list" and isinstance(result, Listed) and not result.has_more:
            self.kept.keep_listing(path, result.entries)

    def _touched(self, name: str, path: str, rest: Sequence[Any]) -> None:
        """This node has done something itself: it sees that at once, whenever the notice comes."""
        is_whole = name in ("rename", "delete")  # with all that is below
        self.kept.changed(path, has_children=is_whole)
        if name == "rename":
            self.kept.changed(rest[0], has_children=True)
        for parent in parents_of(path) if name == "mkdir" and rest[0] else ():
            self.kept.changed(parent, has_children=False)

    # ---- what has changed

    async def check(self) -> list[Entry] | None:
        """Ask what was missed: the entries that have changed, or None if nothing kept is good. Raises SourceGone."""
        following, asked_at = self._following, self._loop.time()
        value = [following.life, following.heard, sorted(self.watches)]
        answer = await self._request(CHANGES, value, CHECK_TIMEOUT_S)
        match answer:
            case [bytes(life), int(sequence), None]:
                changed = None
                self.kept.forget()
            case [bytes(life), int(sequence), list(entries)]:
                changed = [Entry.from_wire(each) for each in entries]
                for each in changed:
                    self.kept.changed(each.path, has_children=each.kind is not Kind.FILE)
            case _:
                raise MalformedMessage("changes are told by life, sequence and entries")
        following.caught_up(life, sequence)
        self._has_missed = False
        self.kept.confirmed(asked_at)
        return changed

    def notified(self, wire: object) -> tuple[Standing, list[Change]]:
        """A notice has come; raises MalformedMessage."""
        match wire:
            case [bytes(life), int(before), int(after), list(told)]:
                changes = [Change.from_wire(each) for each in told]
            case _:
                raise MalformedMessage("a notice is a life, two numbers and changes")
        standing = self._following.told(life, before, after)
        if standing is Standing.OTHER_LIFE:
            self.forget()
        for change in changes:
            self.kept.changed(change.entry.path, has_children=change.entry.kind is not Kind.FILE)
            if change.moved_from is not None:
                self.kept.changed(change.moved_from, has_children=True)
        return standing, changes

    def forget(self) -> None:
        """It failed, left, or was started anew: what is kept counts no more, and its news were missed."""
        self._has_missed = not self.is_new
        self.kept.forget()
        self._following.forget()
