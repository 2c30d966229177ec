"""What a session is told when it begins, and what it tells: its settings, and events of datagrams and of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from guthi.api import Address, Buffer
from guthi.transport.keys import EPOCH_PACKETS, EPOCH_S

__all__ = ["MessageReceived", "SessionClosed", "SessionEvent", "SessionLost", "SessionMoved", "SessionSettings"]


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Times in seconds and sizes in bytes that a session keeps to; a key serves for `epoch_packets` or `epoch_s`."""

    keepalive_s: float = 5.0
    timeout_s: float = 10.0
    max_message_bytes: int = 1 << 30
    idle_s: float = 60.0
    epoch_packets: int = EPOCH_PACKETS
    epoch_s: float = EPOCH_S


class MessageReceived(NamedTuple):
    """A message arrived, whole and for the first time; `body` is the receiver's to keep."""

    channel: int
    body: Buffer


@dataclass(frozen=True, slots=True)
class SessionClosed:
    """The session was closed by either side; nothing more comes."""

    code: int
    reason: str
    by_peer: bool


@dataclass(frozen=True, slots=True)
class SessionLost:
    """The peer fell silent."""

    reason: str


@dataclass(frozen=True, slots=True)
class SessionMoved:
    """The peer is at another address: what was sent there has been acknowledged."""

    address: Address


SessionEvent: TypeAlias = MessageReceived | SessionClosed | SessionLost | SessionMoved
