"""What one gossip datagram says, and which news it carries.

A message is the CBOR list [kind, record, record, ...], each record a byte string (see `records`); a Hello and a Welcome
begin with their sender's own record. A Comparison is [kind, record, fingerprint].

News is spread by piggybacking (SWIM, section 4.1): each record goes out a bounded number of times, by memberlist's
figure `multiplier * ceil(log10(n + 1))` for n members, which is what an epidemic needs to reach all of them with
high probability (`GossipSettings` has the figures). The least-sent, then the newest go first; a newer record of a
member replaces the older.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from heapq import heapify, heappop, heappush
from typing import NamedTuple, TypeAlias

import cbor2

from guthi.api import NodeId
from guthi.errors import MalformedMessage, UsageError
from guthi.membership.members import Member
from guthi.membership.records import decoded, encode_record, plain_cbor

__all__ = [
    "ENVELOPE_BYTES",
    "HEAD_BYTES",
    "MESSAGE_LIMIT_BYTES",
    "Comparison",
    "Discovery",
    "Gossip",
    "GossipSettings",
    "Hello",
    "Message",
    "RumourQueue",
    "Welcome",
    "decode_message",
    "encode_comparison",
    "encode_message",
    "transmissions",
]


class Discovery(Enum):
    """GOSSIP: all whom any member knows. STATIC: only those met directly, by the list of addresses or by theirs."""

    GOSSIP = "gossip"
    STATIC = "static"


@dataclass(frozen=True, slots=True)
class GossipSettings:
    """The machine's figures; the defaults are memberlist's for a local network.

    Comparisons begin `first_sync_s` after the first other member was seen and slow down to one each `sync_interval_s`:
    nodes often join together, and gossip alone leaves each a small chance to miss one of the others. They begin again
    when a sync has brought more than `resync_records`, because then there is more about than gossip can carry. A node
    opens one sync each `sync_spacing_s` at most because of comparisons, and sends `sync_budget_bytes` in one.
    """

    interval_s: float = 0.2
    fanout: int = 3
    retransmit_multiplier: int = 4
    first_sync_s: float = 0.5
    sync_interval_s: float = 30.0
    sync_spacing_s: float = 0.05
    sync_budget_bytes: int = 256 * 1024
    resync_records: int = 50
    datagram_budget_bytes: int = 1100
    join_retry_s: float = 0.25
    join_retry_limit_s: float = 5.0
    rejoin_interval_s: float = 30.0
    forget_s: float = 24 * 3600.0
    max_members: int = 100_000
    farewells: int = 32
    discovery: Discovery = Discovery.GOSSIP

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            if isinstance(value, int | float) and not value > 0:
                raise UsageError(f"gossip setting {setting.name} is {value}; it must be above zero")


MESSAGE_LIMIT_BYTES = 65536
ENVELOPE_BYTES = 4
"""What a message takes besides its records: the list's head and the kind."""
HEAD_BYTES = 3
"""What a record takes besides its own bytes: the head of the byte string."""
FINGERPRINT_BYTES = 16


@dataclass(frozen=True, slots=True)
class _Introduction:
    """A message that begins with its sender's own record; `more` is what it says of others."""

    record: Member
    more: tuple[Member, ...] = ()

    @property
    def records(self) -> tuple[Member, ...]:
        return (self.record, *self.more)


class Hello(_Introduction):
    """The sender introduces itself to an address and wants a Welcome."""

    __slots__ = ()


class Welcome(_Introduction):
    """The answer to a Hello; it may also tell the one who said hello what is known of it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Gossip:
    """News about anybody, the sender and the receiver included."""

    records: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The sender's table has this fingerprint; whoever's own differs swaps tables with the sender (see `sync`)."""

    record: Member
    fingerprint: int

    @property
    def records(self) -> tuple[Member, ...]:
        return (self.record,)


Message: TypeAlias = Hello | Welcome | Gossip | Comparison

_COMPARISON = 4
_KINDS: Mapping[type[Message], int] = {Hello: 1, Welcome: 2, Gossip: 3}
_READERS: Mapping[int, Callable[[Sequence[Member]], Message]] = {
    1: lambda records: Hello(records[0], tuple(records[1:])),
    2: lambda records: Welcome(records[0], tuple(records[1:])),
    3: lambda records: Gossip(tuple(records)),
}


def encode_message(kind: type[Hello | Welcome | Gossip], records: Sequence[bytes]) -> bytes:
    """A message of records that are already encoded; in a Hello and a Welcome the first is the sender's."""
    return cbor2.dumps([_KINDS[kind], *records])


def encode_comparison(record: Member, fingerprint: int) -> bytes:
    """A Comparison with the sender's own record."""
    return cbor2.dumps([_COMPARISON, encode_record(record), fingerprint.to_bytes(FINGERPRINT_BYTES, "big")])


def decode_message(data: bytes) -> Message:
    """Read a datagram's content; raises MalformedMessage, and nothing else, on whatever is not a message."""
    if len(data) > MESSAGE_LIMIT_BYTES:
        raise MalformedMessage(f"a gossip message is longer than {MESSAGE_LIMIT_BYTES} bytes")
    items = plain_cbor(data, 1)
    if type(items) is not list or len(items) < 2 or type(items[0]) is not int:
        raise MalformedMessage("a gossip message is not a list of a kind and records")
    if items[0] == _COMPARISON:
        return _comparison(items)
    reader = _READERS.get(items[0])
    if reader is None:
        raise MalformedMessage(f"no gossip message has the kind {items[0]}")
    return reader([decoded(item) for item in items[1:]])


def _comparison(items: Sequence[object]) -> Comparison:
    fingerprint = items[-1]
    if len(items) != 3 or type(fingerprint) is not bytes or len(fingerprint) != FINGERPRINT_BYTES:
        raise MalformedMessage("a comparison is not a record and a fingerprint")
    return Comparison(decoded(items[1]), int.from_bytes(fingerprint, "big"))


def transmissions(multiplier: int, member_count: int) -> int:
    """How often one node sends one piece of news, in a network of that many members."""
    return multiplier * math.ceil(math.log10(member_count + 1))


class _Rumour(NamedTuple):
    """A tuple, because those are compared fastest; no two have the same rank, so that nothing after it is compared."""

    sent: int
    age_rank: int  # falls with each new rumour, so that the newest comes first
    subject: NodeId
    encoded: bytes


class RumourQueue:
    """The news that this node still has to spread, at most one record a member."""

    def __init__(self, multiplier: int) -> None:
        self._multiplier = multiplier
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
        limit = transmissions(self._multiplier, member_count)
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
