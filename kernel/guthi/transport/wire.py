"""The bytes of a session datagram: its clear header and the frames that are sealed behind it.

    header   kind u8 = 0x02 | receiver index u32 | key epoch u8 | packet number u64    (clear, authenticated)
    frames   one after the other until the sealed payload ends                        (AES-256-GCM, 16-byte tag)

| frame    | code | fields after the code (big-endian)                                                   |
|----------|------|--------------------------------------------------------------------------------------|
| PADDING  | 0x00 | none: fills a probe of the path up to its size                                       |
| PING     | 0x01 | none: asks for an acknowledgement                                                    |
| ACK      | 0x02 | delay in µs u32, count u16, then count times (lowest u64, highest u64), highest first |
| MESSAGE  | 0x03 | channel u32, sequence u64, length u32, bytes: a whole message                        |
| FRAGMENT | 0x04 | channel u32, sequence u64, total u64, offset u64, length u32, bytes                   |
| ABANDON  | 0x05 | channel u32, sequence u64, total u64: the sender gives this message up                |
| CREDIT   | 0x06 | counted bytes u64, bulk messages u64: how much may be sent in all, ever               |
| CLOSE    | 0x07 | code u16, length u16, reason in UTF-8                                                |
| ACK_ECN  | 0x08 | as ACK; then how many packets came in all marked ECT(0) u64, ECT(1) u64, CE u64       |

A decoder meets authenticated bytes only, yet trusts none: whatever does not fit raises MalformedMessage.
The AEAD nonce is four zero bytes and the packet number, as in the Noise specification, section 12; the key epoch says
under which key (see `keys`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from struct import Struct
from struct import error as StructError
from typing import NamedTuple, TypeAlias

from guthi.api import Buffer
from guthi.errors import MalformedMessage

__all__ = [
    "EPOCHS",
    "FRAGMENT_OVERHEAD_BYTES",
    "HEADER",
    "HEADER_EPOCH",
    "MAX_ACK_RANGES",
    "MESSAGE_OVERHEAD_BYTES",
    "PING",
    "SESSION_KIND",
    "TAG_BYTES",
    "Abandon",
    "Ack",
    "Close",
    "CloseCode",
    "Credit",
    "EcnCounts",
    "Fragment",
    "Frame",
    "Message",
    "Ping",
    "decode_frames",
    "encode_abandon",
    "encode_ack",
    "encode_close",
    "encode_credit",
    "encode_padding",
    "fragment_header",
    "message_header",
]

SESSION_KIND = 0x02
HEADER = Struct(">BIBQ")
HEADER_EPOCH = 5  # where the epoch stands
EPOCHS = 256  # the header tells epochs apart modulo this
TAG_BYTES = 16
MAX_ACK_RANGES = 64
MAX_REASON_BYTES = 512

_PADDING, _PING, _ACK, _MESSAGE, _FRAGMENT, _ABANDON, _CREDIT, _CLOSE, _ACK_ECN = range(9)

_ACKS = (_ACK, _ACK_ECN)

PING = bytes([_PING])

_ack_struct = Struct(">BIH")
_range_struct = Struct(">QQ")
_single_ack_struct = Struct(">BIHQQ")  # the ordinary one: nothing is missing
_counts_struct = Struct(">QQQ")
_message_struct = Struct(">BIQI")
_fragment_struct = Struct(">BIQQQI")
_abandon_struct = Struct(">BIQQ")
_credit_struct = Struct(">BQQ")
_close_struct = Struct(">BHH")

MESSAGE_OVERHEAD_BYTES = _message_struct.size
FRAGMENT_OVERHEAD_BYTES = _fragment_struct.size


class CloseCode(IntEnum):
    """Why a session was closed."""

    DONE = 0
    BREACH = 1
    REPLACED = 2
    REFUSED = 3


class Ping(NamedTuple):
    """Asks for an acknowledgement and carries nothing else."""


class EcnCounts(NamedTuple):
    """How many packets arrived with each mark since the session began."""

    ect0: int
    ect1: int
    ce: int


class Ack(NamedTuple):
    """Packets received: closed ranges (lowest, highest), highest range first, and how long the answer was held back."""

    ranges: tuple[tuple[int, int], ...]
    delay_us: int
    counts: EcnCounts | None = None


class Message(NamedTuple):
    """A whole message."""

    channel: int
    sequence: int
    body: Buffer


class Fragment(NamedTuple):
    """A piece of a message of `total` bytes."""

    channel: int
    sequence: int
    total: int
    offset: int
    body: Buffer


class Abandon(NamedTuple):
    """The sender gives a message up; who waits for it waits no longer. `total` is 0 if none of it was ever sent."""

    channel: int
    sequence: int
    total: int


class Credit(NamedTuple):
    """How many counted bytes and bulk messages the peer may send in all since the session began."""

    counted_bytes: int
    bulk_messages: int


class Close(NamedTuple):
    """The session is over."""

    code: int
    reason: str


Frame: TypeAlias = Ping | Ack | Message | Fragment | Abandon | Credit | Close


def encode_ack(ranges: Sequence[tuple[int, int]], delay_us: int, counts: EcnCounts | None = None) -> bytes:
    """An ACK frame from closed ranges, highest first, at most MAX_ACK_RANGES of them; with `counts`, ACK_ECN."""
    if counts is None and len(ranges) == 1:
        return _single_ack_struct.pack(_ACK, min(delay_us, 0xFFFFFFFF), 1, *ranges[0])
    packed = b"".join([_range_struct.pack(lowest, highest) for lowest, highest in ranges])
    code = _ACK if counts is None else _ACK_ECN
    start = _ack_struct.pack(code, min(delay_us, 0xFFFFFFFF), len(packed) // _range_struct.size)
    return start + packed if counts is None else start + packed + _counts_struct.pack(*counts)


def message_header(channel: int, sequence: int, length: int) -> bytes:
    """What stands before the bytes of a whole message."""
    return _message_struct.pack(_MESSAGE, channel, sequence, length)


def fragment_header(channel: int, sequence: int, total: int, offset: int, length: int) -> bytes:
    """What stands before the bytes of a fragment."""
    return _fragment_struct.pack(_FRAGMENT, channel, sequence, total, offset, length)


def encode_abandon(channel: int, sequence: int, total: int) -> bytes:
    """An ABANDON frame."""
    return _abandon_struct.pack(_ABANDON, channel, sequence, total)


def encode_credit(counted_bytes: int, bulk_messages: int) -> bytes:
    """A CREDIT frame."""
    return _credit_struct.pack(_CREDIT, counted_bytes, bulk_messages)


def encode_close(code: int, reason: str) -> bytes:
    """A CLOSE frame; an over-long reason is cut."""
    text = reason.encode(errors="replace")[:MAX_REASON_BYTES]
    return _close_struct.pack(_CLOSE, code, len(text)) + text


def encode_padding(size_bytes: int) -> bytes:
    """So many PADDING frames."""
    return bytes(size_bytes)


def decode_frames(payload: Buffer) -> list[Frame]:
    """All frames of an opened datagram, or MalformedMessage: a payload is good as a whole or not at all.

    Message bodies are views of `payload`, not copies.
    """
    view = memoryview(payload)
    frames: list[Frame] = []
    at, end = 0, len(view)
    try:
        while at < end:
            code = view[at]
            if code == _MESSAGE:
                _, channel, sequence, length = _message_struct.unpack_from(view, at)
                begin = at + MESSAGE_OVERHEAD_BYTES
                at = begin + length
                if at > end:
                    raise _cut_short(length, end - begin)
                frames.append(Message(channel, sequence, view[begin:at]))
            elif code in _ACKS:
                ack, at = _decode_ack(code, view, at)
                frames.append(ack)
            elif code == _FRAGMENT:
                _, channel, sequence, total, offset, length = _fragment_struct.unpack_from(view, at)
                at += FRAGMENT_OVERHEAD_BYTES
                frames.append(_fragment(channel, sequence, total, offset, _piece(view, at, length)))
                at += length
            elif code == _PADDING:
                at = end - len(bytes(view[at:]).lstrip(b"\0"))
            else:
                frame, at = _decode_control(code, view, at)
                frames.append(frame)
    except StructError as error:
        raise MalformedMessage(f"a frame is cut short: {error}") from None
    return frames


def _piece(view: memoryview, at: int, length: int) -> memoryview:
    if at + length > len(view):
        raise _cut_short(length, len(view) - at)
    return view[at : at + length]


def _cut_short(claimed_bytes: int, left_bytes: int) -> MalformedMessage:
    return MalformedMessage(f"a frame claims {claimed_bytes} bytes where {left_bytes} are left")


def _fragment(channel: int, sequence: int, total: int, offset: int, body: memoryview) -> Fragment:
    if not body or offset + len(body) > total:
        raise MalformedMessage(f"a fragment of {len(body)} bytes at {offset} does not fit a message of {total}")
    return Fragment(channel, sequence, total, offset, body)


def _decode_control(code: int, view: memoryview, at: int) -> tuple[Frame, int]:
    if code == _PING:
        return Ping(), at + 1
    if code == _CREDIT:
        _, counted_bytes, bulk_messages = _credit_struct.unpack_from(view, at)
        return Credit(counted_bytes, bulk_messages), at + _credit_struct.size
    if code == _ABANDON:
        _, channel, sequence, total = _abandon_struct.unpack_from(view, at)
        return Abandon(channel, sequence, total), at + _abandon_struct.size
    if code == _CLOSE:
        _, reason_code, length = _close_struct.unpack_from(view, at)
        at += _close_struct.size
        return Close(reason_code, str(_piece(view, at, length), "utf-8", "replace")), at + length
    raise MalformedMessage(f"no frame has the code 0x{code:02x}")


def _decode_ack(code: int, view: memoryview, at: int) -> tuple[Ack, int]:
    if code == _ACK and len(view) - at >= _single_ack_struct.size:
        _, delay_us, count, lowest, highest = _single_ack_struct.unpack_from(view, at)
        if count == 1 and lowest <= highest:
            return Ack(((lowest, highest),), delay_us), at + _single_ack_struct.size
    _, delay_us, count = _ack_struct.unpack_from(view, at)
    at += _ack_struct.size
    if not 1 <= count <= MAX_ACK_RANGES:
        raise MalformedMessage(f"an ACK with {count} ranges")
    stop = at + count * _range_struct.size
    ranges = tuple(_range_struct.iter_unpack(_piece(view, at, stop - at)))
    ceiling = 1 << 64
    for lowest, highest in ranges:
        if not lowest <= highest < ceiling:
            raise MalformedMessage("the ranges of an ACK are not in descending order")
        ceiling = lowest
    if code == _ACK:
        return Ack(ranges, delay_us), stop
    return Ack(ranges, delay_us, EcnCounts(*_counts_struct.unpack_from(view, stop))), stop + _counts_struct.size
