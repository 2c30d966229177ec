"""asyncio TCP and TLS 1.3 with MessagePack frames on uvloop, and a raw TLS 1.3 socket for bulk."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import msgpack

from performance.peers.certificate import client_context, server_context
from performance.peers.service import respond
from performance.shape import BULK_BYTES, Floats, Ready, in_tasks, payload

_SIZE = struct.Struct("!I")
READ_BYTES = 256 << 10


class Frames(asyncio.Protocol):
    """Gives each frame, a size and that many bytes, to `on_frame`; small ones wait in no buffer."""

    def __init__(self, on_frame: Callable[[bytes, asyncio.Transport], None]) -> None:
        self._on_frame = on_frame
        self._received = bytearray()
        self._wanted_bytes = _SIZE.size

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Cut what came into frames."""
        received = self._received
        received += data
        if len(received) < self._wanted_bytes:
            return
        start = 0
        while len(received) - start >= _SIZE.size:
            end = start + _SIZE.size + _SIZE.unpack_from(received, start)[0]
            if len(received) < end:
                self._wanted_bytes = end - start
                break
            with memoryview(received) as view:
                frame = bytes(view[start + _SIZE.size : end])
            start = end
            self._wanted_bytes = _SIZE.size
            self._on_frame(frame, self.transport)
        del received[:start]


def _send(transport: asyncio.Transport, packed: bytes) -> None:
    if len(packed) < READ_BYTES:
        transport.write(_SIZE.pack(len(packed)) + packed)
    else:  # one copy less
        transport.writelines((_SIZE.pack(len(packed)), packed))


class Client:
    """A future for each call that is under way."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self.frames = Frames(self._on_frame)

    def _on_frame(self, frame: bytes, _: asyncio.Transport) -> None:
        number, result = msgpack.unpackb(frame)
        self._waiting.pop(number).set_result(result)

    def _call(self, name: str, argument: object, *more: object) -> asyncio.Future[Any]:
        number = next(self._numbers)
        future = self._waiting[number] = self._loop.create_future()
        _send(self.frames.transport, msgpack.packb((number, name, argument, *more)))
        return future

    async def add(self, a: int, b: int) -> int:
        """One frame there, one back."""
        return cast(int, await self._call("add", a, b))

    async def in_flight(self, calls: int) -> None:
        """uvloop sends the frames of a loop turn together by itself."""
        await in_tasks(self.add, calls)

    async def bulk(self, size_bytes: int) -> bytes:
        """A MessagePack bin."""
        return cast(bytes, await self._call("bulk", size_bytes))

    async def array_sum(self, values: Floats) -> float:
        """A MessagePack bin."""
        return cast(float, await self._call("array_sum", values.data.cast("B")))


class Stream:
    """TCP, or TLS over it."""

    def __init__(self, *, encrypted: bool) -> None:
        self._encrypted = encrypted

    async def serve(self, join: Sequence[str], ready: Ready) -> None:
        """Answer each frame when it is whole."""

        def on_frame(frame: bytes, transport: asyncio.Transport) -> None:
            _send(transport, respond(frame))

        context = server_context() if self._encrypted else None
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Frames(on_frame), "127.0.0.1", 0, ssl=context)
        ready(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    @asynccontextmanager
    async def client(self, addresses: Sequence[str]) -> AsyncIterator[Client]:
        """One connection."""
        client = Client()
        context = client_context() if self._encrypted else None
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: client.frames, "127.0.0.1", int(addresses[0]), ssl=context)
        try:
            yield client
        finally:
            client.frames.transport.abort()


class RawClient:
    """Blocking TLS; received into one buffer that is used again and again, which is raw TLS at its best."""

    def __init__(self, connected: ssl.SSLSocket) -> None:
        self._socket = connected
        self._buffer = memoryview(bytearray(BULK_BYTES))

    async def bulk(self, size_bytes: int) -> memoryview:
        """The size there, the bytes back."""
        self._socket.sendall(_SIZE.pack(size_bytes))
        view = self._buffer[:size_bytes]
        received = 0
        while received < size_bytes:
            count = self._socket.recv_into(view[received:])
            assert count, "the server closed the connection"
            received += count
        return view

    async def file(self) -> int:
        """What the server has in memory already, which is raw TLS at its best."""
        return (await self.bulk(BULK_BYTES)).nbytes


class RawTls:
    """One blocking TLS 1.3 connection, for bulk."""

    async def serve(self, join: Sequence[str], ready: Ready) -> None:
        """Answer each size with that many bytes."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ready(listener.getsockname()[1])
            accepted, _ = listener.accept()
            with server_context().wrap_socket(accepted, server_side=True) as connected:
                while request := connected.recv(_SIZE.size):
                    connected.sendall(payload(_SIZE.unpack(request)[0]))

    @asynccontextmanager
    async def client(self, addresses: Sequence[str]) -> AsyncIterator[RawClient]:
        """One connection."""
        with (
            socket.create_connection(("127.0.0.1", int(addresses[0]))) as plain,
            client_context().wrap_socket(plain) as connected,
        ):
            yield RawClient(connected)


ADAPTERS = {"tcp": Stream(encrypted=False), "tls": Stream(encrypted=True), "raw": RawTls()}
