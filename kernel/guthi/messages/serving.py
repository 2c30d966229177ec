"""Decides how the requests of peers are answered: at once, by a task, or by a fault.

A handler that returns a plain value is answered in the same turn, without a task; one that returns a coroutine is run
as a task, which a CANCEL, the deadline or the loss of the caller cancels. Whatever a handler does, the caller is
answered, unless it is gone. One that does not read its answers waits for the next (see `holding`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from guthi.api import NodeId
from guthi.calmlog import CalmLog
from guthi.errors import MalformedMessage, PeerLost, UnknownTopic, UsageError
from guthi.messages.bundles import BUNDLED_BYTES, Bundles
from guthi.messages.envelope import FAULT, REPLY, pack
from guthi.messages.exchange import Handler, Incoming, Opened, Streaming, Watching, Wire, check_topic
from guthi.messages.holding import Holding
from guthi.transport.alarms import Alarms
from guthi.transport.outbox import UNORDERED
from guthi.values.codec import Codec
from guthi.values.faults import describe, describe_briefly
from guthi.values.plain import plain_cbor

__all__ = ["Caller", "Key", "Serving"]

Key: TypeAlias = tuple[NodeId, int]  # a peer and its request

MAX_UNDER_WAY = 65_536  # a peer may have so many handlers at work, each of which is a task

log = logging.getLogger("guthi.messages.requests")


class Caller(NamedTuple):
    """Who is to be answered, and how; `request_id` is None for a cast, which is not."""

    peer: NodeId
    topic: str
    request_id: int | None
    channel: int = UNORDERED


class Serving:
    """The handlers of one node, and the requests that they are working on; `alarms` rings for those as well."""

    def __init__(
        self, codec: Codec, wire: Wire, watching: Watching, alarms: Alarms[int | Key], bundles: Bundles
    ) -> None:
        self._codec, self._wire, self._watching, self._alarms = codec, wire, watching, alarms
        self._bundles = bundles
        self._handlers: dict[str, Handler] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._opened: dict[Key, Opened] = {}
        self._under_way: Counter[NodeId] = Counter()  # casts too
        self._holding = Holding(wire)
        self._behind = self._holding.behind
        self._log = CalmLog(log, asyncio.get_running_loop().time)
        self._closed = self._has_answered = False

    def __len__(self) -> int:
        return len(self._tasks)

    def handle(self, topic: str, handler: Handler) -> None:
        """Let `handler` answer a topic; raises UsageError if it has a handler already."""
        if topic in self._handlers:
            raise UsageError(f"the topic {topic!r} has a handler already; choose another name")
        check_topic(topic)
        self._handlers[topic] = handler

    def forget(self, topic: str) -> None:
        """Answer the topic no more."""
        self._handlers.pop(topic, None)

    def has_answered(self) -> bool:
        """Whether a request was answered since this was asked last."""
        answered, self._has_answered = self._has_answered, False
        return answered

    def serve(self, caller: Caller, deadline: float | None, payload: memoryview) -> None:
        """A request or a cast has come. Raises MalformedMessage for a cast when too much is under way for that peer."""
        if self._under_way.get(caller.peer, 0) >= MAX_UNDER_WAY:
            self._refuse(caller)
        elif self._behind and caller.request_id is not None and caller.peer in self._behind:
            again = partial(self._in_time, partial(self._handle, caller, deadline, payload), deadline)
            self._holding.hold(caller.peer, caller.request_id, len(payload), again)
        else:
            self._handle(caller, deadline, payload)

    def serve_bundle(self, peer: NodeId, topic: str, now: float, requests: Iterable[tuple[int, int, Any]]) -> None:
        """Several requests on one topic have come: the id, the timeout in ms and the value of each."""
        for request_id, timeout_ms, value in requests:
            caller = Caller(peer, topic, request_id)
            deadline = now + timeout_ms / 1000 if timeout_ms else None
            if self._under_way.get(peer, 0) >= MAX_UNDER_WAY:
                self._refuse(caller)
            elif self._behind and peer in self._behind:
                again = partial(self._in_time, partial(self._call, caller, deadline, value), deadline)
                self._holding.hold(peer, request_id, BUNDLED_BYTES, again)
            else:
                self._call(caller, deadline, value)

    def _in_time(self, work: Callable[[], None], deadline: float | None) -> None:
        if deadline is None or asyncio.get_running_loop().time() < deadline:
            work()

    def _handle(self, caller: Caller, deadline: float | None, payload: memoryview) -> None:
        try:
            value = self._codec.decode(payload)
        except MalformedMessage as error:
            self._reply_fault(caller, error)
            return
        self._call(caller, deadline, value)

    def _call(self, caller: Caller, deadline: float | None, value: Any) -> None:
        peer, topic, request_id, _ = caller
        try:
            handler = self._handlers.get(topic)
            if handler is None:
                raise UnknownTopic(f"nobody handles {topic!r} here; the plugin that does so is not enabled")
            result = handler(Incoming(peer, value, deadline))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - it is the caller's to see; not even SystemExit ends this node
            self._reply_fault(caller, error)
            return
        if not hasattr(result, "__await__"):
            self._reply(caller, result)
            return
        task = self._start(caller, result)
        if request_id is not None:
            self._begun((peer, request_id), task, deadline)

    def open(self, caller: Caller, deadline: float | None, payload: memoryview, streams: Streaming) -> None:
        """A request with a stream has come."""
        assert caller.request_id is not None
        try:
            incoming = Incoming(caller.peer, self._codec.decode(payload), deadline)
            opened = streams.accept(caller.topic, caller.request_id, incoming)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - as in `serve`
            self._reply_fault(caller, error)
            return
        task = self._start(caller._replace(channel=opened.channel), opened.work)
        key = (caller.peer, caller.request_id)
        self._begun(key, task, deadline)
        self._opened[key] = opened
        task.add_done_callback(opened.served)

    def _refuse(self, caller: Caller) -> None:
        reason = f"{MAX_UNDER_WAY} messages from one node are being handled; wait until some are done"
        if caller.request_id is None or caller.peer in self._behind:
            raise MalformedMessage(reason)  # it can be neither answered nor lost; or it would not read the answer
        self._reply_fault(caller, UsageError(reason))

    def _start(self, caller: Caller, work: Awaitable[Any]) -> asyncio.Task[None]:
        task = self._wire.start(self._finish(caller, work))
        self._under_way[caller.peer] += 1
        task.add_done_callback(lambda _: self._one_less(caller.peer, work))
        return task

    def _one_less(self, peer: NodeId, work: Awaitable[Any]) -> None:
        if isinstance(work, Coroutine):
            work.close()  # where it was cancelled before it began
        self._under_way[peer] -= 1
        if not self._under_way[peer]:
            del self._under_way[peer]

    def _begun(self, key: Key, task: asyncio.Task[None], deadline: float | None) -> None:
        self.cancel(key)  # of a peer that has restarted and counts anew, and whose former request is slow to end
        self._tasks[key] = task
        self._watching.opened(key[0])
        task.add_done_callback(partial(self._ended, key))
        if deadline is not None:
            self._alarms.set(key, deadline)
        else:
            self._alarms.clear(key)

    def _ended(self, key: Key, task: asyncio.Task[None]) -> None:
        self._watching.ended(key[0])
        if self._tasks.get(key) is task:
            del self._tasks[key]
            self._opened.pop(key, None)
            self._alarms.clear(key)

    async def _finish(self, caller: Caller, result: Awaitable[Any]) -> None:
        try:
            value = await result
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # nobody waits any more; else the handler raised it by itself
            self._reply_fault(caller, error)
        else:
            if self._behind and caller.request_id is not None and caller.peer in self._behind:
                await self._wire.writable(caller.peer)
            task = asyncio.current_task()
            if task is None or not task.cancelling():  # else nobody waits, or waits for another request of that id
                self._reply(caller, value)

    def _reply(self, caller: Caller, value: Any) -> None:
        peer, _, request_id, channel = caller
        if request_id is None or self._closed:
            return
        self._has_answered = True
        plain = plain_cbor(value)
        if plain is not None and channel == UNORDERED and self._bundles.put(peer, REPLY, "", request_id, 0, plain):
            self._holding.answered(peer, len(plain))
            return
        try:
            parts = [pack(REPLY, "", request_id), *self._codec.encode(value)]
            self._wire.post(peer, parts, channel)
            self._holding.answered(peer, sum(map(len, parts)))
        except Exception as error:  # noqa: BLE001 - it has no CBOR form, is too long for the peer, or will not be read
            self._reply_fault(caller, error)

    def _reply_fault(self, caller: Caller, error: BaseException) -> None:
        """Tell the caller what went wrong, or log it where nobody waits; this never raises."""
        peer, topic, request_id, channel = caller
        if request_id is None:
            self._log.error(
                "the handler of %r failed on a message from %s", topic, self._wire.name_of(peer), exc_info=error
            )
            return
        for description in (describe, describe_briefly):
            if self._closed:
                return
            try:
                fault = self._codec.encode(description(error, self._codec))
                self._wire.post(peer, [pack(FAULT, "", request_id), *fault], channel)
                self._holding.answered(peer, sum(map(len, fault)))
            except PeerLost:
                return  # then nobody waits for it
            except Exception as failure:  # noqa: BLE001 - told in brief then
                name = self._wire.name_of(peer)
                self._log.warning("what went wrong with %r could not be told to %s: %s", topic, name, failure)
            else:
                return

    # ---- what goes wrong

    def cancel(self, key: Key) -> None:
        """Nobody waits for the answer any more."""
        if self._behind:
            self._holding.cancel(*key)
        task = self._tasks.get(key)
        if task is not None:
            if (opened := self._opened.pop(key, None)) is not None:
                opened.stop()
            task.cancel()

    def break_off(self, caller: Caller, error: Exception) -> None:
        """Stop what is being done for the caller, and tell it why."""
        assert caller.request_id is not None
        self._reply_fault(caller, error)
        self.cancel((caller.peer, caller.request_id))

    def peer_lost(self, peer: NodeId) -> None:
        """Stop what is being done for a peer."""
        self._holding.peer_lost(peer)
        for key in [key for key in self._tasks if key[0] == peer]:
            self.cancel(key)

    def close(self) -> None:
        """Stop everything; nobody is answered any more."""
        self._closed = True
        self._holding.close()
        for key in list(self._tasks):
            self.cancel(key)
