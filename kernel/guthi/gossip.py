"""What one gossip datagram says, and which news it carries.

A message is the CBOR list [kind, record, record, ...]; a Hello and a Welcome begin with their sender's own record.
Records are encoded once and kept as bytes while they are being spread, so that a datagram is put together by
concatenation.

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
from io import BytesIO
from typing import NoReturn, TypeAlias

import cbor2

from guthi.api import NodeId
from guthi.errors import MalformedMessage, UsageError
from guthi.members import Member

__all__ = [
    "ENVELOPE_BYTES",
    "MESSAGE_LIMIT_BYTES",
    "Discovery",
    "Gossip",
    "GossipSettings",
    "Hello",
    "Message",
    "RumourQueue",
    "Welcome",
    "decode_message",
    "encode_message",
    "encode_record",
    "transmissions",
]


class Discovery(Enum):
    """GOSSIP: all whom any member knows. STATIC: only those met directly, by the list of addresses or by theirs."""

    GOSSIP = "gossip"
    STATIC = "static"


@dataclass(frozen=True, slots=True)
class GossipSettings:
    """The machine's figures; the defaults are memberlist's for a local network.

    Syncs begin `first_sync_s` after the first other member was seen and slow down to one each `sync_interval_s`:
    nodes often join together, and gossip alone leaves each a small chance to miss one of the others.
    """

    interval_s: float = 0.2
    fanout: int = 3
    retransmit_multiplier: int = 4
    first_sync_s: float = 1.0
    sync_interval_s: float = 30.0
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

_DEPTH_LIMIT = 4  # message, record, addresses, address


@dataclass(frozen=True, slots=True)
class Hello:
    """The sender introduces itself to an address and wants a Welcome; `more` is what it says of others."""

    record: Member
    more: tuple[Member, ...] = ()

    @property
    def records(self) -> tuple[Member, ...]:
        return (self.record, *self.more)


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer to a Hello; `more` is what the sender says of others, or of the one who said hello."""

    record: Member
    more: tuple[Member, ...] = ()

    @property
    def records(self) -> tuple[Member, ...]:
        return (self.record, *self.more)


@dataclass(frozen=True, slots=True)
class Gossip:
    """News about anybody, the sender and the receiver included."""

    records: tuple[Member, ...]


Message: TypeAlias = Hello | Welcome | Gossip

_KINDS: Mapping[type[Message], int] = {Hello: 1, Welcome: 2, Gossip: 3}
_READERS: Mapping[int, Callable[[Sequence[Member]], Message]] = {
    1: lambda records: Hello(records[0], tuple(records[1:])),
    2: lambda records: Welcome(records[0], tuple(records[1:])),
    3: lambda records: Gossip(tuple(records)),
}


def encode_record(record: Member) -> bytes:
    """A record's CBOR, as it stands in a message."""
    return cbor2.dumps(record.to_wire())


def encode_message(kind: type[Message], records: Sequence[bytes]) -> bytes:
    """A message of records that are already encoded; in a Hello and a Welcome the first is the sender's."""
    return _list_head(1 + len(records)) + bytes([_KINDS[kind]]) + b"".join(records)


def _list_head(length: int) -> bytes:
    """The head of a CBOR array (RFC 8949, section 3): major type 4 and the shortest form of the length."""
    if length < 24:
        return bytes([0x80 | length])
    if length < 256:
        return bytes([0x98, length])
    return b"\x99" + length.to_bytes(2, "big")


def decode_message(data: bytes) -> Message:
    """Read a datagram's content; raises MalformedMessage, and nothing else, on whatever is not a message."""
    items = _decode_list(data)
    if type(items[0]) is not int or items[0] not in _READERS or len(items) < 2:
        raise MalformedMessage("a gossip message has an unknown kind or no record")
    return _READERS[items[0]]([Member.from_wire(item) for item in items[1:]])


def _decode_list(data: bytes) -> list[object]:
    if len(data) > MESSAGE_LIMIT_BYTES:
        raise MalformedMessage(f"a gossip message is longer than {MESSAGE_LIMIT_BYTES} bytes")
    stream = BytesIO(data)
    decoder = cbor2.CBORDecoder(
        stream,
        tag_hook=_refuse,
        object_hook=_refuse,
        semantic_decoders=_NoTags(),
        max_depth=_DEPTH_LIMIT,
        allow_indefinite=False,
        strict_hashable_types=True,
    )
    try:
        items = decoder.decode()
    except cbor2.CBORError as error:
        raise MalformedMessage(f"a gossip message is not plain CBOR: {error}") from error
    if not isinstance(items, list) or not items or stream.tell() != len(data):
        raise MalformedMessage("a gossip message is not one list")
    return items


def _refuse(*_: object) -> NoReturn:
    raise ValueError("neither tags nor maps belong here")


class _NoTags(dict[int, Callable[..., NoReturn]]):
    """Turns off every tag that cbor2 knows: some of them compute at length, or build cycles."""

    def __missing__(self, tag: int) -> Callable[..., NoReturn]:
        return _refuse


def transmissions(multiplier: int, member_count: int) -> int:
    """How often one node sends one piece of news, in a network of that many members."""
    return multiplier * math.ceil(math.log10(member_count + 1))


@dataclass(slots=True, order=True)
class _Rumour:
    sent: int
    age_rank: int  # falls with each new rumour, so that the newest comes first
    subject: NodeId
    encoded: bytes


class RumourQueue:
    """The news that this node still has to spread, at most one record a member."""

    def __init__(self, multiplier: int) -> None:
        self._multiplier = multiplier
        self._newest: dict[NodeId, _Rumour] = {}
        self._heap: list[_Rumour] = []
        self._age_rank = 0

    def __len__(self) -> int:
        return len(self._newest)

    def add(self, record: Member) -> None:
        """Spread this record, and no longer what was being said of the same member."""
        self._age_rank -= 1
        rumour = _Rumour(0, self._age_rank, record.id, encode_record(record))
        self._newest[record.id] = rumour
        heappush(self._heap, rumour)
        if len(self._heap) > 2 * len(self._newest) + 16:  # replaced ones are left behind in the heap
            self._heap = list(self._newest.values())
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
            is_newest = self._newest.get(rumour.subject) is rumour
            if is_newest and rumour.subject == but_of:
                passed_over.append(rumour)
            elif is_newest:
                if len(rumour.encoded) > budget_bytes and len(taken) >= at_least:
                    break
                budget_bytes -= len(rumour.encoded)
                taken.append(rumour)
            heappop(self._heap)
        limit = transmissions(self._multiplier, member_count)
        for rumour in taken:
            self._count(rumour, limit)
        for rumour in passed_over:
            heappush(self._heap, rumour)
        return [rumour.encoded for rumour in taken]

    def _count(self, rumour: _Rumour, limit: int) -> None:
        rumour.sent += 1
        if rumour.sent < limit:
            heappush(self._heap, rumour)
        else:
            del self._newest[rumour.subject]
