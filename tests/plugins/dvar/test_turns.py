"""Whose turn it is with a variable: nobody gets in between, and nobody's turn is lost."""

from __future__ import annotations

import asyncio

import pytest

from guthi_dvar.coherent.turns import Turns


async def test_a_free_turn_is_taken_without_waiting() -> None:
    turns = Turns()
    assert turns.take_at_once()
    assert not turns.take_at_once()
    turns.leave()
    assert not turns.is_taken
    taking = turns.take()
    with pytest.raises(StopIteration):
        taking.send(None)
    assert turns.is_taken


async def waiting(turns: Turns, order: list[int], number: int) -> None:
    await turns.take()
    order.append(number)
    await asyncio.sleep(0)
    turns.leave()


async def test_those_who_wait_get_it_one_after_the_other() -> None:
    turns, order = Turns(), list[int]()
    assert turns.take_at_once()
    tasks = [asyncio.ensure_future(waiting(turns, order, number)) for number in range(3)]
    await asyncio.sleep(0)
    turns.leave()
    assert not turns.take_at_once()  # it is the first one's already
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2]
    assert not turns.is_taken


async def test_who_is_cancelled_while_it_waits_is_passed_over() -> None:
    turns, order = Turns(), list[int]()
    assert turns.take_at_once()
    tasks = [asyncio.ensure_future(waiting(turns, order, number)) for number in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.sleep(0)
    turns.leave()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [1, 2]
    assert not turns.is_taken


@pytest.mark.parametrize("first", ["handed over", "cancelled"])
async def test_who_is_cancelled_as_it_gets_the_turn_hands_it_on(first: str) -> None:
    turns, order = Turns(), list[int]()
    assert turns.take_at_once()
    tasks = [asyncio.ensure_future(waiting(turns, order, number)) for number in range(2)]
    await asyncio.sleep(0)
    if first == "cancelled":
        tasks[0].cancel()
    turns.leave()
    tasks[0].cancel()
    await asyncio.wait_for(tasks[1], 30)
    assert tasks[0].cancelled() and order == [1]
    assert not turns.is_taken
