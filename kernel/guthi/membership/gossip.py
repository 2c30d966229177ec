"""What the datagrams of membership say.

A message is the CBOR list [kind, record, record, ...], each record a byte string (see `records`); a Hello and a Welcome
begin with their sender's own record. A Comparison is [kind, record, fingerprint], a Refusal [kind, record, reason].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cbor2

from guthi.errors import MalformedMessage
from guthi.membership.members import Member
from guthi.membership.records import decoded, encode_record, plain_cbor

__all__ = [
    "ENVELOPE_BYTES",
    "HEAD_BYTES",
    "MESSAGE_LIMIT_BYTES",
    "Comparison",
    "Gossip",
    "Hello",
    "Message",
    "Refusal",
    "Welcome",
    "decode_message",
    "encode_comparison",
    "encode_message",
    "encode_refusal",
]


MESSAGE_LIMIT_BYTES = 65536
ENVELOPE_BYTES = 4
"""What a message takes besides its records: the list's head and the kind."""
HEAD_BYTES = 3
"""What a record takes besides its own bytes: the head of the byte string."""
FINGERPRINT_BYTES = 16
REASON_LIMIT_CHARACTERS = 300


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


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to the Hello of somebody who cannot be a member here, and why, as people of that node read it."""

    record: Member
    reason: str

    @property
    def records(self) -> tuple[Member, ...]:
        return (self.record,)


Message: TypeAlias = Hello | Welcome | Gossip | Comparison | Refusal

_COMPARISON, _REFUSAL = 4, 5
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


def encode_refusal(record: Member, reason: str) -> bytes:
    """A Refusal with the sender's own record; a reason that is too long is cut."""
    return cbor2.dumps([_REFUSAL, encode_record(record), reason[:REASON_LIMIT_CHARACTERS]])


def decode_message(data: bytes) -> Message:
    """Read a datagram's content; raises MalformedMessage, and nothing else, on whatever is not a message."""
    if len(data) > MESSAGE_LIMIT_BYTES:
        raise MalformedMessage(f"a gossip message is longer than {MESSAGE_LIMIT_BYTES} bytes")
    items = plain_cbor(data, 1)
    if type(items) is not list or len(items) < 2 or type(items[0]) is not int:
        raise MalformedMessage("a gossip message is not a list of a kind and records")
    if items[0] == _COMPARISON:
        return _comparison(items)
    if items[0] == _REFUSAL:
        return _refusal(items)
    reader = _READERS.get(items[0])
    if reader is None:
        raise MalformedMessage(f"no gossip message has the kind {items[0]}")
    return reader([decoded(item) for item in items[1:]])


def _comparison(items: Sequence[object]) -> Comparison:
    fingerprint = items[-1]
    if len(items) != 3 or type(fingerprint) is not bytes or len(fingerprint) != FINGERPRINT_BYTES:
        raise MalformedMessage("a comparison is not a record and a fingerprint")
    return Comparison(decoded(items[1]), int.from_bytes(fingerprint, "big"))


def _refusal(items: Sequence[object]) -> Refusal:
    reason = items[-1]
    if len(items) != 3 or type(reason) is not str or len(reason) > REASON_LIMIT_CHARACTERS or not reason.isprintable():
        raise MalformedMessage("a refusal is not a record and a reason")
    return Refusal(decoded(items[1]), reason)
