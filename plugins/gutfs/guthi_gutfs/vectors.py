"""Decides which of two versions of a file is newer, or that neither knew the other: version vectors.

D. S. Parker et al., "Detection of mutual inconsistency in distributed systems", IEEE Transactions on Software
Engineering 9(3), 1983. A vector has a count for each node that has changed the file. A version is newer than another if
none of its counts is less and one is greater; if each has a count that is greater, they were made without knowledge of
one another: they are concurrent.

A node that changes the file raises its own count to the seconds since 1970, or by one if that is more. So a node that
has lost its memory does not count from one again, which would make its next change look old.

A vector has at most `MOST_WRITERS` counts. Beyond, the count that has not been raised for longest is forgotten. A node
that has not heard of that change by then may take its own, concurrent one for newer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Any

from guthi import MalformedMessage, NodeId

__all__ = ["MOST_WRITERS", "Order", "VersionVector"]

MOST_WRITERS = 256
COUNT_LIMIT = 2**62


class Order(Enum):
    """How one version stands to another."""

    EQUAL = "equal"
    OLDER = "older"
    NEWER = "newer"
    CONCURRENT = "concurrent"


_ORDERS = {
    (False, False): Order.EQUAL,
    (False, True): Order.OLDER,
    (True, False): Order.NEWER,
    (True, True): Order.CONCURRENT,
}


@dataclass(frozen=True, slots=True)
class VersionVector:
    """The counts of those that have changed a file, sorted by node."""

    counts: tuple[tuple[NodeId, int], ...] = ()

    def bumped(self, node: NodeId, at_s: int) -> VersionVector:
        """The version that follows, made by a node at a time in seconds since 1970."""
        counts = dict(self.counts)
        counts[node] = max(counts.get(node, 0) + 1, at_s)
        return _vector(counts)

    def merged(self, other: VersionVector) -> VersionVector:
        """The least version that is as new as both."""
        counts = dict(self.counts)
        for node, count in other.counts:
            counts[node] = max(counts.get(node, 0), count)
        return _vector(counts)

    def compared(self, other: VersionVector) -> Order:
        """Whether this version is older or newer than another."""
        if self.counts == other.counts:
            return Order.EQUAL
        mine, theirs = dict(self.counts), dict(other.counts)
        has_more = any(count > theirs.get(node, 0) for node, count in self.counts)
        has_less = any(count > mine.get(node, 0) for node, count in other.counts)
        return _ORDERS[has_more, has_less]

    def to_wire(self) -> list[Any]:
        """The positional list that `from_wire` reads."""
        return [part for node, count in self.counts for part in (bytes(node), count)]

    @classmethod
    def from_wire(cls, wire: object) -> VersionVector:
        """Read what a peer says; raises MalformedMessage."""
        if not isinstance(wire, list) or len(wire) % 2 or len(wire) > 2 * MOST_WRITERS:
            raise MalformedMessage("a version vector is a list of nodes, each with its count")
        counts = tuple((_node(node), _count(count)) for node, count in zip(wire[::2], wire[1::2], strict=True))
        if any(one[0] >= other[0] for one, other in pairwise(counts)):
            raise MalformedMessage("the nodes of a version vector are sorted, each of them once")
        return cls(counts)


def _vector(counts: dict[NodeId, int]) -> VersionVector:
    if len(counts) > MOST_WRITERS:
        kept = sorted(counts.items(), key=lambda item: (item[1], item[0]))[-MOST_WRITERS:]
        return VersionVector(tuple(sorted(kept)))
    return VersionVector(tuple(sorted(counts.items())))


def _node(wire: object) -> NodeId:
    if not isinstance(wire, bytes) or len(wire) != NodeId.SIZE:
        raise MalformedMessage("a version vector names a node by other than its id")
    return NodeId(wire)


def _count(wire: object) -> int:
    if type(wire) is not int or not 1 <= wire < COUNT_LIMIT:
        raise MalformedMessage("a version vector has a count that is none")
    return wire
