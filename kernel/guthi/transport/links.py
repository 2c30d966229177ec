"""What an endpoint knows of each peer, and what passes between it and the layer above: routes, messages, events."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple, TypeAlias

from guthi.api import Address, Buffer, NodeId
from guthi.security.handshake import HandshakeFailed
from guthi.transport.outbox import Outgoing
from guthi.transport.session import Session

__all__ = [
    "DatagramArrived",
    "EndpointEvent",
    "GossipArrived",
    "Hello",
    "Link",
    "LinkState",
    "MessageArrived",
    "PeerConnected",
    "PeerDisconnected",
    "PeerMoved",
    "PostRefused",
    "Posted",
    "Route",
    "StraySession",
]


class Route(NamedTuple):
    """What is needed to open a session with a member."""

    address: Address
    public_key: bytes


class Hello(NamedTuple):
    """What a node says of itself in the handshake: bytes for the layer above, and the largest message it accepts."""

    body: bytes
    max_message_bytes: int

    def pack(self) -> bytes:
        """For the payload of a handshake message."""
        return self.max_message_bytes.to_bytes(8, "big") + self.body

    @classmethod
    def unpack(cls, payload: bytes) -> Hello:
        """Raises HandshakeFailed."""
        if len(payload) < 8:
            raise HandshakeFailed("the payload of the handshake is too short")
        return cls(payload[8:], int.from_bytes(payload[:8], "big"))


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A session with a peer is open; `hello` is what the peer's node said of itself."""

    peer: NodeId
    address: Address
    hello: bytes


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    """The session with a peer, or the attempt to open one, is over; unacknowledged messages may be lost.

    `silent` is True when the peer did not answer, False when either side ended it.
    """

    peer: NodeId
    reason: str
    silent: bool = False


@dataclass(frozen=True, slots=True)
class PeerMoved:
    """The session with a peer goes on, proven to be with the peer at this address, which is another than before."""

    peer: NodeId
    address: Address


class MessageArrived(NamedTuple):
    """A message from a peer; `body` is the receiver's to keep."""

    peer: NodeId
    body: Buffer


@dataclass(frozen=True, slots=True)
class GossipArrived:
    """A membership message from somebody who has the cluster key."""

    source: Address
    body: bytes


@dataclass(frozen=True, slots=True)
class DatagramArrived:
    """An unreliable datagram from somebody who has the cluster key (see `guthi.messages.datagrams`)."""

    source: Address
    body: bytes


class Posted:
    """A message given to `send`; `session` and `outgoing` are set once it is on its way."""

    __slots__ = ("abandoned", "channel", "outgoing", "parts", "peer", "session")

    def __init__(
        self,
        peer: NodeId,
        parts: Sequence[Buffer],
        channel: int,
        session: Session | None = None,
        outgoing: Outgoing | None = None,
    ) -> None:
        self.peer, self.parts, self.channel = peer, parts, channel
        self.session, self.outgoing = session, outgoing
        self.abandoned = False

    @property
    def size_bytes(self) -> int:
        """The length of the message."""
        return sum(map(len, self.parts))


@dataclass(frozen=True, slots=True)
class PostRefused:
    """A message that had waited for a session cannot be sent on it; `reason` is for the sender."""

    posted: Posted
    reason: str


@dataclass(frozen=True, slots=True)
class StraySession:
    """A datagram of a session that does not exist here: forged, late, or from a peer that missed our restart."""

    source: Address


EndpointEvent: TypeAlias = (
    PeerConnected
    | PeerDisconnected
    | PeerMoved
    | MessageArrived
    | PostRefused
    | GossipArrived
    | DatagramArrived
    | StraySession
)


class LinkState(Enum):
    """Where the link to one peer stands."""

    IDLE = auto()
    DIALING = auto()
    OPEN = auto()


@dataclass(slots=True)
class Link:
    """One peer, as the endpoint knows it."""

    peer: NodeId
    state: LinkState = LinkState.IDLE
    session: Session | None = None
    index: int = 0
    pending: deque[Posted] = field(default_factory=deque)
