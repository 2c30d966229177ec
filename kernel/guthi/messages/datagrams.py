"""What an unreliable datagram between two members says, and who hears it: for heartbeats and the like.

    sender id 16 | topic length u8 | topic | body (a value, see `codec`)

It is sealed with the cluster key like gossip and belongs to no session: it waits behind no bulk transfer and no
congestion control, and may be lost, doubled and reordered. Who sent it is only said inside the seal: any holder of the
cluster key is believed. What cannot be read, or comes from no member, is counted in `dropped` and not answered.
"""

from __future__ import annotations

import inspect
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeAlias

from guthi.api import NodeId
from guthi.calmlog import CalmLog
from guthi.errors import MalformedMessage, UsageError
from guthi.messages.exchange import Incoming, check_topic
from guthi.values.codec import Codec

__all__ = ["LIMIT_BYTES", "DatagramHandler", "Datagrams"]

LIMIT_BYTES = 1000
"""The longest datagram, id and topic included: with the seal it fits every path."""
_HEAD_BYTES = NodeId.SIZE + 1

DatagramHandler: TypeAlias = Callable[[Incoming], None]

log = logging.getLogger("guthi.messages.datagrams")


class Datagrams:
    """The datagrams of one node, in both directions.

    `is_member` tells whom this node knows, `dropped` is where what is not listened to is counted, `clock` is loop time.
    """

    def __init__(
        self, codec: Codec, is_member: Callable[[NodeId], bool], dropped: Counter[str], clock: Callable[[], float]
    ) -> None:
        self._codec, self._is_member, self._dropped = codec, is_member, dropped
        self._log = CalmLog(log, clock)
        self._handlers: dict[str, DatagramHandler] = {}

    def handle(self, topic: str, handler: DatagramHandler) -> None:
        """Let a plain function hear a topic; raises UsageError if it has a handler already."""
        if topic in self._handlers:
            raise UsageError(f"the datagrams of {topic!r} have a handler already; choose another name")
        check_topic(topic)
        if inspect.iscoroutinefunction(handler):
            raise UsageError(f"the handler of the datagrams of {topic!r} is an `async def`; make it a plain function")
        self._handlers[topic] = handler

    def pack(self, sender: NodeId, topic: str, value: Any) -> bytes:
        """The datagram for a value; raises NotEncodable, and UsageError when it is too long."""
        check_topic(topic)
        name = topic.encode()
        body = b"".join(self._codec.encode(value))
        size_bytes = _HEAD_BYTES + len(name) + len(body)
        if size_bytes > LIMIT_BYTES:
            raise UsageError(f"a datagram has at most {LIMIT_BYTES} bytes and this one {size_bytes}; use a cast for it")
        return sender + bytes([len(name)]) + name + body

    def received(self, datagram: bytes) -> NodeId | None:
        """Hand one to its handler; returns the member that it is from. Raises MalformedMessage for what is none."""
        if len(datagram) < _HEAD_BYTES:
            raise MalformedMessage("a datagram is cut short")
        sender = NodeId(datagram[: NodeId.SIZE])
        if not self._is_member(sender):
            self._dropped["datagram of a stranger"] += 1
            return None
        end = _HEAD_BYTES + datagram[NodeId.SIZE]
        topic = datagram[_HEAD_BYTES:end].decode("utf-8", "replace")
        handler = self._handlers.get(topic)
        if handler is None:
            self._dropped["datagram that nobody handles"] += 1
        else:
            self._call(handler, Incoming(sender, self._codec.decode(memoryview(datagram)[end:]), None), topic)
        return sender

    def _call(self, handler: DatagramHandler, incoming: Incoming, topic: str) -> None:
        try:
            handler(incoming)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - it is told and disturbs nobody; no SystemExit ends this node
            self._log.error(
                "the handler of the datagrams of %r failed on one from %s", topic, incoming.peer, exc_info=error
            )
