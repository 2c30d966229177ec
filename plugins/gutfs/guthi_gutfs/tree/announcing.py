"""Makes all nodes know what each exports: by a broadcast at its start, and by comparing catalogues (anti-entropy).

On `gutfs.catalogue` a node sends the fingerprint of what it knows, and is answered null if the other knows the same,
else all announcements that the other knows; it merges them, and sends on `gutfs.announce` those that the other lacks.
It does so with one other node each interval, and with a member that has just come.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from guthi import GuthiError, Incoming, Member, NodeId
from guthi_gutfs.timestamps import TIMESTAMP_LIMIT
from guthi_gutfs.tree.catalogue import Announcement, Catalogue, announcements_from_wire

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Announcing", "has_gutfs"]

CATALOGUE, ANNOUNCE = "gutfs.catalogue", "gutfs.announce"
TIMEOUT_S = 10.0
RETRY_S = 0.5

log = logging.getLogger("guthi_gutfs.tree")


def has_gutfs(member: Member) -> bool:
    """Whether a member runs the plugin."""
    return any(name == "gutfs" for name, _ in member.plugins)


class Announcing:
    """The catalogue of one node; `news` is called with each node whose exports are new to it."""

    def __init__(
        self, node: Node, own: Announcement, interval_s: float, rng: Random, news: Callable[[NodeId], None]
    ) -> None:
        self._node, self._own, self._interval_s, self._rng, self._news = node, own, interval_s, rng, news
        self.catalogue = Catalogue()
        self._early: dict[NodeId, Announcement] = {}  # of those that are no members yet
        self._is_wanted = asyncio.Event()
        self._first: dict[NodeId, None] = {}
        self.done_once = asyncio.Event()
        """This node knows what the network knows, or nobody else is there."""
        self._merge([own])
        node.handle(CATALOGUE, self._compared)
        node.handle(ANNOUNCE, self._announced)
        node.handle_broadcast(ANNOUNCE, self._announced)

    async def run(self) -> None:
        """Announce, and compare for ever; it begins when the node has joined."""
        await self._node.broadcast(ANNOUNCE, [self._own.to_wire()])
        while True:
            peer = self._choose()
            if peer is None or await self._succeeds(peer):
                self.done_once.set()
            pause_s = self._interval_s if self.done_once.is_set() else RETRY_S
            if self._first:
                continue
            try:
                async with asyncio.timeout(pause_s * self._rng.uniform(0.75, 1.25)):
                    await self._is_wanted.wait()
            except TimeoutError:
                pass
            self._is_wanted.clear()

    def came(self, member: Member) -> None:
        """A member has come, or come back."""
        if not has_gutfs(member):
            return
        if (early := self._early.pop(member.id, None)) is not None:
            self._merge([early])
        self._first[member.id] = None
        self._is_wanted.set()

    def lost(self, node: NodeId) -> None:
        """A member failed or left."""
        self.catalogue.lost(node)
        self._early.pop(node, None)
        self._first.pop(node, None)

    def _choose(self) -> NodeId | None:
        others = [each.id for each in self._node.members if has_gutfs(each)]
        while self._first:
            peer = next(iter(self._first))
            del self._first[peer]
            if peer in others:
                return peer
        return self._rng.choice(others) if others else None

    async def _succeeds(self, peer: NodeId) -> bool:
        try:
            theirs = await self._node.request(peer, CATALOGUE, self.catalogue.fingerprint, timeout_s=TIMEOUT_S)
            if theirs is not None:
                await self._exchange(peer, announcements_from_wire(theirs))
        except GuthiError as error:
            log.info("no catalogue of %s: %s", self._node.network.name_of(peer), error)
            return False
        return True

    async def _exchange(self, peer: NodeId, theirs: list[Announcement]) -> None:
        self._merge(theirs)
        known = {each.node: each.revision for each in theirs}
        lacking = [each for each in self.catalogue.all if known.get(each.node, -1) < each.revision]
        if lacking:
            await self._node.request(peer, ANNOUNCE, [each.to_wire() for each in lacking], timeout_s=TIMEOUT_S)

    def _merge(self, announcements: list[Announcement]) -> None:
        former = max((each.revision for each in announcements if each.node == self._node.id), default=0)
        if former > self._own.revision:  # this node's clock was ahead when it ran before
            self._own = replace(self._own, revision=min(former + 1, TIMESTAMP_LIMIT - 1))
        present = {each.id for each in self._node.members}
        self.catalogue.merge([self._own], [self._node.id])
        for node in self.catalogue.merge(announcements, present):
            self._news(node)

    def _compared(self, incoming: Incoming) -> list[object] | None:
        if incoming.value == self.catalogue.fingerprint:
            return None
        return [each.to_wire() for each in self.catalogue.all]

    def _announced(self, incoming: Incoming) -> None:
        announcements = announcements_from_wire(incoming.value)
        self._merge(announcements)
        for each in announcements:
            if each.node == incoming.peer and self.catalogue.revision(each.node) < each.revision:
                self._early[each.node] = each  # its broadcast has overtaken the news of its joining
