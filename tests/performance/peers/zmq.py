"""pyzmq, blocking: REQ/REP for one call at a time and bulk, DEALER/ROUTER for many in flight. In the clear."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import msgpack
import zmq

from performance.peers.service import FUNCTIONS
from performance.shape import IN_FLIGHT, Floats, Ready

# Arguments and result are packed; a bulk one travels as a frame of its own, unpacked and uncopied.


class RequestClient:
    """A REQ socket."""

    def __init__(self, connected: zmq.Socket[bytes]) -> None:
        self._socket = connected

    async def add(self, a: int, b: int) -> int:
        """One message there, one back."""
        self._socket.send(msgpack.packb(("add", a, b)))
        return cast(int, msgpack.unpackb(self._socket.recv()))

    async def bulk(self, size_bytes: int) -> memoryview:
        """The result is a frame."""
        self._socket.send(msgpack.packb(("bulk", size_bytes)))
        return cast(memoryview, self._socket.recv(copy=False).buffer)

    async def array_sum(self, values: Floats) -> float:
        """The argument is a second frame."""
        self._socket.send(msgpack.packb(("array_sum",)), zmq.SNDMORE)
        self._socket.send(values, copy=False)
        return cast(float, msgpack.unpackb(self._socket.recv()))


class Request:
    """REQ/REP."""

    async def serve(self, join: Sequence[str], ready: Ready) -> None:
        """Answer one message after the other."""
        with zmq.Context() as context, context.socket(zmq.REP) as server:
            ready(server.bind_to_random_port("tcp://127.0.0.1"))
            while True:
                request, *frames = server.recv_multipart(copy=False)
                name, *arguments = msgpack.unpackb(request.buffer)
                result = FUNCTIONS[name](*arguments, *(frame.buffer for frame in frames))
                is_bulk = isinstance(result, bytes)
                server.send(result if is_bulk else msgpack.packb(result), copy=not is_bulk)

    @asynccontextmanager
    async def client(self, addresses: Sequence[str]) -> AsyncIterator[RequestClient]:
        """One connection."""
        with zmq.Context() as context, context.socket(zmq.REQ) as connected:
            connected.connect(f"tcp://127.0.0.1:{addresses[0]}")
            yield RequestClient(connected)


class DealerClient:
    """A DEALER socket."""

    def __init__(self, connected: zmq.Socket[bytes]) -> None:
        self._socket = connected

    async def add(self, a: int, b: int) -> int:
        """One message there, one back."""
        self._socket.send(msgpack.packb((0, "add", a, b)))
        return cast(int, msgpack.unpackb(self._socket.recv())[1])

    async def in_flight(self, calls: int) -> None:
        """A new call for each answer."""
        for number in range(IN_FLIGHT):
            self._socket.send(msgpack.packb((number, "add", 1, 2)))
        for number in range(IN_FLIGHT, calls + IN_FLIGHT):
            assert msgpack.unpackb(self._socket.recv())[1] == 3
            if number < calls:
                self._socket.send(msgpack.packb((number, "add", 1, 2)))


class Dealer:
    """DEALER/ROUTER."""

    async def serve(self, join: Sequence[str], ready: Ready) -> None:
        """Answer one message after the other, to whom it came from."""
        with zmq.Context() as context, context.socket(zmq.ROUTER) as server:
            ready(server.bind_to_random_port("tcp://127.0.0.1"))
            while True:
                source, request = server.recv_multipart()
                number, name, *arguments = msgpack.unpackb(request)
                server.send_multipart((source, msgpack.packb((number, FUNCTIONS[name](*arguments)))))

    @asynccontextmanager
    async def client(self, addresses: Sequence[str]) -> AsyncIterator[DealerClient]:
        """One connection."""
        with zmq.Context() as context, context.socket(zmq.DEALER) as connected:
            connected.connect(f"tcp://127.0.0.1:{addresses[0]}")
            yield DealerClient(connected)


ADAPTERS = {"request": Request(), "dealer": Dealer()}
