"""A death is told in the moment it happens, and work is given up only when nobody is left to do it."""

from __future__ import annotations

import asyncio

import pytest

from guthi_mandelbrot.watch import deaths_told, unless_all_end


class Node:
    """A process that ends when the test says so."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fate = "was killed by SIGKILL"
        self.end = asyncio.Event()

    async def wait(self) -> None:
        await self.end.wait()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def nothing_left() -> None:
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_each_death_is_told_once_and_at_once() -> None:
    alice, bob, carol = nodes = [Node("alice"), Node("bob"), Node("carol")]
    told: list[str] = []
    async with deaths_told(nodes, told.append):
        bob.end.set()
        await turns()
        assert told == ["guthi: node bob was killed by SIGKILL; the others go on"]
        alice.end.set()
        await turns()
        assert len(told) == 2
    carol.end.set()  # it was stopped, and did not die
    await turns()
    assert len(told) == 2
    await nothing_left()


async def test_work_goes_on_while_one_lives() -> None:
    alice, bob = Node("alice"), Node("bob")
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    work = asyncio.ensure_future(unless_all_end([alice, bob], asyncio.wait_for(done, None)))
    alice.end.set()
    await turns()
    assert not work.done()
    done.set_result(7)
    assert await work == 7
    await nothing_left()


async def test_work_is_given_up_when_all_are_dead() -> None:
    alice, bob = nodes = [Node("alice"), Node("bob")]
    gave_up = asyncio.Event()

    async def forever() -> int:
        try:
            return await asyncio.get_running_loop().create_future()
        finally:
            gave_up.set()

    work = asyncio.ensure_future(unless_all_end(nodes, forever()))
    await turns()
    bob.end.set()
    alice.end.set()
    assert await work is None
    assert gave_up.is_set()
    await nothing_left()


async def test_what_the_work_raises_is_raised() -> None:
    async def fails() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await unless_all_end([Node("alice")], fails())
    await nothing_left()


async def test_cancelled_it_leaves_no_work_behind() -> None:
    outer = asyncio.ensure_future(unless_all_end([Node("alice")], asyncio.sleep(3600)))
    await turns()
    outer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await outer
    await nothing_left()
