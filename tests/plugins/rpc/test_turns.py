"""Who is next, and that no place is ever lost or given twice."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from guthi_rpc.turns import Turns


async def test_the_urgent_go_first_and_among_equals_the_first() -> None:
    turns, order = Turns(1, 100), []
    await turns.take(0)

    async def wait(name: str, priority: int) -> None:
        await turns.take(priority)
        order.append(name)
        turns.give()

    tasks = [asyncio.create_task(wait(name, int(name[0]) - 5)) for name in ("5a", "5b", "9a", "1a", "9b", "5c")]
    await asyncio.sleep(0)
    turns.give()
    await asyncio.gather(*tasks)
    assert order == ["9a", "9b", "5a", "5b", "5c", "1a"]


async def test_full_is_when_all_places_and_the_queue_are_taken() -> None:
    turns = Turns(1, 1)
    assert not turns.is_full
    await turns.take(0)
    assert not turns.is_full
    waiting = asyncio.create_task(turns.take(0))
    await asyncio.sleep(0)
    assert turns.is_full
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not turns.is_full
    assert not len(turns)


async def test_closing_tells_those_that_wait_and_those_that_come() -> None:
    turns = Turns(1, 9)
    await turns.take(0)
    waiting = asyncio.create_task(turns.take(0))
    await asyncio.sleep(0)
    turns.close(ValueError("over"))
    for attempt in (waiting, turns.take(0)):
        with pytest.raises(ValueError, match="over"):
            await attempt


@pytest.mark.parametrize("seed", range(50))
async def test_no_place_is_lost_or_given_twice_whatever_is_cancelled(seed: int) -> None:
    random, turns, inside = Random(seed), Turns(3, 1000), 0

    async def work() -> None:
        nonlocal inside
        await turns.take(random.randrange(3))
        inside += 1
        assert inside <= 3
        try:
            await asyncio.sleep(0)
        finally:
            inside -= 1
            turns.give()

    tasks = [asyncio.create_task(work()) for _ in range(100)]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        if random.random() < 0.5:
            random.choice(tasks).cancel()
    assert not any(task.exception() for task in tasks if not task.cancelled())
    await asyncio.gather(*(turns.take(0) for _ in range(3)))  # all three places are there
