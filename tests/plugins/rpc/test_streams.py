"""Functions that yield: in order, no faster than they are read, both ways, and ended from either side."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from itertools import count
from typing import Any

import pytest
from tests.plugins.rpc.conftest import Network

import guthi
from guthi_rpc import Rpc, UnknownFunction, current_call


async def _collected(values: AsyncIterator[Any]) -> list[Any]:
    async with asyncio.timeout(10):
        return [value async for value in values]


async def test_values_come_in_order(alice: Rpc, bob: Rpc) -> None:
    @bob.function
    async def squares(limit: int) -> AsyncIterator[int]:
        for number in range(limit):
            yield number * number

    assert await _collected(alice.stream("squares", 300)) == [number * number for number in range(300)]
    (info,) = alice.functions()
    assert info.yields


async def test_a_plain_generator_runs_in_a_thread(alice: Rpc, bob: Rpc) -> None:
    @bob.function
    def letters(text: str) -> Iterator[str]:
        yield from text

    assert await _collected(alice.stream("letters", "guthi")) == list("guthi")


async def test_both_ways(alice: Rpc, bob: Rpc) -> None:
    @bob.function
    async def running_sum(numbers: AsyncIterator[int], start: int) -> AsyncIterator[int]:
        total = start
        async for number in numbers:
            total += number
            yield total

    assert await _collected(alice.stream("running_sum", 100, inputs=[1, 2, 3])) == [101, 103, 106]

    async def slowly() -> AsyncIterator[int]:
        for number in range(3):
            await asyncio.sleep(0.001)
            yield number

    assert await _collected(alice.stream("running_sum", 0, inputs=slowly())) == [0, 1, 3]


async def test_a_function_may_end_before_it_has_taken_all(alice: Rpc, bob: Rpc) -> None:
    @bob.function
    async def first(values: AsyncIterator[Any]) -> AsyncIterator[Any]:
        yield await anext(aiter(values))

    assert await _collected(alice.stream("first", inputs=count(7))) == [7]


async def test_a_reader_that_is_slow_slows_the_function_down(alice: Rpc, bob: Rpc) -> None:
    made = 0

    @bob.function
    async def blocks() -> AsyncIterator[bytes]:
        nonlocal made
        while True:
            made += 1
            yield bytes(100_000)

    async with aclosing(alice.stream("blocks", timeout=30)) as values:
        await anext(values)
        for _ in range(100):
            await asyncio.sleep(0.001)
        seen = made
        assert seen < 60  # a window of 1 MiB each way of buffering, and not without end
        for _ in range(40):
            await anext(values)
        await asyncio.sleep(0.05)
        assert made > seen


async def test_leaving_the_loop_ends_the_function(network: Network, alice: Rpc, bob: Rpc) -> None:
    ended = asyncio.Event()

    @bob.function
    async def endless() -> AsyncIterator[int]:
        try:
            for number in count():
                yield number
        finally:
            ended.set()

    async with aclosing(alice.stream("endless")) as values:
        async for value in values:
            if value == 3:
                break
    async with asyncio.timeout(10):
        await ended.wait()
    await network.until(lambda: bob._execution.running == 0)
    assert alice._dispatch.outstanding == 0


async def test_what_either_side_raises_ends_it(alice: Rpc, bob: Rpc) -> None:
    @bob.function
    async def failing() -> AsyncIterator[int]:
        yield 1
        raise ValueError("no more")

    values = alice.stream("failing")
    assert await anext(values) == 1
    with pytest.raises(ValueError, match="no more"):
        await anext(values)

    @bob.function
    async def echo(values: AsyncIterator[int]) -> AsyncIterator[int]:
        async for value in values:
            yield value

    def broken() -> Iterator[int]:
        yield 1
        raise KeyError("the input broke")

    with pytest.raises(KeyError, match="the input broke"):
        await _collected(alice.stream("echo", inputs=broken()))


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
async def test_nothing_that_a_generator_raises_ends_its_node(alice: Rpc, bob: Rpc, error: type[BaseException]) -> None:
    async def later() -> AsyncIterator[int]:
        yield 1
        raise error("out")

    def plain() -> Iterator[int]:
        yield 1
        raise error("out")

    for function in (later, plain):
        bob.register(function)
    await alice.available("plain", timeout=5)
    for name in ("later", "plain"):
        with pytest.raises(guthi.RemoteError, match=error.__name__):
            await _collected(alice.stream(name))
    assert bob._execution.running == 0


async def test_a_plain_generator_that_is_left_while_it_waits_is_closed_when_it_comes_back(
    network: Network, alice: Rpc, bob: Rpc
) -> None:
    go, is_closed = threading.Event(), threading.Event()

    @bob.function
    def ticks() -> Iterator[int]:
        try:
            yield 1
            go.wait(20)
            yield 2
        finally:
            is_closed.set()

    async with aclosing(alice.stream("ticks")) as values:
        async for value in values:
            assert value == 1
            break
    await network.until(lambda: bob._execution.running == 0)
    assert not is_closed.is_set()
    go.set()
    await network.until(is_closed.is_set)


async def test_a_deadline_ends_both_sides(network: Network, alice: Rpc, bob: Rpc) -> None:
    deadlines = []

    @bob.function
    async def stuck() -> AsyncIterator[int]:
        deadlines.append(current_call().deadline)
        yield 1
        await asyncio.Event().wait()

    with pytest.raises(guthi.DeadlineExceeded):
        await _collected(alice.stream("stuck", timeout=0.1))
    await network.until(lambda: bob._execution.running == 0)
    assert deadlines[0] is not None


async def test_the_wrong_way_to_call_is_told(alice: Rpc, bob: Rpc) -> None:
    @bob.function
    async def values() -> AsyncIterator[int]:
        yield 1

    @bob.function(run="inline")
    def value() -> int:
        return 1

    await alice.available("value", timeout=10)
    with pytest.raises(guthi.UsageError, match=r"use rpc\.stream"):
        await alice.call("values")
    with pytest.raises(guthi.UsageError, match=r"use rpc\.call"):
        await _collected(alice.stream("value"))
    with pytest.raises(guthi.UsageError, match="gives a stream of values"):
        async for _ in alice.map("values", [1, 2]):
            pass
    with pytest.raises(UnknownFunction, match="did you mean 'values'"):
        await _collected(alice.stream("value_s"))


async def test_a_node_that_leaves_ends_its_streams(network: Network, alice: Rpc, bob: Rpc) -> None:
    @bob.function
    async def stuck() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    values = alice.stream("stuck")
    assert await anext(values) == 1
    await network.stop("bob")
    with pytest.raises(guthi.PeerLost):
        await anext(values)


async def test_at_home_too(alice: Rpc) -> None:
    @alice.function
    async def squares(limit: int) -> AsyncIterator[int]:
        for number in range(limit):
            yield number * number

    assert await _collected(alice.stream("squares", 4)) == [0, 1, 4, 9]
