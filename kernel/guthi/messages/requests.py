"""Decides what becomes of a message between nodes (see `envelope`), and what of those who wait for an answer.

Every request ends: by answer, by its deadline, or by the loss of the peer. One that was made by an OPEN has a stream
beside it as long as it lasts (see `streams`): all of its messages go by one channel, so that the answer comes last.
How the requests of peers are answered is decided in `serving`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from guthi.api import Buffer, NodeId
from guthi.errors import DeadlineExceeded, MalformedMessage, NodeClosed, PeerLost, UsageError
from guthi.messages.bundles import Bundles, read_bundle
from guthi.messages.envelope import (
    CANCEL,
    CAST,
    ENVELOPE,
    FAULT,
    OPEN,
    REPLIES,
    REPLY,
    REQUEST,
    REQUESTS,
    milliseconds,
    pack,
    padded,
    topic_of,
)
from guthi.messages.exchange import Handler, Incoming, Streaming, Watching, Wire, check_timeout
from guthi.messages.serving import Caller, Key, Serving
from guthi.transport.alarms import Alarms
from guthi.transport.endpoint import Posted
from guthi.transport.outbox import UNORDERED
from guthi.values.codec import Codec
from guthi.values.faults import revive
from guthi.values.plain import plain_cbor

__all__ = ["Asked", "Handler", "Incoming", "Requests", "Wire"]

_QUESTIONS, _ANSWERS, _BUNDLES = (REQUEST, CAST), (REPLY, FAULT), (REQUESTS, REPLIES)


@dataclass(slots=True, eq=False)
class Asked:
    """A request of ours; `future` has its outcome, and `was_cut` tells that it is not the peer's answer."""

    request_id: int
    peer: NodeId
    topic: str
    future: asyncio.Future[Any]
    timeout_s: float | None
    channel: int
    posted: Posted | None = None
    was_cut: bool = False

    def cut(self, error: Exception) -> None:
        """End it by an error of our own, unless it has ended."""
        if not self.future.done():
            self.was_cut = True
            self.future.set_exception(error)


class Requests:
    """Requests and casts of one node, in both directions."""

    def __init__(self, loop: asyncio.AbstractEventLoop, codec: Codec, wire: Wire) -> None:
        self._loop, self._codec, self._wire = loop, codec, wire
        self._next_id = 0
        self._waiting: dict[int, Asked] = {}
        self._watching = Watching(wire)
        self._alarms: Alarms[int | Key] = Alarms()  # an int is a request of ours
        self._bundles = Bundles(wire, self._left, self._never_left)
        self._serving = Serving(codec, wire, self._watching, self._alarms, self._bundles)
        self._closed = False
        self.streams: Streaming | None = None  # they say so themselves

    # ---- asking

    def handle(self, topic: str, handler: Handler) -> None:
        """Let `handler` answer a topic; raises UsageError if it has a handler already."""
        self._serving.handle(topic, handler)

    def forget(self, topic: str) -> None:
        """Answer the topic no more."""
        self._serving.forget(topic)

    def cast(self, peer: NodeId, topic: str, value: Any) -> None:
        """Send a value that needs no answer."""
        if self._closed:
            raise NodeClosed("the node is closed; make a new one")
        message = [pack(CAST, topic, 0), *self._codec.encode(value)]
        self._bundles.before(peer)
        self._wire.post(peer, message)

    async def request(self, peer: NodeId, topic: str, value: Any, timeout_s: float | None = None) -> Any:
        """Send a value and wait for the answer.

        Raises what the handler raised, DeadlineExceeded after `timeout_s`, PeerLost when the peer is lost.
        Cancelling the wait cancels the handler.
        """
        asked = self.ask(peer, topic, value, timeout_s)
        try:
            return await asked.future
        except asyncio.CancelledError:
            self.withdraw(asked)
            raise
        finally:
            self.let_go(asked)

    def ask(
        self,
        peer: NodeId,
        topic: str,
        value: Any,
        timeout_s: float | None,
        kind: int = REQUEST,
        channel: int = UNORDERED,
    ) -> Asked:
        """Send a request without waiting for its outcome; whoever asks has to `let_go` of it in the end."""
        if self._closed:
            raise NodeClosed("the node is closed; make a new one")
        if timeout_s is not None:
            check_timeout(timeout_s)
        self._next_id = request_id = self._next_id + 1
        plain = plain_cbor(value)
        body = self._codec.encode(value) if plain is None else [self._codec.body_of(plain)]
        asked = Asked(request_id, peer, topic, self._loop.create_future(), timeout_s, channel)
        self._waiting[request_id] = asked
        self._watching.opened(peer)
        try:
            if timeout_s is not None:
                self._alarms.set(request_id, self._loop.time() + timeout_s)
            timeout_ms = milliseconds(timeout_s)
            self._wire.check(peer)
            if plain is None or kind != REQUEST or not topic:
                self._bundles.before(peer)
            elif self._bundles.put(peer, kind, topic, request_id, timeout_ms, plain):
                return asked
            asked.posted = self._wire.post(peer, [pack(kind, topic, request_id, timeout_ms), *body], channel)
        except BaseException:
            self.let_go(asked)
            raise
        return asked

    def withdraw(self, asked: Asked) -> None:
        """Tell the peer that nobody waits any more, unless the request has ended."""
        if self._closed or self._waiting.get(asked.request_id) is not asked:
            return
        if asked.posted is not None:
            self._wire.abandon(asked.posted)
        elif self._bundles.take_back(asked.peer, asked.topic, asked.request_id):
            return  # the peer will never hear of it
        self._bundles.before(asked.peer)
        with suppress(PeerLost):  # then it has stopped anyway
            self._wire.post(asked.peer, [pack(CANCEL, "", asked.request_id)], asked.channel)

    def let_go(self, asked: Asked) -> None:
        """Forget a request; what comes for it is ignored."""
        self._waiting.pop(asked.request_id, None)
        if asked.timeout_s is not None:
            self._alarms.clear(asked.request_id)
        self._watching.ended(asked.peer)

    def flush(self) -> None:
        """The turn of the loop ends: what was collected in it leaves."""
        self._bundles.flush()

    def _left(self, request_id: int, posted: Posted) -> None:
        asked = self._waiting.get(request_id)
        if asked is not None:
            asked.posted = posted

    def _never_left(self, request_ids: Sequence[int], error: PeerLost) -> None:
        for request_id in request_ids:
            asked = self._waiting.get(request_id)
            if asked is not None:
                asked.cut(PeerLost(self._wire.name_of(asked.peer), error.reason))

    # ---- receiving

    def received(self, peer: NodeId, body: Buffer) -> None:
        """A message from a peer; MalformedMessage if it is none of ours."""
        view = memoryview(body)
        if len(view) < ENVELOPE.size:
            raise MalformedMessage("a message without an envelope")
        kind, side, topic_bytes, timeout_ms, request_id = ENVELOPE.unpack_from(view)
        payload = view[ENVELOPE.size + padded(topic_bytes) :]
        if kind in _ANSWERS:
            self._answered(peer, kind, request_id, payload)
        elif kind in _QUESTIONS:
            caller = Caller(peer, topic_of(view, topic_bytes), request_id if kind == REQUEST else None)
            self._serving.serve(caller, self._moment(timeout_ms), payload)
        elif kind == CANCEL:
            self._serving.cancel((peer, request_id))
        elif kind in _BUNDLES:
            self._received_bundle(peer, kind, topic_of(view, topic_bytes), request_id, payload)
        elif self.streams is None:
            raise MalformedMessage(f"no message has the kind {kind}")
        elif kind == OPEN:
            caller = Caller(peer, topic_of(view, topic_bytes), request_id)
            self._serving.open(caller, self._moment(timeout_ms), payload, self.streams)
        else:
            self.streams.received(peer, kind, side, request_id, payload)

    def _received_bundle(self, peer: NodeId, kind: int, topic: str, count: int, content: memoryview) -> None:
        bundle = read_bundle(kind, count, content, self._codec)
        if kind == REQUESTS:
            self._serving.serve_bundle(peer, topic, self._loop.time(), bundle)
            return
        waiting = self._waiting
        for request_id, _, value in bundle:
            asked = waiting.get(request_id)
            if asked is not None and asked.peer == peer and not asked.future.done():
                asked.future.set_result(value)

    def _moment(self, timeout_ms: int) -> float | None:
        return self._loop.time() + timeout_ms / 1000 if timeout_ms else None

    def _answered(self, peer: NodeId, kind: int, request_id: int, payload: memoryview) -> None:
        asked = self._waiting.get(request_id)
        if asked is None or asked.peer != peer or asked.future.done():
            return
        try:
            value = self._codec.decode(payload)
            if kind == REPLY:
                asked.future.set_result(value)
            else:
                asked.future.set_exception(revive(value, self._codec, self._wire.name_of(peer)))
        except MalformedMessage as error:
            asked.future.set_exception(error)

    # ---- what goes wrong

    def peer_lost(self, peer: NodeId, reason: str) -> None:
        """Fail all requests to the peer, and stop what was being done for it."""
        name = self._wire.name_of(peer)
        for asked in self._waiting.values():
            if asked.peer == peer:
                asked.cut(PeerLost(name, reason))
        self._serving.peer_lost(peer)

    def refused(self, posted: Posted, reason: str) -> None:
        """A message that waited for a session could not be sent on it."""
        for asked in self._waiting.values():
            if asked.posted is posted:
                asked.cut(UsageError(reason))
                return
        if self.streams is not None:
            self.streams.refused(posted, reason)

    def stop(self, peer: NodeId, request_id: int) -> None:
        """Stop what is being done for a peer, without a word."""
        self._serving.cancel((peer, request_id))

    def break_off(self, caller: Caller, error: Exception) -> None:
        """Stop what is being done for a peer, and tell it why."""
        self._serving.break_off(caller, error)

    def close(self) -> None:
        """Fail all that waits and stop all that runs."""
        self._bundles.flush()  # the last answers
        self._closed = True
        for asked in self._waiting.values():
            asked.cut(NodeClosed("the node was closed before the answer came"))
        self._serving.close()

    def expects_more(self) -> bool:
        """True while a request of ours has no answer, and, asked for the first time since, when we gave one."""
        return self._serving.has_answered() or bool(self._waiting)

    # ---- time

    @property
    def deadline(self) -> float | None:
        """When the next request expires, or a little before."""
        return self._alarms.first

    def on_deadline(self, now: float) -> None:
        """Fail requests whose time is up; ours with an error, a peer's by cancelling the handler."""
        for key in self._alarms.due(now):
            if isinstance(key, tuple):
                self._serving.cancel(key)
            elif not (asked := self._waiting[key]).future.done():
                self.withdraw(asked)
                name = self._wire.name_of(asked.peer)
                asked.cut(DeadlineExceeded(f"no answer from {name} within {asked.timeout_s:.3g} s"))
