"""Decides whose streams are open, and what ends them: each is beside one request, and lasts as long as that.

The opener's OPEN is a request. Its stream ends by the handler's REPLY or FAULT, which come after all of its values; by
the opener's CANCEL when it leaves early; by the deadline and by the loss of the peer, at both ends.

Each side sends all messages of a stream by one channel of its session, so that they arrive in order and hold up no
others. Channels say nothing: whose stream a message belongs to is in the envelope. So each side chooses its own.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from guthi.api import NodeId
from guthi.errors import MalformedMessage, NodeClosed, StreamEnded, UnknownTopic, UsageError
from guthi.messages.envelope import OPEN, VALUE, WAIT
from guthi.messages.exchange import Incoming, Wire, check_topic
from guthi.messages.requests import Asked, Requests
from guthi.messages.serving import Caller
from guthi.messages.stream import Stream, StreamAddress
from guthi.transport.links import Posted
from guthi.transport.outbox import UNORDERED_BULK
from guthi.values.codec import Codec

__all__ = ["MAX_ACCEPTED", "StreamHandler", "Streams"]

MAX_ACCEPTED = 1024  # streams that one peer may have open here
BY_OPENER, BY_ANSWERER = 0, 1

_Key: TypeAlias = tuple[NodeId, int, int]  # a peer, the id of the stream, and the side that the peer writes

StreamHandler: TypeAlias = Callable[[Incoming, Stream], Coroutine[Any, Any, None]]


class _Accepted(NamedTuple):
    """A stream that a peer has opened."""

    channel: int
    work: Coroutine[Any, Any, None]
    stop: Callable[[], None]
    ended: Callable[[bool], None]

    def served(self, task: asyncio.Task[None]) -> None:
        """The handler has ended."""
        self.ended(task.cancelled())


class _Channels:
    """The channels by which the streams with one peer send."""

    def __init__(self) -> None:
        self.taken = 0
        self._highest = UNORDERED_BULK
        self._free: deque[int] = deque()

    def take(self) -> int:
        """One that no open stream has; among those used before, the one that has rested longest."""
        self.taken += 1
        if self._free:
            return self._free.popleft()
        self._highest += 1
        return self._highest

    def give_back(self, channel: int) -> None:
        """Its stream has ended."""
        self.taken -= 1
        self._free.append(channel)


class Streams:
    """All streams of one node, beside its requests."""

    def __init__(self, requests: Requests, codec: Codec, wire: Wire, window_bytes: int) -> None:
        self._requests, self._codec, self._wire, self._window_bytes = requests, codec, wire, window_bytes
        self._handlers: dict[str, StreamHandler] = {}
        self._streams: dict[_Key, Stream] = {}
        self._accepted: Counter[NodeId] = Counter()
        self._channels: dict[NodeId, _Channels] = {}
        self._closed = False
        requests.streams = self

    def __len__(self) -> int:
        return len(self._streams)

    def handle(self, topic: str, handler: StreamHandler) -> None:
        """Let `handler` answer the streams of a topic; raises UsageError if they have a handler already."""
        if topic in self._handlers:
            raise UsageError(f"the streams on {topic!r} have a handler already; choose another name")
        check_topic(topic)
        self._handlers[topic] = handler

    def forget(self, topic: str) -> None:
        """Accept no more streams on the topic."""
        self._handlers.pop(topic, None)

    @contextmanager
    def open(self, peer: NodeId, topic: str, value: Any, timeout_s: float | None = None) -> Iterator[Stream]:
        """A stream to the handler of a topic, which is given the value first; it lasts as long as the context."""
        if self._closed:
            raise NodeClosed("the node is closed; make a new one")
        channel = self._take_channel(peer)
        try:
            asked = self._requests.ask(peer, topic, value, timeout_s, OPEN, channel)
            try:
                with self._beside(asked) as stream:
                    yield stream
            finally:
                if not asked.future.done():
                    self._requests.withdraw(asked)
                self._requests.let_go(asked)
        finally:
            self._release_channel(peer, channel)

    @contextmanager
    def _beside(self, asked: Asked) -> Iterator[Stream]:
        address = StreamAddress(asked.peer, asked.request_id, BY_OPENER, asked.channel)
        stream = Stream(address, self._wire, self._codec, self._window_bytes, partial(self._give_up, asked))
        key = (asked.peer, asked.request_id, BY_ANSWERER)
        self._streams[key] = stream
        asked.future.add_done_callback(lambda future: stream.over(future.exception(), at_once=asked.was_cut))
        try:
            stream.begin()
            yield stream
        finally:
            stream.leave(abandons=True)
            del self._streams[key]

    def _give_up(self, asked: Asked, error: Exception) -> None:
        self._requests.withdraw(asked)
        asked.cut(error)

    def accept(self, topic: str, request_id: int, incoming: Incoming) -> _Accepted:
        """A peer opens a stream; raises UnknownTopic, UsageError for one too many, MalformedMessage for a used id."""
        peer, key = incoming.peer, (incoming.peer, request_id, BY_OPENER)
        handler = self._handlers.get(topic)
        if handler is None:
            raise UnknownTopic(f"nobody handles streams on {topic!r} here; the plugin that does so is not enabled")
        if key in self._streams:
            raise MalformedMessage(f"a stream with the id {request_id} is open already")
        if self._accepted[peer] >= MAX_ACCEPTED:
            raise UsageError(f"{MAX_ACCEPTED} streams to this node are open; let some of them end first")
        channel = self._take_channel(peer)
        address = StreamAddress(peer, request_id, BY_ANSWERER, channel)
        break_off = partial(self._requests.break_off, Caller(peer, topic, request_id, channel))
        stream = Stream(address, self._wire, self._codec, self._window_bytes, break_off)
        self._streams[key] = stream
        self._accepted[peer] += 1
        ended = partial(self._served, key, stream, channel)
        try:
            stream.begin()
            work = handler(incoming, stream)
            if not inspect.iscoroutine(work):
                raise UsageError(
                    f"the handler of streams on {topic!r} is no coroutine function; write `async def`, without `yield`"
                )
        except BaseException:
            ended(False)
            raise
        return _Accepted(channel, work, partial(self._stop, key, stream), ended)

    def _stop(self, key: _Key, stream: Stream) -> None:
        """The opener is gone: a handler that goes on, to clean up, must not wait, nor hold the id."""
        stream.over(StreamEnded("the opener of the stream is gone; nobody reads or sends any more"), at_once=True)
        self._forget(key, stream)

    def _forget(self, key: _Key, stream: Stream) -> None:
        if self._streams.get(key) is stream:
            del self._streams[key]

    def _served(self, key: _Key, stream: Stream, channel: int, was_cancelled: bool) -> None:
        peer = key[0]
        self._forget(key, stream)
        stream.leave(abandons=was_cancelled)
        self._release_channel(peer, channel)
        self._accepted[peer] -= 1
        if not self._accepted[peer]:
            del self._accepted[peer]

    def received(self, peer: NodeId, kind: int, side: int, stream_id: int, payload: memoryview) -> None:
        """A message of a stream; one that has ended ignores it. MalformedMessage if there is no such kind."""
        if not VALUE <= kind <= WAIT:
            raise MalformedMessage(f"no message has the kind {kind}")
        stream = self._streams.get((peer, stream_id, side))
        if stream is not None:
            stream.received(kind, payload)

    def refused(self, posted: Posted, reason: str) -> None:
        """A value that waited for a session could not be sent on it: its stream has failed."""
        for stream in list(self._streams.values()):
            if stream.has_posted(posted):
                stream.fail(UsageError(reason))

    def close(self) -> None:
        """End all streams, and tell those who answer ours."""
        self._closed = True
        self._handlers.clear()
        for (peer, stream_id, side), stream in list(self._streams.items()):
            if side == BY_ANSWERER:
                stream.fail(NodeClosed("the node was closed while the stream was open"))
            else:
                self._requests.stop(peer, stream_id)

    # ---- channels

    def _take_channel(self, peer: NodeId) -> int:
        return self._channels.setdefault(peer, _Channels()).take()

    def _release_channel(self, peer: NodeId, channel: int) -> None:
        channels = self._channels[peer]
        channels.give_back(channel)
        if not channels.taken:
            del self._channels[peer]
