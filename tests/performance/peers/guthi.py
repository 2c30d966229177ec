"""Guthi: nodes with the rpc plugin, always encrypted; by default, with polling, and on a path of 1,400 bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

import numpy as np

from guthi import Config, ConfigError, Node
from guthi.api import Address, DatagramReceiver, Datagrams
from guthi.host.udp import SystemHost
from guthi_mandelbrot.plugin import MandelbrotPlugin, render_distributed
from guthi_mutex import MUTEX
from guthi_rpc import RPC, Rpc
from performance.contest import Contest, contend, contest
from performance.peers.service import add, nap
from performance.picture import BANDS, VIEW, WORKERS
from performance.shape import Floats, Missing, Ready, in_tasks, payload

SETTLE_S = 3.0
AVAILABLE_S = 10.0
POLL_US = 300
NARROW_BYTES = 1400


class NarrowHost(SystemHost):
    """This machine, as if its loopback carried no more than NARROW_BYTES of UDP payload."""

    async def open_datagrams(self, address: Address, receiver: DatagramReceiver) -> Any:
        """A real port, but for the size."""
        return _NarrowPort(await super().open_datagrams(address, receiver))


class _NarrowPort:
    def __init__(self, port: Datagrams) -> None:
        self._port = port

    def max_datagram_bytes(self, destination: Address) -> int:
        return min(NARROW_BYTES, self._port.max_datagram_bytes(destination))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


def _config(join: Sequence[str], transport: Mapping[str, Any]) -> Config:
    node = {"listen": "127.0.0.1:0", "join": list(join), "plugins": ["rpc"]}
    plugins = {"rpc": {"threads": 1}}  # a server is one worker, as it is for the others
    try:
        return Config.from_mapping({"node": node, "transport": dict(transport), "plugins": plugins}, environment={})
    except ConfigError as error:
        raise Missing(f"this Guthi says: {error}") from error


def _array_sum(values: Floats) -> float:
    return float(values.sum())


class Caller:
    """A node that calls small functions."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def add(self, a: int, b: int) -> int:
        """A call of the global function store."""
        return cast(int, await self._rpc.call("add", a, b))

    async def in_flight(self, calls: int) -> None:
        """Tasks."""
        await in_tasks(self.add, calls)


class Fetcher:
    """A node that fetches a large result."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def bulk(self, size_bytes: int) -> Any:
        """Bytes."""
        return await self._rpc.call("bulk", size_bytes)


class Everything(Caller, Fetcher):
    """A node that does all that one server can do for it."""

    async def array_sum(self, values: Floats) -> float:
        """The array goes as an array."""
        return cast(float, await self._rpc.call("array_sum", values))


class Distributor:
    """A node that has others work for it."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def map_add(self, items: int) -> int:
        """A map, in whatever order results come."""
        arguments = [(item, 1) for item in range(items)]
        return sum([result.value async for result in self._rpc.map("add", arguments, star=True)])

    async def uneven(self, seconds: Sequence[float]) -> int:
        """A map that knows nothing of the tasks."""
        return len([result async for result in self._rpc.map("nap", seconds)])

    async def picture(self) -> Any:
        """As the demonstration does it."""
        times, _ = await render_distributed(self._rpc, VIEW, BANDS)
        return np.asarray(times)


class Nodes:
    """Servers and client are nodes; `client_kind` says what the client is used for, `transport` is the TOML table."""

    def __init__(
        self,
        client_kind: type[Any],
        transport: Mapping[str, Any] | None = None,
        host: type[SystemHost] = SystemHost,
        servers: int = 1,
    ) -> None:
        self._client_kind, self._transport, self._host = client_kind, transport or {}, host
        self._servers = servers

    def _node(self, join: Sequence[str], **further: Any) -> Node:
        config = _config(join, self._transport)
        host = self._host(config.transport.max_datagram, config.transport.receive_buffer)
        return Node(config, host=host, **further)

    async def serve(self, join: Sequence[str], ready: Ready) -> None:
        """Functions that return at once run inline; the bands of the picture run in a thread, as in the app."""
        async with self._node(join, plugins=[MandelbrotPlugin]) as node:
            rpc = node.require(RPC)
            for function, name in ((add, "add"), (payload, "bulk"), (_array_sum, "array_sum")):
                rpc.register(function, name=name, run="inline")
            rpc.register(nap)
            ready(node.address)
            await asyncio.Event().wait()

    @asynccontextmanager
    async def client(self, addresses: Sequence[str]) -> AsyncIterator[Any]:
        """A node that has joined and knows the functions."""
        async with self._node(addresses) as node:
            rpc = node.require(RPC)
            await rpc.available("array_sum", nodes=self._servers, timeout=AVAILABLE_S)
            yield self._client_kind(rpc)


class Idle:
    """What looks at nodes that have nothing to do."""

    async def settle(self) -> None:
        """Let joining and the first gossip pass."""
        await asyncio.sleep(SETTLE_S)


class IdleNodes(Nodes):
    """A network of servers only; whoever looks is no node."""

    def __init__(self) -> None:
        super().__init__(Idle)

    @asynccontextmanager
    async def client(self, addresses: Sequence[str]) -> AsyncIterator[Any]:
        """Nothing to connect."""
        yield Idle()


class LockingNodes:
    """Contenders that are nodes with the plugin mutex."""

    async def serve(self, join: Sequence[str], ready: Ready) -> None:
        """Contend."""
        addresses = [address.split()[1] for address in join]
        config = {"node": {"listen": "127.0.0.1:0", "join": addresses, "plugins": ["mutex"]}}
        async with Node(Config.from_mapping(config, environment={})) as node:
            mutex = node.require(MUTEX)
            await contend(lambda: mutex.lock("bench"), ready, node.address)

    def client(self, addresses: Sequence[str]) -> AbstractAsyncContextManager[Contest]:
        """Of all contenders."""
        return contest(addresses)


ADAPTERS = {
    "default": Nodes(Everything),
    "polling": Nodes(Caller, {"busy_poll_us": POLL_US}),
    "narrow": Nodes(Fetcher, {"max_datagram": NARROW_BYTES}, NarrowHost),
    "idle": IdleNodes(),
    "locks": LockingNodes(),
    "workers": Nodes(Distributor, servers=WORKERS),
}
