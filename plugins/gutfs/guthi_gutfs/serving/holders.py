"""Decides whom a node sends a reader to, besides itself: those that have fetched the same version of a file of late.

The owner of a file is its tracker, as in BitTorrent: who asks for the digests of a file is about to fetch it, and will
have it in its cache. That it has each chunk is not known; who is asked for one that it lacks says so.
"""

from __future__ import annotations

from collections import OrderedDict

from guthi import NodeId

__all__ = ["Holders"]

MOST_VERSIONS = 10_000
MOST_HOLDERS = 16


class Holders:
    """Who has fetched which version, the latest last."""

    def __init__(self) -> None:
        self._holders: OrderedDict[tuple[str, int], OrderedDict[NodeId, None]] = OrderedDict()

    def note(self, path: str, timestamp: int, peer: NodeId) -> None:
        """A peer fetches this version."""
        peers = self._holders.setdefault((path, timestamp), OrderedDict())
        peers[peer] = None
        peers.move_to_end(peer)
        if len(peers) > MOST_HOLDERS:
            peers.popitem(last=False)
        self._holders.move_to_end((path, timestamp))
        if len(self._holders) > MOST_VERSIONS:
            self._holders.popitem(last=False)

    def others(self, path: str, timestamp: int, peer: NodeId) -> list[NodeId]:
        """Who else may have it."""
        return [each for each in self._holders.get((path, timestamp), ()) if each != peer]

    def lost(self, peer: NodeId) -> None:
        """It is gone."""
        for peers in self._holders.values():
            peers.pop(peer, None)
