"""Which nodes have to be asked whether a call with a key has run: the first few in the key's order, dead ones included.

A node that failed, or was restarted without having left, may be the one that knew. So its seat is held by the life that
was lost for as long as keys are remembered: that answers no more, and that its answer is missing counts. Two majorities
of one set of seats have a node in common, and so a second attempt finds somebody who has heard of the first.
"""

from __future__ import annotations

from collections.abc import Callable

from guthi.api import NodeId
from guthi_rpc.ballot import Ballot, Home
from guthi_rpc.directory import Directory
from guthi_rpc.dispatch import in_order_of

__all__ = ["ELECTORS", "Electors"]

ELECTORS = 5  # two of them may be lost
MAX_LOST = 4096


class Electors:
    """The electors as one node sees them; `members` gives those that are fit for it, `clock` loop time."""

    def __init__(
        self, directory: Directory, members: Callable[[], list[NodeId]], clock: Callable[[], float], retention_s: float
    ) -> None:
        self._directory, self._members, self._clock, self._retention_s = directory, members, clock, retention_s
        self._lost: dict[Home, float] = {}  # until when each keeps its seat, in that order

    def lost(self, node: NodeId, life: bytes) -> None:
        """A node failed, or has a new life without having left in the old one."""
        self._lost.pop((node, life), None)
        self._lost[node, life] = self._clock() + self._retention_s
        if len(self._lost) > MAX_LOST:
            del self._lost[next(iter(self._lost))]

    def of(self, key: str) -> list[Home]:
        """The seats for a key, each with the life that holds it, in the key's order.

        That is the one in which the node is, or one that was lost within the retention. A member that has not said yet
        in which life it is has an empty one.
        """
        self._expire()
        holders = {node: self._directory.life(node) for node in self._members()}
        holders |= {node: life for node, life in self._lost if life != holders.get(node)}
        return [(node, holders[node]) for node in in_order_of(key, holders)[:ELECTORS]]

    def ballot(self, key: str, me: Home) -> Ballot:
        """An empty one, of the node that is about to run a call with the key."""
        seats = self.of(key)
        return Ballot(seats, me, [node for node, _ in seats if node != me[0] and node in self._members()])

    def is_there(self, home: Home) -> bool:
        """Whether the node is a member in that life, as far as is known."""
        return home[0] in self._members() and self._directory.life(home[0]) in (home[1], b"")

    def is_lost(self, home: Home) -> bool:
        """Whether that life is known to have ended without a word; one that was never heard of is not."""
        return home in self._lost

    def _expire(self) -> None:
        now = self._clock()
        while self._lost and self._lost[first := next(iter(self._lost))] <= now:
            del self._lost[first]
