"""Real nodes on loopback, in this process, that end with the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

import guthi
from guthi_rpc import RPC, Rpc


class Network:
    """Nodes that join through the first one; `rpc` starts one and gives its service.

    They share a process: where it gets little of the processor, none hears the others for long, and none is lost.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, guthi.Node] = {}

    async def node(self, name: str, *, zone: str = "", role: str = "peer", **rpc: int) -> guthi.Node:
        """Start a node; `rpc` is its table [plugins.rpc]."""
        join = [str(each.address) for each in self.nodes.values()][:1]
        own = {"name": name, "zone": zone, "role": role, "listen": "127.0.0.1:0", "join": join, "plugins": ["rpc"]}
        tables: dict[str, Any] = {"node": own, "plugins": {"rpc": rpc}, "transport": {"timeout": "50s"}}
        node = guthi.Node(guthi.Config.from_mapping(tables, environment={}))
        self.nodes[name] = await node.__aenter__()
        return node

    async def rpc(self, name: str, *, zone: str = "", role: str = "peer", **rpc: int) -> Rpc:
        """Start a node and give its service."""
        node = await self.node(name, zone=zone, role=role, **rpc)
        return node.require(RPC)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it is so."""
        for _ in range(4000):
            if condition():
                return
            await asyncio.sleep(0.005)
        pytest.fail("it never came to be so")

    async def stop(self, name: str) -> None:
        """Let a node leave."""
        await self.nodes.pop(name).__aexit__(None, None, None)


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    world = Network()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(_stop_all, world)
        yield world


async def _stop_all(world: Network) -> None:
    for name in list(world.nodes):
        await world.stop(name)


@pytest.fixture
async def alice(network: Network) -> Rpc:
    return await network.rpc("alice", zone="here")


@pytest.fixture
async def bob(network: Network, alice: Rpc) -> Rpc:
    return await network.rpc("bob", zone="there")
