"""Keeps the exports with `sync` the same on all nodes that have one at the same path: tells, asks, and takes over.

On `gutfs.replica` a node is asked `[path, life, since]`, and answers `[life, reached, entries]`: what has changed in
its replica at that path after the number `since` of that `life` of its index, as far as `reached`; also what is gone
there. What to do about each entry, `conflicts.reconciling` decides. On `gutfs.replica.news` a node tells the others
that it has changed something itself, so they ask; what it has taken over they hear of from where it came. Each node
asks each other one now and then in any case, and when one comes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from guthi import GuthiError, Incoming, MalformedMessage, NodeId
from guthi.calmlog import CalmLog
from guthi.tasks import TaskSet
from guthi_gutfs.conflicts.conforming import Conforming
from guthi_gutfs.entries import Change, Entry, Kind
from guthi_gutfs.errors import FileChanged, NotFound
from guthi_gutfs.exports.files import LocalFiles
from guthi_gutfs.paths import is_within
from guthi_gutfs.transfer.fetching import Fetcher
from guthi_gutfs.tree.catalogue import Catalogue

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Replicas"]

REPLICA, NEWS = "gutfs.replica", "gutfs.replica.news"
TIMEOUT_S = 20.0
ENTRIES_AT_ONCE = 500
FILES_AT_ONCE = 8
MOST_LEFT = 10_000
NUMBER_LIMIT = 2**62

log = logging.getLogger("guthi_gutfs.replicas")


class _Peer:
    """What this node has heard of the replicas of another."""

    def __init__(self) -> None:
        self.life, self.since = b"", 0
        self.left: dict[str, Entry] = {}  # what could not be taken over yet
        self.task: asyncio.Task[None] | None = None
        self.is_wanted = False


class Replicas:
    """The replicas of one node; `interval_s` is about how often it asks each of the others."""

    def __init__(
        self,
        node: Node,
        files: LocalFiles,
        catalogue: Catalogue,
        fetcher: Fetcher,
        interval_s: float,
        rng: Random,
        tasks: TaskSet,
    ) -> None:
        self._node, self._files, self._catalogue, self._tasks = node, files, catalogue, tasks
        self._interval_s, self._rng = interval_s, rng
        self._mounts = tuple(each.at for each in files.exports if each.is_sync)
        self._log = CalmLog(log, asyncio.get_running_loop().time)
        self._conforming = Conforming(files, fetcher)
        self._peers: dict[tuple[NodeId, str], _Peer] = {}
        self._to_tell: dict[str, None] = {}
        self._has_news = asyncio.Event()
        self._unsubscribe = files.subscribe(self._changed)
        node.handle(REPLICA, self._asked)
        node.handle(NEWS, self._told)

    def close(self) -> None:
        """Hear of no more changes."""
        self._unsubscribe()

    # ---- with whom

    def _others(self, mount: str) -> list[NodeId]:
        """Who has a replica of it, and is there; sorted."""
        return [
            each.node
            for each in self._catalogue.all
            if each.node != self._node.id and any(one.at == mount and one.is_sync for one in each.exports)
        ]

    def came(self, peer: NodeId) -> None:
        """A node has told what it exports, or is there again."""
        for mount in self._mounts:
            if peer in self._others(mount):
                self._want(peer, mount)

    def lost(self, peer: NodeId) -> None:
        """A node is not there any more."""
        for mount in self._mounts:
            known = self._peers.pop((peer, mount), None)
            if known is not None and known.task is not None:
                known.task.cancel()

    # ---- telling

    def _changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if self._conforming.is_taken_over(change.entry):
                continue
            for mount in self._mounts:
                if is_within(change.entry.path, mount):
                    self._to_tell[mount] = None
                    self._has_news.set()

    async def _tell(self) -> None:
        while True:
            await self._has_news.wait()
            self._has_news.clear()
            mounts, self._to_tell = list(self._to_tell), {}
            for mount in mounts:
                for peer in self._others(mount):
                    try:
                        await self._node.cast(peer, NEWS, mount)
                    except GuthiError:
                        continue  # it will ask

    def _told(self, incoming: Incoming) -> None:
        if incoming.value in self._mounts and incoming.peer in self._others(incoming.value):
            self._want(incoming.peer, incoming.value)

    async def _asked(self, incoming: Incoming) -> list[Any]:
        match incoming.value:
            case [str(mount), bytes(life), int(since)] if type(since) is int and 0 <= since < NUMBER_LIMIT:
                pass
            case _:
                raise MalformedMessage("a replica is asked for by its path, a life and a number")
        if mount not in self._mounts:
            raise NotFound(f"{mount} is no replica on this node")
        newest = self._files.sequence
        entries = await self._files.changes_since(since if life == self._files.life else 0, ENTRIES_AT_ONCE)
        last = entries[-1].sequence if entries else 0
        reached = last if len(entries) == ENTRIES_AT_ONCE else max(last, newest)
        told = [await self._with_root(each) for each in entries if is_within(each.path, mount) and each.path != mount]
        return [self._files.life, reached, [each for each in told if each]]

    async def _with_root(self, entry: Entry) -> list[Any] | None:
        """As it travels; None for what is another version by now, and is told as such later."""
        if entry.kind is not Kind.FILE or entry.root is not None:
            return entry.to_wire()
        try:
            now, _ = await self._files.known(entry.path)
        except (FileChanged, NotFound):
            return None
        return now.to_wire() if now is not None and now.version == entry.version else None

    # ---- asking

    async def run(self) -> None:
        """Tell and ask for ever; it begins when the node has joined."""
        if not self._mounts:
            return
        self._tasks.start(self._tell(), "gutfs replica news")
        while True:
            for mount in self._mounts:
                for peer in self._others(mount):
                    self._want(peer, mount)
            await asyncio.sleep(self._interval_s * self._rng.uniform(0.7, 1.3))

    def _want(self, peer: NodeId, mount: str) -> None:
        known = self._peers.setdefault((peer, mount), _Peer())
        known.is_wanted = True
        if known.task is None or known.task.done():
            known.task = self._tasks.start(self._follow(known, peer, mount), "gutfs replica")

    async def _follow(self, known: _Peer, peer: NodeId, mount: str) -> None:
        while known.is_wanted:
            known.is_wanted = False
            left, known.left = list(known.left.values()), {}
            try:
                await self._hear(known, peer, left)
                while await self._ask(known, peer, mount):
                    pass
            except MalformedMessage as breach:
                self._log.warning("%s says of its replica what cannot be: %s", self._node.network.name_of(peer), breach)
            except GuthiError as error:
                log.info("the replica of %s on %s: %s", mount, self._node.network.name_of(peer), error)

    async def _ask(self, known: _Peer, peer: NodeId, mount: str) -> bool:
        """Ask once; whether there is more."""
        answer = await self._node.request(peer, REPLICA, [mount, known.life, known.since], timeout_s=TIMEOUT_S)
        match answer:
            case [bytes(life), int(reached), list(told)] if (
                len(told) <= ENTRIES_AT_ONCE and type(reached) is int and 0 <= reached < NUMBER_LIMIT
            ):
                entries = [Entry.from_wire(each) for each in told]
            case _:
                raise MalformedMessage("a replica is told of by a life, a number and entries")
        if any(not is_within(each.path, mount) or each.path == mount for each in entries):
            raise MalformedMessage("a replica is told of by what is in it")
        if any(each.kind is Kind.FILE and each.root is None for each in entries):
            raise MalformedMessage("a file of a replica is told of without its root")
        await self._hear(known, peer, entries)
        has_more = reached > known.since or life != known.life
        known.life, known.since = life, reached
        return has_more

    async def _hear(self, known: _Peer, peer: NodeId, entries: Sequence[Entry]) -> None:
        """Take over what is newer: several files at a time; then what is gone, and what is in folders before these."""
        gone = sorted((each for each in entries if each.is_gone), key=lambda each: each.path, reverse=True)
        files: list[Entry] = []
        for entry in (*(each for each in entries if not each.is_gone), *gone, None):
            if entry is not None and entry.kind is Kind.FILE:
                files.append(entry)
            if files and (entry is None or entry.kind is not Kind.FILE or len(files) == FILES_AT_ONCE):
                await asyncio.gather(*(self._one(known, peer, each) for each in files))
                files = []
            if entry is not None and entry.kind is not Kind.FILE:
                await self._one(known, peer, entry)

    async def _one(self, known: _Peer, peer: NodeId, entry: Entry) -> None:
        try:
            await self._conforming.hear(entry, peer)
        except GuthiError as error:
            if not isinstance(error, FileChanged):  # which may pass, or what is newer there is told of as well
                self._log.warning("%s is not as on %s yet: %s", entry.path, self._node.network.name_of(peer), error)
            if len(known.left) < MOST_LEFT:
                known.left[entry.path] = entry
