"""gRPC, blocking and asyncio: unary calls with MessagePack in place of Protocol Buffers. In the clear."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc
import msgpack

from performance.peers.service import FUNCTIONS
from performance.shape import IN_FLIGHT, Floats, Ready, in_tasks

METHOD = "/bench/call"
OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


def _respond(request: list[Any], _: object) -> Any:
    name, *arguments = request
    return FUNCTIONS[name](*arguments)


async def _respond_later(request: list[Any], context: object) -> Any:
    return _respond(request, context)


def _handler(respond: Callable[..., Any]) -> grpc.GenericRpcHandler:
    method = grpc.unary_unary_rpc_method_handler(respond, msgpack.unpackb, msgpack.packb)
    return grpc.method_handlers_generic_handler("bench", {"call": method})


class BlockingClient:
    """A stub that waits."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub

    async def add(self, a: int, b: int) -> int:
        """A unary call."""
        return cast(int, self._stub(("add", a, b)))

    async def in_flight(self, calls: int) -> None:
        """Futures, a new one for the oldest that is done."""
        under_way: deque[Any] = deque()
        for number in range(calls + IN_FLIGHT):
            if number >= IN_FLIGHT:
                assert under_way.popleft().result() == 3
            if number < calls:
                under_way.append(self._stub.future(("add", 1, 2)))

    async def bulk(self, size_bytes: int) -> bytes:
        """A MessagePack bin."""
        return cast(bytes, self._stub(("bulk", size_bytes)))

    async def array_sum(self, values: Floats) -> float:
        """A MessagePack bin."""
        return cast(float, self._stub(("array_sum", values.data.cast("B"))))


class Blocking:
    """The server with a pool of threads."""

    async def serve(self, join: Sequence[str], ready: Ready) -> None:
        """Four threads: more only wait for the interpreter."""
        server = grpc.server(ThreadPoolExecutor(4), [_handler(_respond)], options=OPTIONS)
        ready(server.add_insecure_port("127.0.0.1:0"))
        server.start()
        server.wait_for_termination()

    @asynccontextmanager
    async def client(self, addresses: Sequence[str]) -> AsyncIterator[BlockingClient]:
        """One channel."""
        with grpc.insecure_channel(f"127.0.0.1:{addresses[0]}", OPTIONS) as channel:
            yield BlockingClient(channel.unary_unary(METHOD, msgpack.packb, msgpack.unpackb))


class AsyncioClient:
    """A stub that is awaited."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub

    async def add(self, a: int, b: int) -> int:
        """A unary call."""
        return cast(int, await self._stub(("add", a, b)))

    async def in_flight(self, calls: int) -> None:
        """Tasks."""
        await in_tasks(self.add, calls)

    async def bulk(self, size_bytes: int) -> bytes:
        """A MessagePack bin."""
        return cast(bytes, await self._stub(("bulk", size_bytes)))

    async def array_sum(self, values: Floats) -> float:
        """A MessagePack bin."""
        return cast(float, await self._stub(("array_sum", values.data.cast("B"))))


class Asyncio:
    """The asyncio server, on asyncio's own loop, which its documentation assumes."""

    on_stdlib_loop = True

    async def serve(self, join: Sequence[str], ready: Ready) -> None:
        """Answer on the loop."""
        server = grpc.aio.server(options=OPTIONS)
        server.add_generic_rpc_handlers([_handler(_respond_later)])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        ready(port)
        await asyncio.Event().wait()

    @asynccontextmanager
    async def client(self, addresses: Sequence[str]) -> AsyncIterator[AsyncioClient]:
        """One channel."""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{addresses[0]}", OPTIONS) as channel:
            yield AsyncioClient(channel.unary_unary(METHOD, msgpack.packb, msgpack.unpackb))


ADAPTERS = {"blocking": Blocking(), "asyncio": Asyncio()}
