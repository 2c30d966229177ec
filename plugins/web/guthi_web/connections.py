"""Bounds what one connection may take of the node: a place, the time to say what it wants, and to take the answer.

uvicorn waits for ever for a request that never comes, and for a reader that never reads, so that a few hundred silent
connections would keep everybody out and use up the process's files. Here a connection that says nothing for
REQUEST_PATIENCE_S ends; one that takes nothing for TAKING_PATIENCE_S ends; and where all places are taken, the one that
has been idle for longest gives its own to whoever comes.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

__all__ = ["REQUEST_PATIENCE_S", "TAKING_PATIENCE_S", "HttpConnection", "WebSocketConnection"]

REQUEST_PATIENCE_S = 10.0
TAKING_PATIENCE_S = 20.0


class _Taker(asyncio.Protocol):
    """Ends where less and less is not taken of what waits to be sent."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _untaken_bytes = 0
    _look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=1, low=0)  # `pause_writing` is called for the first byte that waits

    def pause_writing(self) -> None:
        super().pause_writing()
        self._untaken_bytes = self.transport.get_write_buffer_size()
        self._look = self.loop.call_later(TAKING_PATIENCE_S, self._look_again)

    def _look_again(self) -> None:
        before, self._untaken_bytes = self._untaken_bytes, self.transport.get_write_buffer_size()
        if self._untaken_bytes >= before:
            self.transport.abort()
        else:
            self._look = self.loop.call_later(TAKING_PATIENCE_S, self._look_again)

    def resume_writing(self) -> None:
        self._stop_looking()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_looking()
        super().connection_lost(exc)

    def _stop_looking(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None


class WebSocketConnection(_Taker, WebSocketsSansIOProtocol):
    """A websocket; uvicorn ends one that answers no pings."""


class HttpConnection(_Taker, H11Protocol):
    """A connection that is closed when no whole head of a request comes in time, be it the first or a later one."""

    _patience: asyncio.TimerHandle | None = None
    _idle_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        self._patience = self.loop.call_later(REQUEST_PATIENCE_S, self._give_up)
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            self._take_a_place()

    def _take_a_place(self) -> None:
        others: list[Any] = [each for each in self.connections if each is not self]
        idle = [each for each in others if isinstance(each, HttpConnection) and each.is_idle]
        if idle:
            min(idle, key=lambda each: each._idle_since).transport.abort()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.is_idle or self.transport.is_closing():
            self._be_patient()
        elif self._patience is None and self.transport.get_protocol() is self:
            self._patience = self.loop.call_later(REQUEST_PATIENCE_S, self._give_up)

    def on_response_complete(self) -> None:
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._be_patient()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._be_patient()
        super().connection_lost(exc)

    def _be_patient(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        self.transport.abort()
