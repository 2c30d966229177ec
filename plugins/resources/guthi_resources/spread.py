"""Decides who tells whom which samples: every node hears of every other once a change, in few and small messages.

The members stand on a ring, sorted by id. A node tells those 1, 2, 4, 8 … places further on, each at most once a tick,
and the one 2^k places on only of origins that stand fewer than 2^k places behind itself, or of itself. So a sample
travels from its origin to the node d places on by the binary digits of d, the smallest first, and by no other way:
each node is told each sample once, by at most log2 n messages a tick and node, with what is new put together in them.
This is the dissemination of Hensgen, Finkel and Manber ("Two algorithms for barrier synchronization", 1988), without
rounds: the state of the ring, not a round's number, says what belongs where.

What is said here is not promised: while members see different rings, a node may miss a sample. The next change, or at
the latest REFRESH_S, brings a newer one. Who joins asks somebody for all (see `service`).

To bound what passes through a node, an origin tells the more seldom the more members there are: with n members, a
record of RECORD_BYTES and a budget of b bytes a second, each RECORD_BYTES * n / b seconds.

A record is its origin, a version that its origin raises, and a sample. Of two, the higher version wins, unless the one
that is known is so old that its origin must have begun anew with its clock behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from guthi import NodeId
from guthi_resources.sample import Sample, differs

__all__ = ["REFRESH_S", "TICK_S", "Record", "Send", "Spread"]

TICK_S = 1.0
REFRESH_S = 20.0
STALE_S = 3 * REFRESH_S
RECORD_BYTES = 100
MOST_RECORDS = 512
"""In one message; what is left over goes with the next tick."""


class Record(NamedTuple):
    """What one node says of itself."""

    origin: NodeId
    version: int
    sample: Sample


class Send(NamedTuple):
    """Tell a peer these records."""

    peer: NodeId
    records: list[Record]


class _Known(NamedTuple):
    record: Record
    came: int  # as how many-th of all that came here
    came_at: float


class Spread:
    """One node's part; `budget_bytes_s` is what may pass through it in the long run, in each direction."""

    def __init__(self, me: NodeId, budget_bytes_s: float) -> None:
        self._me, self._budget_bytes_s = me, budget_bytes_s
        self._ring: list[NodeId] = [me]
        self._place: dict[NodeId, int] = {me: 0}
        self._known: dict[NodeId, _Known] = {}  # in the order of coming
        self._count = 0
        self._told: list[int] = []  # for each power of two, up to which of those that came
        self._published_at = float("-inf")

    # ---- the ring

    def set_ring(self, others: Iterable[NodeId]) -> None:
        """Who takes part, beside this node. What is known of anybody else is kept until `forget`."""
        self._ring = sorted({*others, self._me})
        self._place = {id: place for place, id in enumerate(self._ring)}
        powers = (len(self._ring) - 1).bit_length()
        self._told = (self._told + [0] * powers)[:powers]

    def forget(self, origin: NodeId) -> None:
        """It has left."""
        self._known.pop(origin, None)

    # ---- what is known

    def record(self, origin: NodeId) -> Record | None:
        """What is known of a node."""
        known = self._known.get(origin)
        return known.record if known is not None else None

    def records(self) -> list[Record]:
        """All that is known, sorted by origin."""
        return [self._known[origin].record for origin in sorted(self._known)]

    def is_worth_telling(self, sample: Sample, now: float) -> bool:
        """Whether this node's new sample is to be published: it is new enough, and its turn has come."""
        known = self._known.get(self._me)
        since_s = now - self._published_at
        if known is None:
            return True
        if since_s < RECORD_BYTES * len(self._ring) / self._budget_bytes_s:
            return False
        return since_s >= REFRESH_S or differs(known.record.sample, sample)

    def publish(self, sample: Sample, version: int, now: float) -> Record:
        """This node's new sample; its version is at least `version`, and higher than the one before."""
        known = self._known.get(self._me)
        if known is not None:
            version = max(version, known.record.version + 1)
        self._published_at = now
        record = Record(self._me, version, sample)
        self._keep(record, now)
        return record

    def receive(self, record: Record, now: float) -> bool:
        """Somebody tells a record; whether it is news."""
        known = self._known.get(record.origin)
        if record.origin == self._me:
            return False
        if known is not None and record.version <= known.record.version and now - known.came_at < STALE_S:
            return False
        self._keep(record, now)
        return True

    def _keep(self, record: Record, now: float) -> None:
        self._count += 1
        self._known.pop(record.origin, None)  # so that it is the last one
        self._known[record.origin] = _Known(record, self._count, now)

    # ---- what is told

    def due(self, is_writable: Callable[[NodeId], bool]) -> Iterator[Send]:
        """What is to be sent at this tick; who takes nothing more is told later, the newest only."""
        for power, told in enumerate(self._told):
            peer = self._ring[(self._place[self._me] + (1 << power)) % len(self._ring)]
            if not is_writable(peer):
                continue
            records, self._told[power] = self._news(power, told)
            if records:
                yield Send(peer, records)

    def _news(self, power: int, told: int) -> tuple[list[Record], int]:
        """What came after `told` and belongs on this way, oldest first, and up to which it is told then."""
        fresh: list[_Known] = []
        for known in reversed(self._known.values()):
            if known.came <= told:
                break
            if self._belongs(known.record.origin, power):
                fresh.append(known)
        if len(fresh) <= MOST_RECORDS:
            return [known.record for known in reversed(fresh)], self._count
        first = fresh[-MOST_RECORDS:]
        return [known.record for known in reversed(first)], first[0].came

    def _belongs(self, origin: NodeId, power: int) -> bool:
        place, size = self._place.get(origin), len(self._ring)
        if place is None:
            return False
        behind = (self._place[self._me] - place) % size
        return behind < 1 << power and behind + (1 << power) < size
