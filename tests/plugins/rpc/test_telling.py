"""What a node says of the maps that it runs and of the calls that are under way: dashboards read it."""

from __future__ import annotations

import asyncio

from tests.kernel.nodes import a_node

from guthi_rpc import RPC, RpcPlugin


async def test_maps_and_calls_in_flight_are_told() -> None:
    async with a_node("alice", plugins=[RpcPlugin]) as node:
        rpc, gate = node.require(RPC), asyncio.Event()

        @rpc.function
        async def wait(item: int) -> int:
            await gate.wait()
            return item

        assert rpc.maps() == [] and rpc.in_flight() == (0, 0)
        call = asyncio.create_task(rpc.call("wait", 1))
        async with asyncio.timeout(60):
            while rpc.in_flight() != (1, 1):
                await asyncio.sleep(0.005)
            gate.set()
            assert await call == 1 and rpc.in_flight() == (0, 0)
            assert {result.value async for result in rpc.map("wait", range(10))} == set(range(10))
        (progress,) = rpc.maps()
        assert (progress.function, progress.done, progress.total) == ("wait", 10, 10)
        assert progress.ended_at is not None
