"""Decides what a message between nodes is for: a request, its answer, a word that needs none, a cancellation.

    kind u8 | 0 u8 | topic length u16 | timeout in ms u32 (0: none) | request id u64 | topic, padded to 8 | body

| kind    | code | body                        | meaning                                             |
|---------|------|-----------------------------|-----------------------------------------------------|
| CAST    | 1    | a value (see `codec`)       | for the topic's handler; no answer                  |
| REQUEST | 2    | a value                     | for the topic's handler; answered by REPLY or FAULT |
| REPLY   | 3    | a value                     | what the handler returned                           |
| FAULT   | 4    | an exception (see `faults`) | what the handler raised                             |
| CANCEL  | 5    | none                        | nobody waits for that request any more              |

Dispatch is a dictionary by topic. A handler that returns a plain value is answered in the same turn, without a task;
one that returns a coroutine is run as a task, which a CANCEL, the deadline or the loss of the caller cancels.
Every request ends: by answer, by its deadline, or by the loss of the peer.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from struct import Struct
from typing import Any, Protocol, TypeAlias

from guthi.api import Buffer, NodeId
from guthi.errors import (
    DeadlineExceeded,
    MalformedMessage,
    NodeClosed,
    PeerLost,
    UnknownTopic,
    UsageError,
)
from guthi.transport.alarms import Alarms
from guthi.transport.endpoint import Posted
from guthi.values.codec import Codec
from guthi.values.faults import describe, describe_briefly, revive

__all__ = ["Handler", "Incoming", "Requests", "Wire"]

_CAST, _REQUEST, _REPLY, _FAULT, _CANCEL = range(1, 6)
_envelope = Struct(">BBHIQ")
MAX_TIMEOUT_MS = 0xFFFFFFFF
MAX_TOPIC_BYTES = 255

log = logging.getLogger("guthi.requests")


@dataclass(slots=True)
class Incoming:
    """A request or a cast, as its handler sees it; `deadline` is in loop time."""

    peer: NodeId
    value: Any
    deadline: float | None


Handler: TypeAlias = Callable[[Incoming], Any | Awaitable[Any]]


class Wire(Protocol):
    """How messages leave."""

    def post(self, peer: NodeId, parts: list[Buffer]) -> Posted | None:
        """Send; None where the peer is this node itself."""

    def abandon(self, posted: Posted) -> None:
        """Do not send what has not been sent."""

    def watch(self, peer: NodeId, watched: bool) -> None:
        """Say whether somebody waits for an answer of the peer, so that its silence is noticed."""

    def name_of(self, peer: NodeId) -> str:
        """What people call the peer."""

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run as a task that does not outlive the node."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A request of ours without an answer yet."""

    peer: NodeId
    future: asyncio.Future[Any]
    timeout_s: float | None
    posted: Posted | None = None


class Requests:
    """Requests and casts of one node, in both directions."""

    def __init__(self, loop: asyncio.AbstractEventLoop, codec: Codec, wire: Wire) -> None:
        self._loop, self._codec, self._wire = loop, codec, wire
        self._handlers: dict[str, Handler] = {}
        self._next_id = 0
        self._waiting: dict[int, _Waiting] = {}
        self._serving: dict[tuple[NodeId, int], asyncio.Task[None]] = {}
        self._alarms: Alarms[int | tuple[NodeId, int]] = Alarms()  # an int is a request of ours
        self._open: Counter[NodeId] = Counter()  # how many requests are open with each peer, in either direction
        self._closed = False

    # ---- asking

    def handle(self, topic: str, handler: Handler) -> None:
        """Let `handler` answer a topic; raises UsageError if it has a handler already."""
        if topic in self._handlers:
            raise UsageError(f"the topic {topic!r} has a handler already; choose another name")
        if not 0 < len(topic.encode()) <= MAX_TOPIC_BYTES:
            raise UsageError(f"the topic {topic!r} is not 1 to {MAX_TOPIC_BYTES} bytes long")
        self._handlers[topic] = handler

    def forget(self, topic: str) -> None:
        """Answer the topic no more."""
        self._handlers.pop(topic, None)

    def cast(self, peer: NodeId, topic: str, value: Any) -> None:
        """Send a value that needs no answer."""
        self._check_open()
        self._wire.post(peer, [_pack(_CAST, topic, 0, None), *self._codec.encode(value)])

    async def request(self, peer: NodeId, topic: str, value: Any, timeout_s: float | None = None) -> Any:
        """Send a value and wait for the answer.

        Raises what the handler raised, DeadlineExceeded after `timeout_s`, PeerLost when the peer is lost.
        Cancelling the wait cancels the handler.
        """
        self._check_open()
        if timeout_s is not None and not timeout_s >= 0:
            raise UsageError(f"a timeout is 0 or more seconds, not {timeout_s}")
        self._next_id += 1
        request_id = self._next_id
        waiting = _Waiting(peer, self._loop.create_future(), timeout_s)
        parts: list[Buffer] = [_pack(_REQUEST, topic, request_id, timeout_s), *self._codec.encode(value)]
        self._waiting[request_id] = waiting
        self._opened(peer)
        try:
            if timeout_s is not None:
                self._alarms.set(request_id, self._loop.time() + timeout_s)
            waiting.posted = self._wire.post(peer, parts)
            return await waiting.future
        except asyncio.CancelledError:
            self._withdraw(request_id, waiting)
            raise
        finally:
            self._waiting.pop(request_id, None)
            self._alarms.clear(request_id)
            self._ended(peer)

    def _opened(self, peer: NodeId) -> None:
        self._open[peer] += 1
        if self._open[peer] == 1:
            self._wire.watch(peer, True)

    def _ended(self, peer: NodeId) -> None:
        self._open[peer] -= 1
        if not self._open[peer]:
            del self._open[peer]
            self._wire.watch(peer, False)

    def _check_open(self) -> None:
        if self._closed:
            raise NodeClosed("the node is closed; make a new one")

    def _withdraw(self, request_id: int, waiting: _Waiting) -> None:
        if self._closed or self._waiting.get(request_id) is not waiting:
            return
        if waiting.posted is not None:
            self._wire.abandon(waiting.posted)
        with suppress(PeerLost):  # then it has stopped anyway
            self._wire.post(waiting.peer, [_pack(_CANCEL, "", request_id, None)])

    # ---- answering

    def received(self, peer: NodeId, body: Buffer) -> None:
        """A message from a peer; MalformedMessage if it is none of ours."""
        view = memoryview(body)
        if len(view) < _envelope.size:
            raise MalformedMessage("a message without an envelope")
        kind, _, topic_length, timeout_ms, request_id = _envelope.unpack_from(view)
        start = _envelope.size + _padded(topic_length)
        payload = view[start:]
        if kind in (_REPLY, _FAULT):
            self._answered(peer, kind, request_id, payload)
        elif kind in (_REQUEST, _CAST):
            topic = str(view[_envelope.size : _envelope.size + topic_length], "utf-8", "replace")
            deadline = self._loop.time() + timeout_ms / 1000 if timeout_ms else None
            self._serve(peer, topic, request_id if kind == _REQUEST else None, deadline, payload)
        elif kind == _CANCEL:
            task = self._serving.get((peer, request_id))
            if task is not None:
                task.cancel()
        else:
            raise MalformedMessage(f"no message has the kind {kind}")

    def _answered(self, peer: NodeId, kind: int, request_id: int, payload: memoryview) -> None:
        waiting = self._waiting.get(request_id)
        if waiting is None or waiting.peer != peer or waiting.future.done():
            return
        try:
            value = self._codec.decode(payload)
            if kind == _REPLY:
                waiting.future.set_result(value)
            else:
                waiting.future.set_exception(revive(value, self._codec, self._wire.name_of(peer)))
        except MalformedMessage as error:
            waiting.future.set_exception(error)

    def _serve(
        self, peer: NodeId, topic: str, request_id: int | None, deadline: float | None, payload: memoryview
    ) -> None:
        try:
            handler = self._handlers.get(topic)
            if handler is None:
                raise UnknownTopic(f"nobody handles {topic!r} here; the plugin that does so is not enabled")
            result = handler(Incoming(peer, self._codec.decode(payload), deadline))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - it is the caller's to see; not even SystemExit ends this node
            self._reply_fault(peer, topic, request_id, error)
            return
        if not inspect.isawaitable(result):
            self._reply(peer, topic, request_id, result)
            return
        task = self._wire.start(self._finish(peer, topic, request_id, result))
        if request_id is not None:
            key = (peer, request_id)
            self._serving[key] = task
            self._opened(peer)
            task.add_done_callback(lambda _: self._served(key))
            if deadline is not None:
                self._alarms.set(key, deadline)

    def _served(self, key: tuple[NodeId, int]) -> None:
        self._serving.pop(key, None)
        self._alarms.clear(key)
        self._ended(key[0])

    async def _finish(self, peer: NodeId, topic: str, request_id: int | None, result: Awaitable[Any]) -> None:
        try:
            value = await result
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # nobody waits any more; else the handler raised it by itself
            self._reply_fault(peer, topic, request_id, error)
        else:
            self._reply(peer, topic, request_id, value)

    def _reply(self, peer: NodeId, topic: str, request_id: int | None, value: Any) -> None:
        if request_id is None or self._closed:
            return
        try:
            self._wire.post(peer, [_pack(_REPLY, "", request_id, None), *self._codec.encode(value)])
        except Exception as error:  # noqa: BLE001 - it has no CBOR form, is too long for the peer, or will not be read
            self._reply_fault(peer, topic, request_id, error)

    def _reply_fault(self, peer: NodeId, topic: str, request_id: int | None, error: BaseException) -> None:
        """Tell the caller what went wrong, or log it where nobody waits; this never raises."""
        if request_id is None:
            log.error("the handler of %r failed on a message from %s", topic, self._wire.name_of(peer), exc_info=error)
            return
        for description in (describe, describe_briefly):
            if self._closed:
                return
            try:
                fault = self._codec.encode(description(error, self._codec))
                self._wire.post(peer, [_pack(_FAULT, "", request_id, None), *fault])
            except PeerLost:
                return  # then nobody waits for it
            except Exception as failure:  # noqa: BLE001 - told in brief then
                name = self._wire.name_of(peer)
                log.warning("what went wrong with %r could not be told to %s: %s", topic, name, failure)
            else:
                return

    # ---- what goes wrong

    def peer_lost(self, peer: NodeId, reason: str) -> None:
        """Fail all requests to the peer, and stop what was being done for it."""
        name = self._wire.name_of(peer)
        for waiting in [waiting for waiting in self._waiting.values() if waiting.peer == peer]:
            if not waiting.future.done():
                waiting.future.set_exception(PeerLost(name, reason))
        for key, task in list(self._serving.items()):
            if key[0] == peer:
                task.cancel()

    def refused(self, posted: Posted, reason: str) -> None:
        """A message that waited for a session could not be sent on it."""
        for waiting in self._waiting.values():
            if waiting.posted is posted and not waiting.future.done():
                waiting.future.set_exception(UsageError(reason))

    def close(self) -> None:
        """Fail all that waits and stop all that runs."""
        self._closed = True
        for waiting in list(self._waiting.values()):
            if not waiting.future.done():
                waiting.future.set_exception(NodeClosed("the node was closed before the answer came"))
        for task in list(self._serving.values()):
            task.cancel()

    @property
    def awaits_answers(self) -> bool:
        """True while a request of ours has no answer."""
        return bool(self._waiting)

    # ---- time

    @property
    def deadline(self) -> float | None:
        """When the next request expires, or a little before."""
        return self._alarms.first

    def on_deadline(self, now: float) -> None:
        """Fail requests whose time is up; ours with an error, a peer's by cancelling the handler."""
        for key in self._alarms.due(now):
            if isinstance(key, tuple):
                self._serving[key].cancel()
            elif not (waiting := self._waiting[key]).future.done():
                self._withdraw(key, waiting)
                name = self._wire.name_of(waiting.peer)
                waiting.future.set_exception(
                    DeadlineExceeded(f"no answer from {name} within {waiting.timeout_s:.3g} s")
                )


def _padded(length: int) -> int:
    return (length + 7) & ~7


def _pack(kind: int, topic: str, request_id: int, timeout_s: float | None) -> bytes:
    name = topic.encode()
    if len(name) > MAX_TOPIC_BYTES:
        raise UsageError(f"a topic is at most {MAX_TOPIC_BYTES} bytes long, not {len(name)}")
    timeout_ms = 0 if timeout_s is None else int(min(max(timeout_s * 1000, 1), MAX_TIMEOUT_MS))
    padding = bytes(_padded(len(name)) - len(name))
    return _envelope.pack(kind, 0, len(name), timeout_ms, request_id) + name + padding
