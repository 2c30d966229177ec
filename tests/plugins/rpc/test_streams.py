"""Functions that yield: in order, no faster than they are read, both ways, and ended from either side."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing
from itertools import count
from typing import Any

import pytest
from tests.plugins.rpc.conftest import Network

import guthi
from guthi_rpc import Overloaded, Rpc, UnknownFunction, current_call


async def _collected(values: AsyncIterator[Any]) -> list[Any]:
    async with asyncio.timeout(60):
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
    async with asyncio.timeout(60):
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


async def _late() -> AsyncIterator[int]:
    yield 1
    await asyncio.sleep(0.01)
    raise KeyError("the input broke")


@pytest.mark.parametrize(
    ("inputs", "error", "text"),
    [
        (_late, KeyError, "the input broke"),
        (lambda: [1, object()], guthi.NotEncodable, "object"),
        (lambda: 7, TypeError, "not iterable"),
    ],
    ids=["it raises", "a value cannot travel", "it is none"],
)
@pytest.mark.parametrize("name", ["counted", "deaf"])
async def test_inputs_that_fail_end_a_function_that_waits_for_more(
    network: Network, alice: Rpc, bob: Rpc, name: str, inputs: Any, error: type[Exception], text: str
) -> None:
    """It has nothing to yield, so nobody else would ever look."""

    async def counted(values: AsyncIterator[int]) -> AsyncIterator[int]:
        yield len([value async for value in values])

    async def deaf(_values: AsyncIterator[int]) -> AsyncIterator[int]:
        await asyncio.Event().wait()
        yield 1

    for function in (counted, deaf):
        bob.register(function)
    await alice.available("deaf", timeout=30)
    with pytest.raises(error, match=text):
        await _collected(alice.stream(name, inputs=inputs()))
    await network.until(lambda: bob._execution.running == 0)
    assert alice._dispatch.outstanding == 0


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
    await alice.available("plain", timeout=60)
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
            go.wait(60)
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


async def test_generators_that_wait_hold_up_nothing_else(network: Network, alice: Rpc) -> None:
    """As those that follow a log do; beside them run the node's functions, and what else needs a thread."""
    bob = await network.rpc("bob", threads=1)
    go = threading.Event()

    @bob.function
    def follow(number: int) -> Iterator[int]:
        yield number
        go.wait(100)

    bob.register(abs)
    await alice.available("abs", timeout=30)
    async with AsyncExitStack() as stack:
        stack.callback(go.set)
        for number in range(40):
            values = await stack.enter_async_context(aclosing(alice.stream("follow", number)))
            assert await asyncio.wait_for(anext(values), 60) == number
            waiting = asyncio.ensure_future(anext(values, None))
            stack.push_async_callback(asyncio.wait, [waiting])
            stack.callback(waiting.cancel)
        assert await alice.call("abs", -1, timeout=60) == 1
        assert await asyncio.wait_for(asyncio.to_thread(abs, -2), 60) == 2


async def test_there_is_a_bound_to_plain_generators_and_none_is_counted_twice(
    network: Network, alice: Rpc, bob: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guthi_rpc.generators.MAX_OPEN", 2)
    go = threading.Event()

    @bob.function
    def stuck() -> Iterator[int]:
        yield 1
        go.wait(100)

    @bob.function
    def short() -> Iterator[int]:
        yield 2

    await alice.available("short", timeout=30)
    streams = [alice.stream("stuck") for _ in range(2)]
    assert [await anext(values) for values in streams] == [1, 1]
    with pytest.raises(Overloaded, match="bob has no room for a call of 'short'"):
        await _collected(alice.stream("short"))
    for values in streams:
        await values.aclose()
    await network.until(lambda: bob._execution.running == 0)
    with pytest.raises(Overloaded):  # they still hold their threads
        await _collected(alice.stream("short"))
    go.set()
    await network.until(lambda: not bob._execution.generators._open)
    for _ in range(5):
        assert await _collected(alice.stream("short")) == [2]
        await network.until(lambda: not bob._execution.generators._open)


async def test_a_generator_that_will_not_be_closed_is_told_of(
    network: Network, alice: Rpc, bob: Rpc, caplog: pytest.LogCaptureFixture
) -> None:
    @bob.function
    def stubborn() -> Iterator[int]:
        while True:
            try:
                yield 1
            except GeneratorExit:
                yield 2

    async with aclosing(alice.stream("stubborn")) as values:
        assert await anext(values) == 1
    await network.until(lambda: "failed when it was closed" in caplog.text)
    await network.until(lambda: not bob._execution.generators._open)


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

    await alice.available("value", timeout=60)
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
