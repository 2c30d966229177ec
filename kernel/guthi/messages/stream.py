"""Decides what one side of a stream may do: values both ways in order, until either side's part in it is over.

| state  | meaning                                                | `send`      | reading                            |
|--------|--------------------------------------------------------|-------------|------------------------------------|
| OPEN   | values may pass, each way until it is finished         | may wait    | may wait                           |
| ENDED  | the far side's handler has returned                    | StreamEnded | what has come, then the end        |
| FAILED | the far side's handler raised, or something else did:  | the error   | what has come, then the error; at  |
|        | for a handler, the opener is gone                      |             | once when it is not the handler's  |
| LEFT   | the opener left `async with`, or our handler has ended | UsageError  | UsageError                         |

How many values may be on their way is decided in `flow`; what ends a stream, in `streams`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from typing import Any, NamedTuple

from guthi.api import Buffer, NodeId
from guthi.errors import MalformedMessage, PeerLost, StreamEnded, UsageError
from guthi.messages.envelope import CREDIT, FINISH, VALUE, WAIT, pack
from guthi.messages.exchange import Wire
from guthi.messages.flow import VALUE_COST_BYTES, Credit, Inflow, Outflow
from guthi.transport.links import Posted
from guthi.transport.outbox import COUNTED_MESSAGE_BYTES
from guthi.values.codec import Codec

__all__ = ["Stream", "StreamAddress", "StreamState"]

log = logging.getLogger("guthi.messages.streams")


class StreamState(Enum):
    """Where a stream is in its life, as one side sees it."""

    OPEN = auto()
    ENDED = auto()
    FAILED = auto()
    LEFT = auto()


class StreamAddress(NamedTuple):
    """What one side writes on the messages of a stream."""

    peer: NodeId
    stream_id: int
    side: int
    channel: int


class Stream:
    """Values both ways between two nodes, in order; made by `Node.open_stream`, or given to a handler.

    `async for` takes what the far side sends. It ends when the far side has finished, and raises what its handler
    raised. One task reads at a time.
    """

    def __init__(
        self,
        address: StreamAddress,
        wire: Wire,
        codec: Codec,
        window_bytes: int,
        break_off: Callable[[Exception], None],
    ) -> None:
        self.peer = address.peer
        self._address, self._wire, self._codec, self._break_off = address, wire, codec, break_off
        self._outflow, self._inflow = Outflow(), Inflow(window_bytes)
        self._arrived: deque[Buffer] = deque()
        self._leaving: deque[tuple[int, Posted]] = deque()  # values not known to be consumed, and where each ends
        self._state = StreamState.OPEN
        self._error: BaseException | None = None
        self._turn = asyncio.Lock()  # those who send wait for one another
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    # ---- what the app does

    async def send(self, value: Any) -> None:
        """Send a value, after waiting until the far side has consumed enough of those before.

        Large payloads are not copied and must not change until they are consumed. Raises what the far side's handler
        raised, StreamEnded when it has returned, NotEncodable, DeadlineExceeded, PeerLost.
        """
        self._check_sending()
        body = self._codec.encode(value)
        cost_bytes = sum(map(len, body)) + VALUE_COST_BYTES
        async with self._turn:
            self._check_sending()
            while not self._outflow.takes(cost_bytes):
                if self._outflow.waits():
                    self._tell(WAIT)
                self._writer = asyncio.get_running_loop().create_future()
                await self._writer
                self._check_sending()
            posted = self._post(VALUE, body)
            self._outflow.sent(cost_bytes)
            if posted is not None:
                self._leaving.append((self._outflow.sent_bytes, posted))

    def finish(self) -> None:
        """Send no more from here; the far side may go on."""
        if self._turn.locked():
            raise UsageError("a value still waits to be sent; finish when `send` has returned")
        if self._state is StreamState.OPEN and not self._outflow.is_finished:
            self._outflow.is_finished = True
            self._tell(FINISH)

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Any:
        while not self._arrived:
            self._check_reading()
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        body = self._arrived.popleft()
        credit = self._inflow.consumed(len(body) + VALUE_COST_BYTES)
        if credit is not None and self._state is StreamState.OPEN:
            self._tell(CREDIT, credit.pack())
        return self._codec.decode(body)

    def _check_sending(self) -> None:
        self._check_state()
        if self._state is StreamState.ENDED:
            raise StreamEnded(f"the handler at {self._wire.name_of(self.peer)} has returned and takes no more values")
        if self._outflow.is_finished:
            raise UsageError("this side of the stream is finished; send before `finish`")

    def _check_reading(self) -> None:
        self._check_state()
        if self._state is StreamState.ENDED or self._inflow.is_finished:
            raise StopAsyncIteration
        if self._reader is not None:
            raise UsageError("another task reads this stream already; let one read and share what it gets")

    def _check_state(self) -> None:
        if self._state is StreamState.LEFT:
            raise UsageError("the stream was left; use it inside its `async with`, or until its handler ends")
        if self._error is not None:
            raise self._error

    # ---- what the network does

    def begin(self) -> None:
        """Tell the far side how much may be on its way."""
        self._tell(CREDIT, self._inflow.credit().pack())

    def received(self, kind: int, payload: memoryview) -> None:
        """A message of the far side; one that breaks the protocol fails the stream."""
        if self._state is not StreamState.OPEN:
            return
        try:
            self._take(kind, payload)
        except MalformedMessage as breach:
            log.warning("a stream with %s has failed: %s", self._wire.name_of(self.peer), breach)
            self.fail(breach)

    def _take(self, kind: int, payload: memoryview) -> None:
        if kind == VALUE:
            self._inflow.arrived(len(payload) + VALUE_COST_BYTES)
            # A short one is a view of its datagram, which may hold much else.
            self._arrived.append(payload if len(payload) > COUNTED_MESSAGE_BYTES else bytes(payload))
            _wake(self._reader)
        elif kind == FINISH:
            self._inflow.finished()
            _wake(self._reader)
        elif kind == CREDIT:
            self._outflow.granted(Credit.unpack(payload))
            while self._leaving and self._leaving[0][0] <= self._outflow.consumed_bytes:
                self._leaving.popleft()
            _wake(self._writer)
        elif (credit := self._inflow.waited_for()) is not None:
            self._tell(CREDIT, credit.pack())

    def has_posted(self, posted: Posted) -> bool:
        """Whether the message is a value of this stream."""
        return any(each is posted for _, each in self._leaving)

    def fail(self, error: Exception) -> None:
        """End both sides by an error of our own."""
        self.over(error, at_once=True)
        self._break_off(error)

    def over(self, error: BaseException | None, *, at_once: bool) -> None:
        """There is no far side any more: its handler has returned, or there is an error; `at_once`, nothing is read."""
        if self._state is StreamState.OPEN:
            self._error = error
            self._stop(StreamState.ENDED if error is None else StreamState.FAILED, forgets=at_once, abandons=True)

    def leave(self, *, abandons: bool) -> None:
        """This side is done with the stream; unless it `abandons` them, the values it has sent still arrive."""
        self._error = None
        self._stop(StreamState.LEFT, forgets=True, abandons=abandons)

    def _stop(self, state: StreamState, *, forgets: bool, abandons: bool) -> None:
        self._state = state
        if forgets:
            self._arrived.clear()
        if abandons:
            for _, posted in self._leaving:
                self._wire.abandon(posted)
        self._leaving.clear()
        _wake(self._reader)
        _wake(self._writer)

    def _post(self, kind: int, body: list[Buffer]) -> Posted | None:
        peer, stream_id, side, channel = self._address
        return self._wire.post(peer, [pack(kind, "", stream_id, side=side), *body], channel)

    def _tell(self, kind: int, body: bytes = b"") -> None:
        with suppress(PeerLost):  # which is told to the app by the end of the request
            self._post(kind, [body])


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
