"""Calls between real nodes: values arrive without loss, failures as what they are, and nothing ends a node."""

from __future__ import annotations

import asyncio
import math
import operator
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import guthi
from guthi_rpc import RPC, Rpc, UnknownFunction, WorkerDied

if TYPE_CHECKING:
    from .conftest import Network


def add(left: int, right: int = 1) -> int:
    """The sum."""
    return left + right


# ---- values


async def test_arguments_by_place_and_by_name(alice: Rpc, bob: Rpc) -> None:
    bob.register(lambda *arguments, **named: [arguments, named], name="echo")
    assert await alice.call("echo", 1, "two", b"3", None, key=[4.5], name="n") == [
        [1, "two", b"3", None],
        {"key": [4.5], "name": "n"},
    ]


ARRAYS = {
    "float64": np.linspace(0, 1, 1000),
    "complex64": np.ones((3, 4), np.complex64) * 1j,
    "bool": np.array([True, False]),
    "int8": np.arange(-5, 5, dtype=np.int8),
    "uint64": np.array([2**64 - 1], np.uint64),
    "big endian": np.arange(5, dtype=">i4"),
    "float16": np.arange(3, dtype=np.float16),
    "no dimension": np.array(3.5),
    "empty": np.zeros((0, 3), np.int32),
    "not contiguous": np.arange(10_000).reshape(100, 100)[::3, ::-2],
    "by columns": np.asfortranarray(np.arange(20_000.0).reshape(100, 200)),
    "read only": np.broadcast_to(np.int16(7), (4, 5)),
}


@pytest.mark.parametrize("name", ARRAYS)
async def test_arrays_travel_both_ways_without_loss(name: str, alice: Rpc, bob: Rpc) -> None:
    array = ARRAYS[name]
    seen: list[Any] = []

    def echo(value: Any) -> Any:
        seen.append(value)
        return value

    bob.register(echo, run="inline")
    back = await alice.call("echo", array)
    for each in (seen[0], back):
        assert each.dtype == array.dtype
        assert each.shape == array.shape
        assert np.array_equal(each, array)


async def test_64_mib_there_and_back(alice: Rpc, bob: Rpc) -> None:
    bob.register(lambda value: value, name="echo")
    value = np.random.default_rng(1).integers(0, 256, 64 << 20, np.uint8)
    assert np.array_equal(await alice.call("echo", value, timeout=60), value)


async def test_an_argument_without_a_form_is_named(alice: Rpc, bob: Rpc) -> None:
    bob.register(add)
    with pytest.raises(guthi.NotEncodable, match="argument 2 of 'add': an object cannot travel"):
        await alice.call("add", 1, object())
    with pytest.raises(guthi.NotEncodable, match=r"argument right of 'add': value\[0\]\['key'\]"):
        await alice.call("add", 1, right=[{"key": add}])
    assert await alice.call("add", 1) == 2


@pytest.mark.parametrize("run", ["inline", "thread"])
async def test_a_result_without_a_form_is_told_to_the_caller(alice: Rpc, bob: Rpc, run: str) -> None:
    bob.register(lambda: [1, (each for each in "ab")], name="f", run=run)
    with pytest.raises(guthi.NotEncodable, match=r"'f' ran on bob, but its result\[1\]: a generator cannot travel"):
        await alice.call("f")


# ---- exceptions


class Registered(Exception):
    def __init__(self, code: int, *, detail: str) -> None:
        super().__init__(f"code {code}")
        self.code, self.detail = code, detail


class Unregistered(Exception):
    pass


@pytest.mark.parametrize("on", ["alice", "bob"])
async def test_exceptions_arrive_with_their_traceback(network: Network, alice: Rpc, bob: Rpc, on: str) -> None:
    def fail(kind: str) -> None:
        raise {"built in": KeyError("k"), "ours": Registered(7, detail="d"), "strange": Unregistered("u")}[kind]

    for node in network.nodes.values():
        node.codec.register(Registered)
        node.require(RPC).register(fail)
    await alice.available("fail", nodes=2, timeout=60)
    with pytest.raises(KeyError) as built_in:
        await alice.call("fail", "built in", on=on)
    assert built_in.value.args == ("k",)
    with pytest.raises(Registered, match="code 7") as ours:
        await alice.call("fail", "ours", on=on)
    assert (ours.value.code, ours.value.detail) == (7, "d")
    with pytest.raises(guthi.RemoteError, match="Unregistered: u") as strange:
        await alice.call("fail", "strange", on=on)
    for caught in (built_in, ours, strange):
        assert f"remote traceback on {on}" in caught.value.__notes__[0]
        assert "in fail" in caught.value.__notes__[0]


@pytest.mark.parametrize("run", ["inline", "thread"])
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration, asyncio.CancelledError])
async def test_no_function_ends_its_node(alice: Rpc, bob: Rpc, run: str, error: type[BaseException]) -> None:
    def fail() -> None:
        raise error("out")

    bob.register(fail, run=run)
    bob.register(add)
    with pytest.raises(guthi.RemoteError, match=error.__name__) as caught:
        await alice.call("fail")
    assert "in fail" in caught.value.__notes__[0]
    assert await alice.call("add", 1) == 2


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, StopIteration])
async def test_nor_does_a_coroutine(alice: Rpc, bob: Rpc, error: type[BaseException]) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise error("out")

    bob.register(fail)
    bob.register(add)
    with pytest.raises((guthi.RemoteError, RuntimeError), match=f"{error.__name__}"):
        await alice.call("fail")
    assert await alice.call("add", 1) == 2


async def test_wrong_arguments_are_a_type_error(alice: Rpc, bob: Rpc) -> None:
    bob.register(add)
    with pytest.raises(TypeError, match="unexpected keyword argument 'middle'"):
        await alice.call("add", middle=1)


async def test_an_error_of_rpc_travels_as_itself(alice: Rpc, bob: Rpc) -> None:
    async def relay(name: str) -> Any:
        return await bob.call(name)

    bob.register(relay)
    with pytest.raises(UnknownFunction, match="no node has a function 'nothing'"):
        await alice.call("relay", "nothing")
    with pytest.raises(UnknownFunction, match="no node has a function 'nothing'"):
        [result async for result in alice.map("relay", ["nothing"])]


# ---- deadlines and cancellation


async def test_a_timeout_cancels_the_remote_coroutine(alice: Rpc, bob: Rpc) -> None:
    ended = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    bob.register(wait)
    await alice.available("wait", timeout=60)
    with pytest.raises(guthi.DeadlineExceeded, match=r"no answer from bob within 0.05 s"):
        await alice.call("wait", timeout=0.05)
    await asyncio.wait_for(ended.wait(), 60)
    assert alice._dispatch.outstanding == 0


@pytest.mark.parametrize("on", ["alice", "bob"])
async def test_cancelling_the_call_cancels_the_remote_coroutine(
    network: Network, alice: Rpc, bob: Rpc, on: str
) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    network.nodes[on].require(RPC).register(wait)
    call = asyncio.create_task(alice.call("wait", on=on))
    await started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(ended.wait(), 60)
    assert alice._dispatch.outstanding == 0


@pytest.mark.parametrize("on", ["alice", "bob"])
async def test_a_call_that_is_cancelled_before_it_arrives(network: Network, alice: Rpc, bob: Rpc, on: str) -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    network.nodes[on].require(RPC).register(wait)
    network.nodes[on].require(RPC).register(add)
    await alice.available("wait", timeout=60)
    call = asyncio.create_task(alice.call("wait", on=on))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await alice.call("add", 1, on=on) == 2
    assert alice._dispatch.outstanding == 0


async def test_a_blocking_function_does_not_block_its_node(alice: Rpc, bob: Rpc) -> None:
    go = threading.Event()
    order: list[str] = []

    def block() -> None:
        assert go.wait(60)
        order.append("blocking one")

    async def quick(number: int) -> None:
        order.append(f"quick {number}")

    bob.register(block)
    bob.register(quick)
    blocking = asyncio.create_task(alice.call("block"))
    for number in range(3):
        await alice.call("quick", number)
    go.set()
    await blocking
    assert order == ["quick 0", "quick 1", "quick 2", "blocking one"]


@pytest.mark.timeout(400)  # on a machine with much other work
async def test_ten_thousand_calls_at_once(alice: Rpc, bob: Rpc) -> None:
    bob.register(operator.add, run="inline")
    await alice.available("add", timeout=60)
    answers = await asyncio.gather(*(alice.call("add", number, 1) for number in range(10_000)))
    assert answers == list(range(1, 10_001))
    assert alice._dispatch.outstanding == 0


async def test_a_thousand_calls_wait_for_two_threads(network: Network, alice: Rpc) -> None:
    carol = await network.rpc("carol", threads=2)
    carol.register(add)
    await alice.available("add", timeout=60)
    answers = await asyncio.gather(*(alice.call("add", number) for number in range(1000)))
    assert answers == list(range(1, 1001))
    assert carol._execution.running == 0


# ---- processes


async def test_news_that_come_with_the_end_of_the_patience_are_heard(
    alice: Rpc, bob: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guthi_rpc.finding.LOOKUP_GRACE_S", 0.2)
    call = asyncio.create_task(alice.call("late", 20, 3))
    await asyncio.sleep(0.05)
    bob.register(add, name="late")
    for _ in range(3):
        await asyncio.sleep(0)  # the announcement leaves
    time.sleep(0.3)  # noqa: ASYNC251 - the loop is busy until the patience is over; then both are due in one turn
    assert await call == 23


async def test_worker_processes(network: Network, alice: Rpc) -> None:
    bob = await network.rpc("bob", processes=1)
    bob.register(math.factorial, run="process")
    bob.register(os._exit, name="die", run="process")
    bob.register(sys.exit, name="leave", run="process")
    assert await alice.call("factorial", 10) == 3_628_800
    with pytest.raises(ValueError, match="not defined for negative values") as caught:
        await alice.call("factorial", -1)
    assert "in the worker process" in caught.value.__notes__[0]
    with pytest.raises(guthi.RemoteError, match="SystemExit"):
        await alice.call("leave", 3)
    with pytest.raises(WorkerDied, match="a worker process of bob died"):
        await alice.call("die", 1)
    assert await alice.call("factorial", 5) == 120
