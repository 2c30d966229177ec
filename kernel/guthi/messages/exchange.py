"""What requests, their answers and streams share: how messages leave, and what a handler is given."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from guthi.api import Buffer, NodeId
from guthi.errors import UsageError
from guthi.messages.envelope import MAX_TOPIC_BYTES
from guthi.transport.links import Posted
from guthi.transport.outbox import UNORDERED

__all__ = ["Handler", "Incoming", "Opened", "Streaming", "Watching", "Wire", "check_timeout", "check_topic"]


@dataclass(slots=True)
class Incoming:
    """A request, a cast or the opening of a stream, as its handler sees it; `deadline` is in loop time."""

    peer: NodeId
    value: Any
    deadline: float | None


Handler: TypeAlias = Callable[[Incoming], Any | Awaitable[Any]]


class Wire(Protocol):
    """How messages leave."""

    def post(self, peer: NodeId, parts: list[Buffer], channel: int = UNORDERED) -> Posted | None:
        """Send, in the order of the channel; None where the peer is this node itself."""

    def check(self, peer: NodeId) -> None:
        """Raises PeerLost when nothing is sent to the peer, because it is gone."""

    def collect(self) -> None:
        """Messages are being collected: call for them (`Requests.flush`) at the end of the turn."""

    def room_bytes(self, peer: NodeId) -> int:
        """How long a message may be to share the next datagram to the peer; 0 where there is no session yet."""

    def abandon(self, posted: Posted) -> None:
        """Do not send what has not been sent."""

    def is_writable(self, peer: NodeId) -> bool:
        """Whether not too much waits for the peer, which is the ordinary case."""

    def writable(self, peer: NodeId) -> Coroutine[Any, Any, None]:
        """Wait until that is so; raises NodeClosed."""

    def watch(self, peer: NodeId, watched: bool) -> None:
        """Say whether somebody waits for an answer of the peer, so that its silence is noticed."""

    def name_of(self, peer: NodeId) -> str:
        """What people call the peer."""

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run as a task that does not outlive the node."""


class Opened(Protocol):
    """A stream that a peer has opened: what is to be done for it, and the channel that the answer goes by."""

    @property
    def channel(self) -> int:
        """Where its values go; an answer that is to come after them goes there too."""

    @property
    def work(self) -> Coroutine[Any, Any, Any]:
        """The call of its handler."""

    def stop(self) -> None:
        """The opener is gone: there is nobody to send to, or to wait for, while the work is being cancelled."""

    def served(self, task: asyncio.Task[None]) -> None:
        """The work has ended; unless it was cancelled, the opener has been told how."""


class Streaming(Protocol):
    """The streams beside the requests of one node."""

    def accept(self, topic: str, request_id: int, incoming: Incoming) -> Opened:
        """A peer opens a stream; what this raises is for the opener."""

    def received(self, peer: NodeId, kind: int, side: int, stream_id: int, payload: memoryview) -> None:
        """A message of a stream; MalformedMessage if there is no such kind."""

    def refused(self, posted: Posted, reason: str) -> None:
        """A message that waited for a session could not be sent on it."""


class Watching:
    """Peers are watched while a request is open with them, in either direction."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._open: dict[NodeId, int] = {}

    def opened(self, peer: NodeId) -> None:
        """One more."""
        before = self._open.get(peer, 0)
        self._open[peer] = before + 1
        if not before:
            self._wire.watch(peer, True)

    def ended(self, peer: NodeId) -> None:
        """One less."""
        left = self._open[peer] - 1
        if left:
            self._open[peer] = left
        else:
            del self._open[peer]
            self._wire.watch(peer, False)


def check_topic(topic: str) -> None:
    """Raises UsageError for what cannot be the topic of a handler."""
    try:
        size_bytes = len(topic.encode())
    except (AttributeError, UnicodeEncodeError):
        raise UsageError(f"{topic!r} cannot be a topic; use text without surrogates") from None
    if not 0 < size_bytes <= MAX_TOPIC_BYTES:
        raise UsageError(f"the topic {topic!r} is not 1 to {MAX_TOPIC_BYTES} bytes long")


def check_timeout(timeout_s: float) -> None:
    """Raises UsageError for what is no time to wait."""
    if not timeout_s >= 0:
        raise UsageError(f"a timeout is 0 or more seconds, not {timeout_s}")
