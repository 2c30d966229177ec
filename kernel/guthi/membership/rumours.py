"""Which news a datagram carries: what was sent least goes first, then what is newest.

News is spread by piggybacking (SWIM, section 4.1): each node sends each record a bounded number of times, and a newer
record of a member replaces the older. The bound is the least that leaves anybody out with no more than a chosen chance.
Among n + 1 nodes that each send it c times, to one of the n others each time, one of them gets none of c * n messages
of which each comes to it with probability (1 - loss) / n. So the chance that any is left out is at most

    n * (1 - (1 - loss) / n) ** (c * n)

That is c of about (ln n + margin) / (1 - loss). memberlist's 4 * ceil(log10(n + 1)) is as much just above a power of
ten, and two thirds of it just below. `GossipSettings` has the figures; comparisons find whoever is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from guthi.api import NodeId
from guthi.membership.gossip import HEAD_BYTES
from guthi.membership.members import Member
from guthi.membership.records import encode_record

__all__ = ["RumourQueue", "transmissions"]


def transmissions(member_count: int, loss: float, miss_chance: float) -> int:
    """How often one node sends one piece of news, in a network of that many members, itself included."""
    others = max(member_count - 1, 1)
    return math.ceil(math.log(others / miss_chance) / -(others * math.log1p((loss - 1) / others)))


class _Rumour(NamedTuple):
    """A tuple, because those are compared fastest; no two have the same rank, so that nothing after it is compared."""

    sent: int
    age_rank: int  # falls with each new rumour, so that the newest comes first
    subject: NodeId
    encoded: bytes


class RumourQueue:
    """The news that this node still has to spread, at most one record a member.

    `often` says how often each is sent, in a network of so many members.
    """

    def __init__(self, often: Callable[[int], int]) -> None:
        self._often = often
        self._newest: dict[NodeId, int] = {}  # the rank of the newest rumour about each member
        self._heap: list[_Rumour] = []  # those that were replaced are left behind in it
        self._age_rank = 0

    def __len__(self) -> int:
        return len(self._newest)

    def add(self, record: Member) -> None:
        """Spread this record, and no longer what was being said of the same member."""
        self._age_rank -= 1
        self._newest[record.id] = self._age_rank
        heappush(self._heap, _Rumour(0, self._age_rank, record.id, encode_record(record)))
        if len(self._heap) > 2 * len(self._newest) + 16:
            self._heap = [rumour for rumour in self._heap if self._newest.get(rumour.subject) == rumour.age_rank]
            heapify(self._heap)

    def drop(self, subject: NodeId) -> None:
        """Say no more of this member; it has been forgotten."""
        self._newest.pop(subject, None)

    def take(
        self, budget_bytes: int, member_count: int, *, at_least: int = 0, but_of: NodeId | None = None
    ) -> list[bytes]:
        """Encoded records for one datagram, which count as sent.

        They fit the budget, but for the first `at_least`: a record longer than any budget must be able to travel.
        Nothing is taken that is about `but_of`.
        """
        taken: list[_Rumour] = []
        passed_over: list[_Rumour] = []
        while self._heap:
            rumour = self._heap[0]
            is_newest = self._newest.get(rumour.subject) == rumour.age_rank
            if is_newest and rumour.subject == but_of:
                passed_over.append(rumour)
            elif is_newest:
                size_bytes = HEAD_BYTES + len(rumour.encoded)
                if size_bytes > budget_bytes and len(taken) >= at_least:
                    break
                budget_bytes -= size_bytes
                taken.append(rumour)
            heappop(self._heap)
        limit = self._often(member_count)
        for rumour in taken:
            self._count(rumour, limit)
        for rumour in passed_over:
            heappush(self._heap, rumour)
        return [rumour.encoded for rumour in taken]

    def _count(self, rumour: _Rumour, limit: int) -> None:
        if rumour.sent + 1 < limit:
            heappush(self._heap, rumour._replace(sent=rumour.sent + 1))
        else:
            del self._newest[rumour.subject]
