"""Keeps what peers ask of a node whose plugins do not run yet: it is given to them when they do, in order.

A node that comes back after a crash is known to others, and they may have something for it before its plugins have said
what they handle. To refuse that would lose casts, and end requests with UnknownTopic that are fine a moment later. What
answers this node's own questions is not kept: a plugin that begins may ask others.
"""

from __future__ import annotations

from collections.abc import Iterator

from guthi.api import NodeId
from guthi.messages.envelope import is_answer, is_cast
from guthi.transport.links import MessageArrived

__all__ = ["MOST_BYTES", "MOST_MESSAGES", "Early"]

MOST_MESSAGES, MOST_BYTES = 4096, 16 << 20  # what comes then is handled at once, as far as that can be


class Early:
    """The messages that wait for the plugins of one node."""

    def __init__(self) -> None:
        self._messages: list[MessageArrived] = []
        self._bytes = 0

    def keeps(self, message: MessageArrived) -> bool:
        """Whether the message was kept; else it is to be handled now."""
        size_bytes = len(message.body)
        if len(self._messages) >= MOST_MESSAGES or self._bytes + size_bytes > MOST_BYTES or is_answer(message.body):
            return False
        self._messages.append(message)
        self._bytes += size_bytes
        return True

    def forget(self, peer: NodeId) -> None:
        """The session with the peer has ended: what it asked in that one is not answered; what it told stays told."""
        self._messages = [message for message in self._messages if message.peer != peer or is_cast(message.body)]
        self._bytes = sum(len(message.body) for message in self._messages)

    def __iter__(self) -> Iterator[MessageArrived]:
        return iter(self._messages)
