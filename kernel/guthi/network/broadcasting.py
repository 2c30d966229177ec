"""Carries out broadcasts: the machine's messages travel as casts, what it delivers goes to the handler of its topic.

How a broadcast reaches everybody is decided in `guthi.broadcast.plumtree`. The body that travels is the encoded value,
which those who pass it on do not look into.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Protocol

from guthi.api import NodeId
from guthi.broadcast.messages import Message, Payload, decode, encode
from guthi.broadcast.plumtree import Deliver, Effect, Plumtree, Send
from guthi.calmlog import CalmLog
from guthi.errors import MalformedMessage, NodeClosed, PeerLost, UsageError
from guthi.membership.members import MemberEvent
from guthi.messages.exchange import Handler, Incoming, check_topic
from guthi.values.codec import Codec

__all__ = ["Broadcasting"]

TOPIC = "guthi.broadcast"
ENVELOPE_BYTES = 1024
"""What a payload takes besides its body, at most."""

log = logging.getLogger("guthi.broadcasting")


class Casts(Protocol):
    """How messages leave and come, as `guthi.messages.requests.Requests` offers it."""

    def cast(self, peer: NodeId, topic: str, value: Any) -> None:
        """Send a value that needs no answer."""

    def handle(self, topic: str, handler: Handler) -> None:
        """Let the handler take what is cast on a topic."""


class Broadcasting:
    """The broadcasts of one node, in both directions.

    `start` runs a task that does not outlive the node; `longest_bytes` is the longest message that peers take.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        codec: Codec,
        casts: Casts,
        tree: Plumtree,
        start: Callable[[Coroutine[Any, Any, None]], object],
        longest_bytes: int,
    ) -> None:
        self._loop, self._codec, self._casts, self._tree, self._start = loop, codec, casts, tree, start
        self._longest_bytes = longest_bytes - ENVELOPE_BYTES
        self._handlers: dict[str, Handler] = {}
        self._waiting: list[asyncio.Future[None]] = []  # broadcasters who had better wait
        self._closed = False
        self._log = CalmLog(log, loop.time)
        self.deadline: float | None = None
        """When the tree wants to be called, in loop time."""
        casts.handle(TOPIC, self._received)

    def handle(self, topic: str, handler: Handler) -> None:
        """Let `handler` take what others broadcast on a topic; raises UsageError if it has a handler already."""
        if topic in self._handlers:
            raise UsageError(f"broadcasts on {topic!r} have a handler already; choose another name")
        check_topic(topic)
        self._handlers[topic] = handler

    async def broadcast(self, topic: str, value: Any) -> None:
        """Send a value to all; waits only while too much of what was sent before has reached nobody.

        Raises NotEncodable, NodeClosed, and UsageError for a topic or a value that is too long.
        """
        check_topic(topic)
        body = b"".join(self._codec.encode(value))
        if len(body) > self._longest_bytes:
            raise UsageError(
                f"a broadcast of {len(body)} bytes is more than the {self._longest_bytes} that `max_message` in "
                "[transport] leaves; raise that on all nodes, or send it in parts"
            )
        while self._tree.is_full and not self._closed:
            room = self._loop.create_future()
            self._waiting.append(room)
            await room
        if self._closed:
            raise NodeClosed("the node is closed; make a new one")
        self._perform(self._tree.broadcast(topic, body, self._loop.time()))

    def member_changed(self, event: MemberEvent) -> None:
        """Something happened to another member."""
        self._tree.member_changed(event, self._loop.time())
        self._look()

    def connected(self, peer: NodeId) -> None:
        """A session with a peer was opened."""
        self._tree.connected(peer, self._loop.time())
        self._look()

    def on_deadline(self, now: float) -> None:
        """The tree's moment has come."""
        self._perform(self._tree.on_deadline(now))

    def close(self) -> None:
        """Nothing is broadcast any more."""
        self._closed = True
        self.deadline = None
        self._wake()

    def _received(self, incoming: Incoming) -> None:
        try:
            message = decode(incoming.value)
        except MalformedMessage as breach:
            self._log.warning("%s sent what is no broadcast: %s", incoming.peer, breach)
            return
        self._perform(self._tree.receive(incoming.peer, message, self._loop.time()))

    # ---- effects of the tree

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(peer, message):
                    self._send(peer, message)
                case Deliver(payload):
                    self._tell(payload)
        self._look()
        if not self._tree.is_full:
            self._wake()

    def _look(self) -> None:
        self.deadline = None if self._closed else self._tree.deadline

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for room in waiting:
            if not room.done():
                room.set_result(None)

    def _send(self, peer: NodeId, message: Message) -> None:
        try:
            self._casts.cast(peer, TOPIC, encode(message))
        except (PeerLost, NodeClosed):
            pass  # what was not sent is offered again, as long as there is somebody to offer it
        except UsageError as error:
            self._log.warning("a broadcast does not reach %s: %s", peer, error)

    def _tell(self, payload: Payload) -> None:
        handler = self._handlers.get(payload.topic)
        if handler is None:
            return  # no plugin here wants to know
        try:
            result = handler(Incoming(payload.id.origin, self._codec.decode(payload.body), None))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - nobody waits for it; not even SystemExit ends this node
            self._failed(payload, error)
            return
        if inspect.isawaitable(result):
            self._start(self._finish(payload, result))

    async def _finish(self, payload: Payload, result: Awaitable[Any]) -> None:
        try:
            await result
        except (KeyboardInterrupt, asyncio.CancelledError):
            raise
        except BaseException as error:  # noqa: BLE001 - as above
            self._failed(payload, error)

    def _failed(self, payload: Payload, error: BaseException) -> None:
        self._log.error(
            "the handler of the broadcast %r failed on a message from %s",
            payload.topic,
            payload.id.origin,
            exc_info=error,
        )
