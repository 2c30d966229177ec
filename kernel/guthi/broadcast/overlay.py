"""Decides who is whose neighbour: those beside one another on three rings, each of which orders all members otherwise.

Every node has the whole list of members, so neighbours need no negotiation: each node works its own out, and nodes
with equal lists agree. The rings order members by three disjoint parts of their ids, which are hashes, so that each
ring is a random one. Their union is a random graph of degree six, an H-graph (Law and Siu 2003, "Distributed
Construction of Random Expander Networks"): each ring alone connects everybody, together they are an expander with paths
of about log5 n hops. A change of the membership concerns six nodes, whatever their number.

A suspected member may be alive and may be dead. So on each side the neighbours are the nearest member that is present,
and if that one is suspected the nearest ALIVE one besides: the suspected are still reached, and the others closed the
ring without them. The degree is at most 12.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

from guthi.api import NodeId
from guthi.membership.members import Member, MemberState

__all__ = ["RINGS", "Overlay"]

RINGS = 3
PART_BYTES = 5
CIRCLE = 1 << 8 * PART_BYTES


def _position(id: NodeId, ring: int) -> bytes:
    return id[ring * PART_BYTES : (ring + 1) * PART_BYTES]


def _distance(start: NodeId, end: NodeId, ring: int) -> int:
    """How far it is around a ring, forwards."""
    return (int.from_bytes(_position(end, ring), "big") - int.from_bytes(_position(start, ring), "big")) % CIRCLE


class Overlay:
    """The neighbours of one node. `members` gives all others that are present."""

    def __init__(self, me: NodeId, members: Callable[[], Sequence[Member]]) -> None:
        self._me, self._members = me, members
        self._neighbours: tuple[NodeId, ...] | None = None  # sorted; None: to be worked out
        self._reaches: list[tuple[int, int]] = []  # for each ring: how far the neighbours are, backwards and forwards

    @property
    def neighbours(self) -> tuple[NodeId, ...]:
        """Sorted by id. They are worked out at the first use, and kept until a change concerns them."""
        if self._neighbours is None:
            self._neighbours = self._worked_out()
        return self._neighbours

    def update(self, member: Member) -> list[NodeId]:
        """Something happened to a member; returns the neighbours that are new because of it, sorted."""
        if self._neighbours is None or not self._concerns(member):
            return []
        before = self._neighbours
        self._neighbours = self._worked_out()
        return [id for id in self._neighbours if id not in before]

    def _concerns(self, member: Member) -> bool:
        assert self._neighbours is not None
        if member.id in self._neighbours:
            return True
        return member.is_present and any(
            _distance(member.id, self._me, ring) <= back or _distance(self._me, member.id, ring) <= forth
            for ring, (back, forth) in enumerate(self._reaches)
        )

    def _worked_out(self) -> tuple[NodeId, ...]:
        states = {member.id: member.state for member in self._members()}
        neighbours: set[NodeId] = set()
        self._reaches = []
        for ring in range(RINGS):
            forwards = _around(self._me, states, ring)
            before, after = _nearest(reversed(forwards), states), _nearest(forwards, states)
            neighbours.update(before, after)
            back = _distance(before[-1], self._me, ring) if before else CIRCLE
            forth = _distance(self._me, after[-1], ring) if after else CIRCLE
            self._reaches.append((back, forth))
        return tuple(sorted(neighbours))


def _around(me: NodeId, ids: Iterable[NodeId], ring: int) -> list[NodeId]:
    """All others in the order of the ring, from this node on."""
    ordered = sorted((_position(id, ring), id) for id in ids)
    first = bisect_left(ordered, (_position(me, ring), me))
    return [id for _, id in ordered[first:] + ordered[:first]]


def _nearest(outwards: Iterable[NodeId], states: dict[NodeId, MemberState]) -> list[NodeId]:
    """The first, and if that one is suspected the first ALIVE one."""
    nearest: list[NodeId] = []
    for id in outwards:
        if not nearest or states[id] is MemberState.ALIVE:
            nearest.append(id)
        if states[id] is MemberState.ALIVE:
            break
    return nearest
