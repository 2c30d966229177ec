"""Pyro5 with its MessagePack serializer, which is quicker than its default, serpent. In the clear."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from typing import Any, cast

import Pyro5.api

from performance.peers import service
from performance.shape import IN_FLIGHT, Floats, Ready, payload


@Pyro5.api.expose
class Server:
    """The remote object."""

    def add(self, a: int, b: int) -> int:
        """The small call."""
        return service.add(a, b)

    def bulk(self, size_bytes: int) -> bytes:
        """The large result."""
        return payload(size_bytes)

    def array_sum(self, raw: bytes) -> float:
        """The large argument."""
        return service.array_sum(raw)


class Client:
    """A proxy, and a thread with a proxy for each call in flight."""

    def __init__(self, address: str, stack: ExitStack) -> None:
        self._proxy = stack.enter_context(Pyro5.api.Proxy(address))
        self._proxies = [stack.enter_context(Pyro5.api.Proxy(address)) for _ in range(IN_FLIGHT)]
        self._threads = stack.enter_context(ThreadPoolExecutor(IN_FLIGHT))

    async def add(self, a: int, b: int) -> int:
        """One request there, one back."""
        return cast(int, self._proxy.add(a, b))

    async def in_flight(self, calls: int) -> None:
        """Pyro5 has no asynchronous calls: a thread each."""

        def worker(proxy: Any, share: int) -> None:
            proxy._pyroClaimOwnership()
            for _ in range(share):
                assert proxy.add(1, 2) == 3

        shares = [(calls + index) // IN_FLIGHT for index in range(IN_FLIGHT)]
        list(self._threads.map(worker, self._proxies, shares))

    async def bulk(self, size_bytes: int) -> bytes:
        """A MessagePack bin."""
        return cast(bytes, self._proxy.bulk(size_bytes))

    async def array_sum(self, values: Floats) -> float:
        """A MessagePack bin."""
        return cast(float, self._proxy.array_sum(values.tobytes()))


class Pyro:
    """Its thread server, as it is by default."""

    async def serve(self, join: Sequence[str], ready: Ready) -> None:
        """Run the daemon's own loop."""
        Pyro5.config.SERIALIZER = "msgpack"
        with Pyro5.api.Daemon(host="127.0.0.1") as daemon:
            ready(daemon.register(Server(), "server"))
            daemon.requestLoop()

    @asynccontextmanager
    async def client(self, addresses: Sequence[str]) -> AsyncIterator[Client]:
        """Connections are made when they are first used."""
        Pyro5.config.SERIALIZER = "msgpack"
        with ExitStack() as stack:
            yield Client(addresses[0], stack)


ADAPTERS = {"msgpack": Pyro()}
