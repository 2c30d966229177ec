"""What a watcher is told: each change at or below a path, on whichever node, and where it may have missed some.

The nodes that export something there are asked to tell of the path (see `serving.promises`); nodes that come later are
asked when they announce their exports. A change is missed when the watcher's queue is full, or a node was not reached
for so long that it does not know what it has not told. Both are told as `Lagged`; nothing is left out silently.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guthi import NodeId
from guthi_gutfs.entries import Change, ChangeKind, Entry
from guthi_gutfs.exports.files import LocalFiles
from guthi_gutfs.paths import is_within
from guthi_gutfs.tree.catalogue import Catalogue
from guthi_gutfs.tree.peers import PeerTrees
from guthi_gutfs.tree.view import View

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["FileChange", "Lagged", "Watch", "Watching"]


@dataclass(frozen=True, slots=True)
class FileChange:
    """Something has happened to the file or folder at `path`, on a node; `entry` is what it is since."""

    kind: ChangeKind
    path: str
    node: str
    entry: Entry
    moved_from: str | None = None


@dataclass(frozen=True, slots=True)
class Lagged:
    """Changes were missed before the next one: so many, or nobody knows how many of a node; look for yourself."""

    missed: int | None
    node: str


class Watching:
    """The watchers of one node."""

    def __init__(self, node: Node, files: LocalFiles, catalogue: Catalogue, peers: PeerTrees, view: View) -> None:
        self._node, self._catalogue, self._peers, self._view = node, catalogue, peers, view
        self._watches: list[Watch] = []
        peers.listeners.append(self._told)
        self.close = files.subscribe(lambda changes: self._told(node.id, changes))
        """Hear no more of this node's own changes."""

    def watch(self, path: str, queue: int) -> Watch:
        """A watcher of a path and all below it."""
        split = self._view.split(path)
        only, own = split if split is not None else (None, path)
        watch = Watch(self, path, only, own, queue)
        self._watches.append(watch)
        watch.starting = self._node.start(self._start(watch), "gutfs watch")
        return watch

    async def _start(self, watch: Watch) -> None:
        nodes = self._catalogue.nodes_with(watch.own)
        await asyncio.gather(*(self._add(watch, node) for node in nodes))

    async def _add(self, watch: Watch, node: NodeId) -> None:
        if node == self._node.id or watch.only not in (None, node) or node in watch.nodes:
            return
        watch.nodes.add(node)
        self._peers.of(node).watches[watch.own] += 1
        await self._peers.check(node)

    def came(self, node: NodeId) -> None:
        """A node has announced its exports."""
        for watch in self._watches:
            if self._catalogue.has(node, watch.own) and self._catalogue.exports(node):
                self._node.start(self._add(watch, node), "gutfs watch")

    def ended(self, watch: Watch) -> None:
        """Nobody watches any more."""
        if watch not in self._watches:
            return
        self._watches.remove(watch)
        for node in sorted(watch.nodes):
            watches = self._peers.of(node).watches
            watches[watch.own] -= 1
            if watches[watch.own] <= 0:
                del watches[watch.own]
            self._peers.doubt(node)

    def _told(self, node: NodeId, changes: Sequence[Change] | None) -> None:
        name = self._node.name if node == self._node.id else self._node.network.name_of(node)
        for watch in tuple(self._watches):
            if node != self._node.id and node not in watch.nodes:
                continue
            if watch.only not in (None, node):
                continue
            if changes is None:
                watch.add(Lagged(None, name))
                continue
            for change in changes:
                if is_within(change.entry.path, watch.own) or is_within(change.moved_from or "", watch.own):
                    watch.add(self._shown(watch, node, name, change))

    def _shown(self, watch: Watch, node: NodeId, name: str, change: Change) -> FileChange:
        path, moved_from = change.entry.path, change.moved_from
        if watch.only is not None:
            path = self._view.global_path(node, path)
            moved_from = self._view.global_path(node, moved_from) if moved_from is not None else None
        return FileChange(change.kind, path, name, change.entry, moved_from)


class Watch:
    """An async iterator of `FileChange` and `Lagged`; it goes on until `aclose`, or the node's end."""

    def __init__(self, watching: Watching, path: str, only: NodeId | None, own: str, queue: int) -> None:
        self.path, self.only, self.own = path, only, own
        self.nodes: set[NodeId] = set()
        self.starting: asyncio.Task[None]
        self._watching = watching
        self._room = queue
        self._queue: deque[FileChange | Lagged] = deque()
        self._has_news = asyncio.Event()
        self._is_closed = False

    async def started(self) -> None:
        """Wait until all nodes that are reached have been asked to tell."""
        await asyncio.shield(self.starting)

    def add(self, told: FileChange | Lagged) -> None:
        """Something is to be told; what does not fit is counted, in its place among what does."""
        if len(self._queue) < self._room:
            self._queue.append(told)
        elif isinstance(last := self._queue[-1], Lagged) and last.missed is not None:
            self._queue[-1] = Lagged(last.missed + 1, "")
        else:
            self._queue.append(Lagged(1, ""))
        self._has_news.set()

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> FileChange | Lagged:
        while not self._queue and not self._is_closed:
            self._has_news.clear()
            await self._has_news.wait()
        if self._is_closed:
            raise StopAsyncIteration
        return self._queue.popleft()

    async def aclose(self) -> None:
        """Watch no more."""
        self._is_closed = True
        self._has_news.set()
        self._watching.ended(self)
