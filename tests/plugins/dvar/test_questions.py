"""Requests that are sent at once: what becomes of them when the context is left, and of those that cannot be sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import guthi
from guthi.testing import World, simulated
from guthi_dvar.coherent.questions import Questions


async def two(world: World) -> tuple[guthi.Node, guthi.Node, list[Any]]:
    """Alice, and bob, who answers what he is asked, but for a question without an end; and what became of those."""
    alice = await world.start("alice")
    bob = await world.start("bob", join=["alice"])
    ends: list[Any] = []

    async def endless(incoming: guthi.Incoming) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ends.append(incoming.value)

    bob.node.handle("echo", lambda incoming: incoming.value)
    bob.node.handle("endless", endless)
    return alice.node, bob.node, ends


@simulated
async def test_they_leave_in_this_turn_and_are_answered(world: World) -> None:
    alice, bob, _ = await two(world)
    with Questions(alice, "echo", [(bob.id, 1), (bob.id, 2)], 5.0) as answers:
        assert [await each for each in answers if each is not None] == [1, 2]


@simulated
async def test_an_exception_withdraws_what_was_not_answered(world: World) -> None:
    alice, bob, ends = await two(world)
    with pytest.raises(ZeroDivisionError), Questions(alice, "endless", [(bob.id, "one")], 5.0) as (answer,):
        await world.sleep(0.1)
        raise ZeroDivisionError
    assert answer is not None and answer.cancelled()
    await world.until(lambda: ends == ["one"], within=1.0)


@simulated
async def test_if_one_of_them_cannot_be_sent_none_is_asked(world: World) -> None:
    alice, bob, ends = await two(world)
    alice.network.requests.expects_more()  # it is told once of what has been answered before
    with pytest.raises(guthi.NotEncodable):
        Questions(alice, "endless", [(bob.id, "one"), (bob.id, object())], 5.0)
    await world.sleep(1.0)
    assert not ends and not alice.network.requests.expects_more()


@simulated
async def test_who_is_cancelled_withdraws_too(world: World) -> None:
    alice, bob, ends = await two(world)

    async def ask() -> None:
        with Questions(alice, "endless", [(bob.id, "one")], 5.0) as (answer,):
            assert answer is not None
            await answer

    task = asyncio.ensure_future(ask())
    await world.sleep(0.1)
    task.cancel()
    await world.until(lambda: ends == ["one"], within=1.0)


@simulated
async def test_left_in_peace_they_go_on_and_nobody_waits(world: World) -> None:
    alice, bob, ends = await two(world)
    with Questions(alice, "endless", [(bob.id, "one")], 5.0) as (answer,):
        await world.sleep(0.1)
    await world.sleep(1.0)
    assert not ends
    assert answer is not None and answer.cancelled()


@simulated
async def test_who_is_gone_cannot_be_asked(world: World) -> None:
    alice, bob, _ = await two(world)
    alice.accuse(bob.id, guthi.MemberState.FAILED, evidence="the test says so")
    with Questions(alice, "echo", [(bob.id, 1)], 5.0) as (answer,):
        assert answer is None
