"""Items come numbered and in order, an input that is not ready holds nobody up, and it is closed in the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from guthi_rpc.items import Items


def never() -> None:
    raise AssertionError("a plain input is always ready")


def test_a_plain_input_is_given_at_once() -> None:
    items = Items("ab", never)
    taken = [items.take(), items.take()]
    assert [(each.index, each.value) for each in taken if each] == [(0, "a"), (1, "b")]
    assert not items.exhausted
    assert items.take() is None
    assert items.exhausted
    assert items.take() is None


def test_what_a_plain_input_raises_is_raised() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    items = Items(broken(), never)
    assert items.take()
    with pytest.raises(ValueError, match="no more"):
        items.take()


async def test_an_asynchronous_input_is_never_waited_for() -> None:
    queue: asyncio.Queue[str] = asyncio.Queue()
    closed: list[bool] = []
    arrived = asyncio.Event()

    async def source() -> AsyncIterator[str]:
        try:
            while (item := await queue.get()) != "end":
                yield item
        finally:
            closed.append(True)

    items = Items(source(), arrived.set)
    assert items.take() is None
    assert items.take() is None
    queue.put_nowait("a")
    await arrived.wait()
    first = items.take()
    assert first is not None and (first.index, first.value) == (0, "a")
    arrived.clear()
    assert items.take() is None
    queue.put_nowait("end")
    await arrived.wait()
    assert not items.exhausted
    assert items.take() is None
    assert items.exhausted
    assert closed == [True]


@pytest.mark.parametrize("pulled", [True, False])
async def test_an_asynchronous_input_is_closed(pulled: bool) -> None:
    closed: list[bool] = []

    async def source() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    arrived = asyncio.Event()
    items = Items(source(), arrived.set)
    items.take()
    await arrived.wait()
    assert items.take() is not None
    if pulled:
        items.take()
        await asyncio.sleep(0)
    await items.close()
    assert closed == [True]
    assert items.take() is None


async def test_what_an_asynchronous_input_raises_is_raised() -> None:
    async def broken() -> AsyncIterator[int]:
        raise ValueError("no more")
        yield 1

    arrived = asyncio.Event()
    items = Items(broken(), arrived.set)
    assert items.take() is None
    await arrived.wait()
    with pytest.raises(ValueError, match="no more"):
        items.take()
    await items.close()


async def test_an_asynchronous_input_is_read_ahead_by_what_was_taken_of_it() -> None:
    read = 0

    async def source() -> AsyncIterator[int]:
        nonlocal read
        for number in range(1000):
            read = number + 1
            yield number

    items, taken = Items(source(), lambda: None), 0
    assert items.take() is None
    for wanted in (1, 2, 4, 8, 100):
        while taken < wanted:
            if (item := items.take()) is None:
                await asyncio.sleep(0)
            else:
                assert item.index == item.value == taken
                taken += 1
        await asyncio.sleep(0.001)
        assert read <= 2 * taken + 1
    assert read > 100
    await items.close()
