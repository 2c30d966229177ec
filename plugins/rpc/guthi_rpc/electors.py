"""Which nodes have to be asked whether a call with a key has run: the first few in the key's order, dead ones included.

A node that is gone may be the one that knew. So its seat stays for as long as keys are remembered: it answers no more,
and that its answer is missing counts. Two majorities of one set of seats have a node in common, and so a second attempt
finds somebody who has heard of the first. Only who has handed over what it remembers (see `handover`) leaves no seat.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from guthi.api import NodeId
from guthi_rpc.ballot import Home
from guthi_rpc.directory import Directory
from guthi_rpc.dispatch import in_order_of

__all__ = ["ELECTORS", "MAX_GONE", "Electors"]

ELECTORS = 5  # two of them may be lost
MAX_GONE = 4096


class Electors:
    """The electors as the node `me` sees them; `members` gives those that are fit for it, `clock` loop time."""

    def __init__(
        self,
        me: NodeId,
        directory: Directory,
        members: Callable[[], list[NodeId]],
        clock: Callable[[], float],
        retention_s: float,
    ) -> None:
        self._me, self._directory, self._members = me, directory, members
        self._clock, self._retention_s = clock, retention_s
        self._gone: dict[Home, float] = {}  # until when each keeps its seat
        self._released: dict[NodeId, bytes] = {}  # the life in which a node has handed over
        self.is_leaving = False

    # ---- comings and goings

    def lost(self, node: NodeId, life: bytes, for_s: float | None = None) -> None:
        """A node is gone, or has a new life; an empty life is one that was never heard of, or that is not known.

        Its seat stays for the retention, or for as long as others say that it does.
        """
        if node == self._me or (node in self._released and life in (self._released[node], b"")):
            return
        if not life and any(each == node for each, _ in self._gone):
            return
        until = self._clock() + min(self._retention_s, self._retention_s if for_s is None else for_s)
        self._gone[node, life] = max(until, self._gone.get((node, life), until))
        if len(self._gone) > MAX_GONE:
            del self._gone[min(self._gone, key=lambda home: (self._gone[home], home))]

    def released(self, node: NodeId, life: bytes) -> None:
        """A node has handed over what it remembers, and is about to leave."""
        self._released.pop(node, None)
        self._released[node] = life
        for home in [home for home in self._gone if home[0] == node]:
            del self._gone[home]
        if len(self._released) > MAX_GONE:
            del self._released[next(iter(self._released))]

    def came(self, node: NodeId) -> None:
        """A node is there, it may be in a new life."""
        self._released.pop(node, None)

    def leave(self) -> None:
        """This node is about to leave: from now on it does not count itself."""
        self.is_leaving = True

    def gone(self) -> list[tuple[NodeId, bytes, float]]:
        """The nodes that are not there and keep a seat, in which life, and for how many seconds yet; sorted."""
        self._expire()
        now, there = self._clock(), set(self._members())
        return [(*home, until - now) for home, until in sorted(self._gone.items()) if home[0] not in there]

    # ---- who they are

    def of(self, key: str, *, but_me: bool = False) -> list[Home]:
        """The seats for a key, each with the life that holds it, in the key's order.

        A member that has not said yet in which life it is has an empty one. `but_me` are those without this node.
        """
        holders = self._holders()
        if but_me:
            holders.pop(self._me, None)
        return [(node, holders[node]) for node in in_order_of(key, holders)[:ELECTORS]]

    def seats(self, node: NodeId, keys: Iterable[str]) -> list[bool]:
        """For each of the keys, whether a node has a seat."""
        holders = self._holders()
        if len(holders) <= ELECTORS:
            return [node in holders for _ in keys]
        return [node in in_order_of(key, holders)[:ELECTORS] for key in keys]

    def _holders(self) -> dict[NodeId, bytes]:
        self._expire()
        there = {node: self._directory.life(node) for node in self._members()}
        if self.is_leaving:
            del there[self._me]
        return {node: life for node, life in self._gone} | there  # noqa: C416 - keys are homes

    def there(self, nodes: Iterable[NodeId]) -> list[NodeId]:
        """Those of the nodes that can be asked."""
        members = self._members()
        return [node for node in nodes if node in members]

    def is_there(self, home: Home) -> bool:
        """Whether the node is a member in that life, as far as is known."""
        return home[0] in self._members() and self._directory.life(home[0]) in (home[1], b"")

    def is_lost(self, home: Home) -> bool:
        """Whether that life is known to have ended; one that was never heard of is not."""
        return home in self._gone

    def _expire(self) -> None:
        now = self._clock()
        if any(until <= now for until in self._gone.values()):
            self._gone = {home: until for home, until in self._gone.items() if until > now}
