"""Puts together what a node has of others: their clocks, their trees, and the service that shows all trees as one."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from guthi import Member, NodeId, Role
from guthi.tasks import TaskSet
from guthi_gutfs.cache.cache import ChunkCache
from guthi_gutfs.chunks import CHUNK_BYTES
from guthi_gutfs.clocks.network import NetworkClock
from guthi_gutfs.config import GutfsConfig
from guthi_gutfs.disk import Disk
from guthi_gutfs.exports.files import LocalFiles
from guthi_gutfs.replicas import Replicas
from guthi_gutfs.service import Gutfs
from guthi_gutfs.serving.answering import Answering
from guthi_gutfs.serving.operations import Caller
from guthi_gutfs.telling import telling
from guthi_gutfs.transfer.fetching import Fetcher
from guthi_gutfs.tree.announcing import Announcing
from guthi_gutfs.tree.catalogue import Announcement, Exported
from guthi_gutfs.tree.local import LocalTree
from guthi_gutfs.tree.peers import PeerTrees
from guthi_gutfs.tree.view import View
from guthi_gutfs.watching import Watching

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["NetworkSide"]


class NetworkSide:
    """Everything of one node that talks to others."""

    def __init__(
        self,
        node: Node,
        config: GutfsConfig,
        files: LocalFiles,
        cache: ChunkCache,
        disk: Disk,
        clock: NetworkClock,
        rng: Random,
        tasks: TaskSet,
    ) -> None:
        self._node, self._clock, self._tasks = node, clock, tasks
        self.time_s = clock.time_s
        self._answering = Answering(node, files, cache, config.most_promises)
        self._peers = PeerTrees(node, config.check_interval, rng)
        exports = tuple(Exported(each.at, each.is_writable, each.is_sync) for each in files.exports)
        own = Announcement(node.id, clock.now(), exports if node.me.role is Role.PEER else ())
        self._announcing = Announcing(node, own, config.sync_interval, rng, self._announced)
        tree = LocalTree(Caller(node.id, node.name), files, self._answering.operations)
        view = View(node, tree, self._announcing.catalogue, self._peers)
        self._watching = Watching(node, files, self._announcing.catalogue, self._peers, view)
        self._end_telling = telling(node, files, self._peers)
        fetcher = Fetcher(node, files, cache, disk, self._peers, config.read_ahead // CHUNK_BYTES)
        self._replicas = Replicas(node, files, self._announcing.catalogue, fetcher, config.sync_interval, rng, tasks)
        self.service = Gutfs(node, files, cache, disk, self._announcing, view, fetcher, self._watching, clock)

    def start(self) -> None:
        """The node has joined its network."""
        for work, name in (
            (self._announcing.run(), "announcing"),
            (self._peers.run(), "checking"),
            (self._clock.run(), "clock"),
            (self._replicas.run(), "replicas"),
        ):
            self._tasks.start(work, f"gutfs {name}")

    def close(self) -> None:
        """Tell nobody of changes any more."""
        self._answering.close()
        self._watching.close()
        self._replicas.close()
        self._end_telling()

    def _announced(self, node: NodeId) -> None:
        """A node exports something, for the first time, or as it was started anew."""
        if node != self._node.id:
            self._peers.doubt(node)
            self._watching.came(node)
            self._replicas.came(node)

    def came(self, member: Member) -> None:
        """A member is there, or again."""
        self._announcing.came(member)
        self._peers.doubt(member.id)
        self._replicas.came(member.id)

    def went(self, member: Member) -> None:
        """A member failed or left."""
        self._announcing.lost(member.id)
        self._peers.lost(member.id)
        self._answering.lost(member.id)
        self._clock.lost(member.id)
        self._replicas.lost(member.id)
