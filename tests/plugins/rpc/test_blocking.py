"""The plugin without async: from a plain thread, by the names that the asynchronous face has."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from itertools import count

import pytest

import guthi
from guthi_rpc import RPC, Rpc, UnknownFunction


class Server:
    """A node that runs in a loop and a thread of its own, as another process would."""

    def __init__(self) -> None:
        self.waiting = 0
        self.cancelled = 0
        self._ready, self._loop = threading.Event(), asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))
        self._thread.start()
        assert self._ready.wait(60)

    async def _serve(self) -> None:
        node = {"name": "server", "listen": "127.0.0.1:0", "plugins": ["rpc"]}
        async with guthi.Node(guthi.Config.from_mapping({"node": node}, environment={})) as self.node:
            self.rpc: Rpc = self.node.require(RPC)
            self.rpc.register(lambda left, right=1: left + right, name="add")
            self.rpc.register(self._wait, name="wait")
            self._ready.set()
            await self._stop.wait()

    async def _wait(self, value: int) -> int:
        self.waiting += 1
        try:
            if value:
                await asyncio.Event().wait()
            return value
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.stop()


def test_calls_and_maps_from_a_plain_thread(server: Server) -> None:
    with guthi.connect(join=[str(server.node.address)]) as node:
        rpc = node.require(RPC)
        assert rpc.call("add", 1, right=2) == 3
        assert sorted(value for _, value in rpc.map("add", range(20))) == list(range(1, 21))
        assert [each.name for each in rpc.functions()] == ["add", "wait"]
        with pytest.raises(UnknownFunction, match="did you mean 'add'"):
            rpc.call("ad")
        with pytest.raises(guthi.NotEncodable, match="argument 1 of 'add'"):
            rpc.call("add", object())
        with pytest.raises(guthi.DeadlineExceeded):
            rpc.call("wait", 1, timeout=0.05)


def test_leaving_a_map_early(server: Server) -> None:
    with guthi.connect(join=[str(server.node.address)]) as node:
        rpc = node.require(RPC)
        for item, _ in rpc.map("wait", count()):
            assert item == 0
            break
        while server.cancelled < server.waiting - 1 or not server.cancelled:
            assert rpc.call("add", 1) == 2


def test_functions_of_a_blocking_peer(server: Server) -> None:
    with guthi.connect(join=[str(server.node.address)], role="peer") as node:
        rpc = node.require(RPC)

        @rpc.function
        def double(value: int) -> int:
            return 2 * value

        @rpc.function(name="thrice")
        def triple(value: int) -> int:
            return 3 * value

        assert (double(1), triple(1)) == (2, 3)
        assert (rpc.call("double", 2), rpc.call("thrice", 2)) == (4, 6)
        asked = asyncio.run_coroutine_threadsafe(server.rpc.call("thrice", 5), server._loop)
        assert asked.result(10) == 15


def test_a_function_that_calls_back_runs_in_a_thread(server: Server) -> None:
    with guthi.connect(join=[str(server.node.address)], role="peer") as node:
        rpc = node.require(RPC)
        rpc.register(lambda: rpc.call("add", 1), name="inline", run="inline")
        rpc.register(lambda: rpc.call("add", 1), name="thread")
        with pytest.raises(guthi.UsageError, match='run="thread"'):
            rpc.call("inline", timeout=10)
        assert rpc.call("thread", timeout=10) == 2
        with pytest.raises(guthi.UsageError, match="give map a list"):
            list(rpc.map("add", (rpc.call("add", number) for number in range(3))))


def test_functions_of_a_blocking_client_are_refused(server: Server) -> None:
    with guthi.connect(join=[str(server.node.address)]) as node, pytest.raises(guthi.UsageError, match='role="peer"'):
        node.require(RPC).register(len)


def test_every_kind_of_call_from_a_plain_thread(server: Server) -> None:
    with guthi.connect(join=[str(server.node.address)]) as node:
        rpc = node.require(RPC)
        assert rpc.options(key="k", timeout=10).call("add", 1) == 2
        assert rpc.gather("add", 1).values == [2]
        calls = [rpc.submit("add", number) for number in range(5)]
        assert [call.wait() for call in calls] == [1, 2, 3, 4, 5]
        assert [call.done() for call in calls] == [True] * 5
        assert rpc.state(calls[0]) is None
        rpc.cast("add", 1)
        assert rpc.reduce("add", "add", [(1, 1), (2, 2)], star=True) == 6
