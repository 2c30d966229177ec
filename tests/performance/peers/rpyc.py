"""RPyC as it is by default: a threaded server, compression on. In the clear."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import rpyc
from rpyc.utils.server import ThreadedServer

from performance.peers import service
from performance.shape import IN_FLIGHT, Floats, Ready, payload

CONFIG = {"sync_request_timeout": None}


class Server(rpyc.Service):  # type: ignore[misc]
    """The remote object."""

    def exposed_add(self, a: int, b: int) -> int:
        """The small call."""
        return service.add(a, b)

    def exposed_bulk(self, size_bytes: int) -> bytes:
        """The large result."""
        return payload(size_bytes)

    def exposed_array_sum(self, raw: bytes) -> float:
        """The large argument."""
        return service.array_sum(raw)


class Client:
    """One connection; functions of the root are looked up once."""

    def __init__(self, connection: Any) -> None:
        root = connection.root
        self._add, self._bulk, self._array_sum = root.add, root.bulk, root.array_sum
        self._add_later = rpyc.async_(self._add)

    async def add(self, a: int, b: int) -> int:
        """One request there, one back."""
        return cast(int, self._add(a, b))

    async def in_flight(self, calls: int) -> None:
        """Asynchronous requests, a new one for the oldest that is done."""
        under_way: deque[Any] = deque()
        for number in range(calls + IN_FLIGHT):
            if number >= IN_FLIGHT:
                assert under_way.popleft().value == 3
            if number < calls:
                under_way.append(self._add_later(1, 2))

    async def bulk(self, size_bytes: int) -> bytes:
        """Bytes go by value."""
        return cast(bytes, self._bulk(size_bytes))

    async def array_sum(self, values: Floats) -> float:
        """Bytes go by value; an array would go by reference, one attribute a round trip."""
        return cast(float, self._array_sum(values.tobytes()))


class Rpyc:
    """Its threaded server."""

    async def serve(self, join: Sequence[str], ready: Ready) -> None:
        """Run the server's own loop."""
        server = ThreadedServer(Server, hostname="127.0.0.1", port=0, protocol_config=CONFIG)
        ready(server.port)
        server.start()

    @asynccontextmanager
    async def client(self, addresses: Sequence[str]) -> AsyncIterator[Client]:
        """One connection."""
        connection = rpyc.connect("127.0.0.1", int(addresses[0]), config=CONFIG)
        try:
            yield Client(connection)
        finally:
            connection.close()


ADAPTERS = {"default": Rpyc()}
