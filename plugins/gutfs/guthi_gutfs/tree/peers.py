"""Keeps the trees of all other nodes: hands them their notices, checks in time that none was missed, drops the unused.

Listeners hear of each change in another's tree that this node is told of; of a gap, by None, when something may have
been missed that nobody can name.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, TypeAlias

from guthi import GuthiError, Incoming, MalformedMessage, NodeId
from guthi.calmlog import CalmLog
from guthi_gutfs.entries import Change, ChangeKind, Entry
from guthi_gutfs.serving.answering import CHANGED
from guthi_gutfs.tree.following import Standing
from guthi_gutfs.tree.remote import RemoteTree

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Listener", "PeerTrees"]

CHECKS_AN_INTERVAL = 2
CHECKED_AT_ONCE = 16
UNUSED_AFTER_S = 600.0

Listener: TypeAlias = Callable[[NodeId, Sequence[Change] | None], None]

log = logging.getLogger("guthi_gutfs.tree")


class PeerTrees:
    """The trees of others; `check_interval_s` is how long one is believed without a word from there."""

    def __init__(self, node: Node, check_interval_s: float, rng: Random) -> None:
        self._node, self._check_interval_s, self._rng = node, check_interval_s, rng
        self._trees: dict[NodeId, RemoteTree] = {}
        self._is_due = asyncio.Event()
        self._doubtful: dict[NodeId, None] = {}
        self._log = CalmLog(log, asyncio.get_running_loop().time)
        self.listeners: list[Listener] = []
        node.handle(CHANGED, self._notified)

    def of(self, peer: NodeId) -> RemoteTree:
        """The tree of another node."""
        tree = self._trees.get(peer)
        if tree is None:
            tree = self._trees[peer] = RemoteTree(self._node, peer, self._check_interval_s)
        return tree

    def lost(self, peer: NodeId) -> None:
        """A member failed or left: nothing of its tree is served any more."""
        tree = self._trees.get(peer)
        if tree is None:
            return
        tree.forget()
        if not tree.watches:
            del self._trees[peer]

    def doubt(self, peer: NodeId) -> None:
        """Something may have been missed: check soon."""
        if peer in self._trees:
            self._doubtful[peer] = None
            self._is_due.set()

    # ---- notices

    def _notified(self, incoming: Incoming) -> None:
        tree = self._trees.get(incoming.peer)
        if tree is None:
            return  # nothing of it is kept any more
        try:
            standing, changes = tree.notified(incoming.value)
        except MalformedMessage as breach:
            self._log.warning("%s tells of changes in words that nobody understands: %s", tree.name, breach)
            tree.forget()
            return
        if standing is not Standing.NEWS:
            self.doubt(incoming.peer)
        self._tell(incoming.peer, changes)

    def _tell(self, peer: NodeId, changes: Sequence[Change] | None) -> None:
        for listener in tuple(self.listeners):
            listener(peer, changes)

    # ---- checking

    async def run(self) -> None:
        """Check for ever, each tree of which something is kept or watched."""
        while True:
            try:
                async with asyncio.timeout(self._check_interval_s / CHECKS_AN_INTERVAL * self._rng.uniform(0.7, 1.0)):
                    await self._is_due.wait()
                chosen = list(self._doubtful)
            except TimeoutError:
                chosen = self._kept()
            self._is_due.clear()
            self._doubtful.clear()
            for start in range(0, len(chosen), CHECKED_AT_ONCE):
                await asyncio.gather(*(self.check(peer) for peer in chosen[start : start + CHECKED_AT_ONCE]))

    def _kept(self) -> list[NodeId]:
        now, kept = asyncio.get_running_loop().time(), []
        for peer, tree in sorted(self._trees.items()):
            if tree.watches or now - tree.used_at < UNUSED_AFTER_S:
                kept.append(peer)
            else:
                tree.forget()
                del self._trees[peer]
        return kept

    async def check(self, peer: NodeId) -> None:
        """Ask one node what was missed; if it cannot be reached, what is kept of it ages."""
        tree = self._trees.get(peer)
        if tree is None:
            return
        is_new = tree.is_new
        try:
            entries = await tree.check()
        except MalformedMessage as breach:
            self._log.warning("%s does not say what has changed: %s", tree.name, breach)
        except GuthiError as error:
            log.info("%s", error)
        else:
            if not is_new:
                self._tell(peer, None if entries is None else [_change(each) for each in entries])


def _change(entry: Entry) -> Change:
    """How something came to be as it is now has been missed."""
    return Change(ChangeKind.DELETED if entry.is_gone else ChangeKind.CHANGED, entry)
