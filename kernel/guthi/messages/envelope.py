"""Decides what stands before the body of a message between nodes: what it is for, and which request it belongs to.

    kind u8 | side u8 | topic length u16 | timeout in ms u32 (0: none) | request id u64 | topic, padded to 8 | body

| kind    | code | body                        | meaning                                                         |
|---------|------|-----------------------------|-----------------------------------------------------------------|
| CAST    | 1    | a value (see `codec`)       | for the topic's handler; no answer                              |
| REQUEST | 2    | a value                     | for the topic's handler; answered by REPLY or FAULT             |
| REPLY   | 3    | a value                     | what the handler returned                                       |
| FAULT   | 4    | an exception (see `faults`) | what the handler raised                                         |
| CANCEL  | 5    | none                        | nobody waits for that request any more                          |
| OPEN    | 6    | a value                     | a REQUEST that has a stream until it is answered or cancelled   |
| VALUE   | 7    | a value                     | the next one of the stream                                      |
| FINISH  | 8    | none                        | no more values from this side                                   |
| CREDIT  | 9    | consumed u64 | window u64   | how much of the stream was consumed, how much may be on its way |
| WAIT    | 10   | none                        | a value waits for credit                                        |
| REQUESTS | 11  | several (see `bundles`)     | as many REQUESTs for one topic                                  |
| REPLIES | 12   | several                     | as many REPLYs                                                  |

VALUE to WAIT name the stream by the id of its OPEN, and by `side`, which of the two sends: 0 the one that sent the
OPEN, 1 the one that answers it. In all other messages `side` is 0. For the last two the request id is their count.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

from guthi.api import Buffer
from guthi.errors import UsageError

__all__ = [
    "CANCEL",
    "CAST",
    "CREDIT",
    "ENVELOPE",
    "FAULT",
    "FINISH",
    "MAX_TOPIC_BYTES",
    "OPEN",
    "REPLIES",
    "REPLY",
    "REQUEST",
    "REQUESTS",
    "VALUE",
    "WAIT",
    "check_sendable",
    "is_answer",
    "is_cast",
    "milliseconds",
    "pack",
    "padded",
    "topic_of",
]

CAST, REQUEST, REPLY, FAULT, CANCEL, OPEN, VALUE, FINISH, CREDIT, WAIT, REQUESTS, REPLIES = range(1, 13)
ENVELOPE = Struct(">BBHIQ")
MAX_TIMEOUT_MS = 0xFFFFFFFF
MAX_TOPIC_BYTES = 255


def padded(topic_bytes: int) -> int:
    """The room that a topic takes."""
    return (topic_bytes + 7) & ~7


def topic_of(message: memoryview, topic_bytes: int) -> str:
    """The topic of a message; bytes that are no UTF-8 make one that nobody handles."""
    return str(message[ENVELOPE.size : ENVELOPE.size + topic_bytes], "utf-8", "replace")


def milliseconds(timeout_s: float | None) -> int:
    """A time to wait as an envelope has it."""
    return 0 if timeout_s is None else int(min(max(timeout_s * 1000, 1), MAX_TIMEOUT_MS))


def pack(kind: int, topic: str, request_id: int, timeout_ms: int = 0, side: int = 0) -> bytes:
    """What goes before the body; raises UsageError for a topic that is too long."""
    if not topic:
        return ENVELOPE.pack(kind, side, 0, timeout_ms, request_id)
    topic_bytes, name = _sent_form(topic)
    return ENVELOPE.pack(kind, side, topic_bytes, timeout_ms, request_id) + name


def check_sendable(topic: str) -> None:
    """Raises UsageError for a topic that is too long, or no text that can be sent."""
    _sent_form(topic)


@lru_cache(maxsize=256)  # a node has few topics, and says them again and again
def _sent_form(topic: str) -> tuple[int, bytes]:
    """The length of a topic, and the topic as it is sent."""
    try:
        name = topic.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{topic!r} cannot be a topic; use text without surrogates") from None
    if len(name) > MAX_TOPIC_BYTES:
        raise UsageError(f"a topic is at most {MAX_TOPIC_BYTES} bytes long, not {len(name)}")
    return len(name), name.ljust(padded(len(name)), b"\0")


def is_answer(message: Buffer) -> bool:
    """Whether a message belongs to what its receiver has asked for; not one that is too short to tell."""
    if len(message) < ENVELOPE.size:
        return False
    kind, side, *_ = ENVELOPE.unpack_from(message)
    return kind in (REPLY, FAULT, REPLIES) or side == 1


def is_cast(message: Buffer) -> bool:
    """Whether nobody waits for what comes of the message."""
    return len(message) >= ENVELOPE.size and ENVELOPE.unpack_from(message)[0] == CAST
