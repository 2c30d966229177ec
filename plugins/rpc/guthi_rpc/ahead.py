"""How many chunks a node may have in hand: so many that no worker waits for the next while a result is on its way.

One chunk more than there are workers is enough where chunks take long. Where the caller sets their size, and they are
quick, a worker is done with the next one too before the first one's result has come here and another has gone there:
that takes some milliseconds where both ends compute as fast as they can. So as many more are given as the workers do
in AHEAD_S (Little's law), but ever fewer towards an end that can be seen.
"""

from __future__ import annotations

import math

__all__ = ["AHEAD_S", "Ahead"]

AHEAD_S = 0.01
MOST = 8  # times the places that the node has


class Ahead:
    """The number for one node, from one chunk to the next."""

    __slots__ = ("_chunk_s", "_chunks", "_most")

    def __init__(self) -> None:
        self._chunks, self._chunk_s = 0, math.inf
        self._most = math.inf

    def took(self, seconds: float) -> None:
        """The node worked for so long on a chunk."""
        self._chunk_s = (3 * self._chunk_s + seconds) / 4 if self._chunks else seconds
        self._chunks += 1
        self._most += 1 / self._most  # one more, when as many as it may have came back

    def refused(self, in_hand: int) -> None:
        """The node had no room for a further chunk, beyond those that it has in hand."""
        self._most = float(max(in_hand, 1))

    def within(self, places: int, remaining: int | None, nodes: int) -> int:
        """How many it may have; `remaining` items are left for all `nodes` (None: nobody knows)."""
        further = min(places * AHEAD_S / max(self._chunk_s, 1e-6), (MOST - 1) * places, self._chunks)
        if remaining is not None:
            further = min(further, remaining / (2 * nodes))
        return int(min(places + further, self._most))
