"""`rpc.executor()`: what concurrent.futures promises of an executor, in plain threads and beside an event loop."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, CancelledError, Executor, as_completed, wait
from typing import Any

import numpy as np
import pytest
from tests.plugins.rpc.conftest import Network
from tests.plugins.rpc.peers import peer, peers

import guthi
from guthi_rpc import RPC, Rpc, UnknownFunction


class Gate:
    """A function that many calls wait in, until it is opened."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self._open = threading.Event()

    def __call__(self, number: int) -> int:
        self.begun.append(number)
        assert self._open.wait(60)
        return number

    def open(self) -> None:
        self._open.set()


def until(condition: Callable[[], bool]) -> None:
    """Wait until it is so."""
    pause = threading.Event()
    for _ in range(4000):
        if condition():
            return
        pause.wait(0.005)
    pytest.fail("it never came to be so")


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open()


@pytest.fixture
def nodes(gate: Gate) -> Iterator[tuple[dict[str, guthi.BlockingNode], Any]]:
    """Two nodes, which run two calls each at a time, and the service of a client of theirs."""
    with peers("alice", "bob", threads=2) as (both, client):
        for node in both.values():
            service = node.require(RPC)
            service.register(lambda base, power=2: base**power, name="power")
            service.register(lambda above, below: above // below, name="divide")
            service.register(lambda *arguments, **named: [list(arguments), named], name="told")
            service.register(np.arange, name="array")
            service.register(gate, name="gate")
        client.available("gate", nodes=2, timeout=60)
        yield both, client
        gate.open()


@pytest.fixture
def rpc(nodes: tuple[dict[str, guthi.BlockingNode], Any]) -> Any:
    return nodes[1]


# ---- submit


def test_a_call_and_what_it_raises(rpc: Any) -> None:
    with rpc.executor() as pool:
        assert isinstance(pool, Executor)
        assert pool.submit("power", 2, power=10).result(10) == 1024
        assert pool.submit("told", 1, self=2, fn=3).result(10) == [[1], {"self": 2, "fn": 3}]
        error = pool.submit("divide", 1, 0).exception(10)
        assert isinstance(error, ZeroDivisionError)
        assert "divide" in error.__notes__[0] or "Traceback" in error.__notes__[0]
        with pytest.raises(UnknownFunction, match="did you mean 'power'"):
            pool.submit("powre", 1).result(10)


def test_futures_can_be_waited_for_together(rpc: Any, gate: Gate) -> None:
    with rpc.executor() as pool:
        good, bad, late = pool.submit("power", 3), pool.submit("divide", 1, 0), pool.submit("gate", 1)
        done, pending = wait([good, bad, late], timeout=60, return_when=FIRST_EXCEPTION)
        assert bad in done and pending >= {late}
        assert set(as_completed([good, bad], timeout=60)) == {good, bad}
        gate.open()
        assert late.result(10) == 1


def test_a_call_that_has_not_begun_can_be_cancelled(rpc: Any, gate: Gate) -> None:
    with rpc.executor(max_workers=1) as pool:
        first, second, third = (pool.submit("gate", number) for number in range(3))
        until(lambda: gate.begun == [0])
        assert first.running() and not first.cancel()
        assert not second.running() and second.cancel() and second.cancelled()
        gate.open()
        assert (first.result(10), third.result(10)) == (0, 2)
        with pytest.raises(CancelledError):
            second.result(10)
    assert gate.begun == [0, 2]


def test_more_calls_than_the_nodes_can_take_wait_at_the_caller(rpc: Any, gate: Gate) -> None:
    with rpc.executor() as pool:
        futures = [pool.submit("gate", number) for number in range(40)]
        until(lambda: len(gate.begun) == 4)
        assert sum(future.running() for future in futures) == 6  # two nodes, with two threads and one that waits
        gate.open()
        assert [future.result(10) for future in futures] == list(range(40))


def test_callbacks_run_away_from_the_loop(rpc: Any) -> None:
    seen: list[Any] = []
    called = threading.Event()

    def on_done(future: Any) -> None:
        seen.append((future.result(), threading.current_thread().name, rpc.call("power", 5)))
        called.set()

    with rpc.executor() as pool:
        pool.submit("power", 3).add_done_callback(on_done)
        assert called.wait(60)
    ((value, thread, other),) = seen
    assert (value, other) == (9, 25)
    assert thread.startswith("guthi-executor-")


def test_a_newcomer_takes_what_waits(nodes: tuple[dict[str, guthi.BlockingNode], Any], gate: Gate) -> None:
    both, rpc = nodes
    with rpc.executor() as pool, peer("carol", str(both["alice"].address), threads=2) as carol:
        futures = [pool.submit("gate", number) for number in range(20)]
        until(lambda: len(gate.begun) == 4)
        carol.require(RPC).register(gate, name="gate")
        until(lambda: len(gate.begun) == 6)
        gate.open()
        assert [future.result(10) for future in futures] == list(range(20))


# ---- map


def test_map_keeps_the_order(rpc: Any) -> None:
    with rpc.executor() as pool:
        assert list(pool.map("power", range(50))) == [number**2 for number in range(50)]
        assert list(pool.map("power", [2, 3, 4], [3, 2, 1, 0], chunksize=2)) == [8, 9, 4]
        assert list(pool.map("power", [])) == []
        with pytest.raises(ValueError, match="chunksize must be >= 1"):
            pool.map("power", [1], chunksize=0)


def test_map_raises_in_the_place_of_the_item(rpc: Any) -> None:
    with rpc.executor() as pool:
        results = pool.map("divide", [4, 4, 4, 4], [1, 2, 0, 4])
        assert [next(results), next(results)] == [4, 2]
        with pytest.raises(ZeroDivisionError):
            next(results)
        assert list(results) == []
        with pytest.raises(UnknownFunction):
            list(pool.map("nothing", [1]))


def test_map_begins_without_being_iterated(rpc: Any, gate: Gate) -> None:
    gate.open()
    pool = rpc.executor()
    results = pool.map("gate", range(10))
    pool.shutdown(wait=True)
    assert sorted(gate.begun) == list(range(10))
    assert list(results) == list(range(10))


def test_map_gives_up_after_its_timeout(rpc: Any, gate: Gate) -> None:
    with rpc.executor() as pool:
        with pytest.raises(TimeoutError):
            next(pool.map("gate", range(100), timeout=0.05))
        gate.open()
    assert len(gate.begun) < 100


# ---- the end


def test_nothing_is_taken_after_shutdown(rpc: Any) -> None:
    pool = rpc.executor()
    future = pool.submit("power", 2)
    pool.shutdown()
    assert future.done()
    for attempt in (lambda: pool.submit("power", 2), lambda: pool.map("power", [2])):
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            attempt()
    pool.shutdown()


def test_shutdown_waits_for_what_has_begun(rpc: Any, gate: Gate) -> None:
    pool = rpc.executor(max_workers=1)
    futures = [pool.submit("gate", number) for number in range(5)]
    results = pool.map("gate", range(10, 13))
    until(lambda: 0 in gate.begun and 10 in gate.begun)
    threading.Timer(0.05, gate.open).start()
    pool.shutdown(cancel_futures=True)
    assert futures[0].result(0) == 0
    assert all(future.cancelled() for future in futures[1:])
    with pytest.raises(CancelledError):
        list(results)


def test_shutdown_without_waiting(rpc: Any, gate: Gate) -> None:
    pool = rpc.executor()
    future = pool.submit("gate", 7)
    pool.shutdown(wait=False)
    gate.open()
    assert future.result(10) == 7
    until(lambda: not any(thread.name.startswith("guthi-executor-") for thread in threading.enumerate()))


def test_an_executor_that_is_dropped_ends_its_thread(rpc: Any) -> None:
    pool = rpc.executor()
    assert pool.submit("power", 2).result(10) == 4
    gone = weakref.ref(pool)
    del pool
    gc.collect()
    assert gone() is None
    until(lambda: not any(thread.name.startswith("guthi-executor-") for thread in threading.enumerate()))


def test_a_result_is_not_held(rpc: Any) -> None:
    with rpc.executor() as pool:
        for array in pool.map("array", [5, 50_000, 7]):
            held = weakref.ref(array)
            del array
            gc.collect()
            assert held() is None


def test_when_the_node_is_closed(gate: Gate) -> None:
    with peer("alice", threads=1) as alice:
        alice.require(RPC).register(gate, name="gate")
        with guthi.connect(join=[str(alice.address)]) as client:
            rpc = client.require(RPC)
            rpc.available("gate", timeout=60)
            pool = rpc.executor()
            futures = [pool.submit("gate", number) for number in range(9)]
            results = pool.map("gate", range(9))
            until(lambda: len(gate.begun) == 1)
        for future in futures:
            with pytest.raises(guthi.NodeClosed):
                future.result(10)
        with pytest.raises(guthi.NodeClosed):
            list(results)
        with pytest.raises(guthi.NodeClosed):
            pool.submit("gate", 1)
        pool.shutdown()
        gate.open()


@pytest.mark.parametrize("number", [0, -1])
def test_refused_settings(rpc: Any, number: int) -> None:
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        rpc.executor(max_workers=number)
    with pytest.raises(guthi.UsageError, match='"thread" or in a "process"'):
        rpc.executor(run="inline")


def test_the_number_of_workers(rpc: Any) -> None:
    assert rpc.executor().workers("power") == 4
    assert rpc.executor(on="bob").workers("power") == 2
    with pytest.raises(UnknownFunction):
        rpc.executor().workers("nothing")


# ---- beside an event loop


async def test_in_run_in_executor_on_the_nodes_own_loop(network: Network, alice: Rpc, bob: Rpc) -> None:
    def cube(number: int) -> int:
        return number**3

    bob.register(cube)
    await alice.available("cube", timeout=60)
    loop = asyncio.get_running_loop()
    with alice.executor() as pool, bob.executor() as here:
        assert await loop.run_in_executor(pool, "cube", 3) == 27  # type: ignore[arg-type]  # a name, for our executors
        assert await loop.run_in_executor(here, cube, 4) == 64
        assert await asyncio.wrap_future(pool.submit("cube", 2)) == 8
        assert await asyncio.to_thread(lambda: list(pool.map("cube", range(4)))) == [0, 1, 8, 27]


async def test_waiting_on_the_nodes_own_loop_is_refused(network: Network, alice: Rpc, gate: Gate) -> None:
    alice.register(gate, name="gate")
    pool = alice.executor()
    future, results = pool.submit("gate", 1), pool.map("gate", [2])
    for attempt in (future.result, future.exception, lambda: next(results), pool.shutdown):
        with pytest.raises(guthi.UsageError, match=r"await asyncio\.wrap_future"):
            attempt()
    gate.open()
    assert await asyncio.wrap_future(future) == 1
    await asyncio.to_thread(pool.shutdown)
    pool.shutdown()
