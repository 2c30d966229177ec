"""Whole nodes: what happens on one is read and followed on another, and bounded on both."""

from __future__ import annotations

import logging
from contextlib import aclosing

import pytest

import guthi
from guthi.membership.members import MemberState
from guthi.testing import World, simulated
from guthi_logs import LOGS, Logs, LogsPlugin, TooManyFollowers
from guthi_logs.service import MOST_FOLLOWERS


class Quiet(LogsPlugin):
    """Writes only what becomes of members: in a world all nodes share the loggers of one process."""

    @classmethod
    def writes(cls, logs: Logs, text: str, level: int = logging.INFO) -> None:
        logs.book.add(logs._node.host.wall_time_s(), level, "app", text)


async def three(world: World) -> list[Logs]:
    """alice, bob and carol, and their services."""
    for name in ("alice", "bob", "carol"):
        join = ["alice"] if name != "alice" else []
        await world.start(name, plugins=[Quiet], join=join, logs={"level": "error"})
    await world.until(world.is_connected)
    return [world.nodes[name].node.require(LOGS) for name in ("alice", "bob", "carol")]


@simulated
async def test_what_becomes_of_members_is_written_with_the_reason(world: World) -> None:
    alice, _, _ = await three(world)
    world.nodes["carol"].crash()
    world.nodes["bob"].node.accuse(
        world.nodes["alice"].node.member("carol").id, MemberState.FAILED, evidence="no echo within 10 s"
    )
    await world.sleep(2.0)
    texts = [line.text for line in alice.mine()]
    assert "bob joined from 10.0.0.2:6969" in texts
    assert "carol failed, as bob found (direct): no echo within 10 s" in texts
    (told,) = [told for told in await alice.last("bob", level="error") if "carol failed" in told.line.text]
    assert told.node == "bob" and told.line.level_name == "error"


@simulated
async def test_the_lines_of_all_nodes_are_read_in_the_order_of_their_clocks(world: World) -> None:
    services = await three(world)
    for number in range(3):
        for logs in services:
            Quiet.writes(logs, f"step {number}")
            await world.sleep(0.1)
    told = await services[0].last(contains="step")
    assert [(each.node, each.line.text) for each in told] == [
        (name, f"step {number}") for number in range(3) for name in ("alice", "bob", "carol")
    ]
    assert len(await services[0].last(contains="step", limit=1)) == 3


@simulated
async def test_a_follower_is_told_what_was_and_what_comes_without_a_gap(world: World) -> None:
    alice, bob, _ = await three(world)
    Quiet.writes(bob, "before")
    async with aclosing(alice.follow("bob", contains="e", last=10, level="info")) as lines:
        while (await anext(lines)).line.text != "before":
            pass
        for text in ("after", "then"):
            Quiet.writes(bob, text)
        assert [(await anext(lines)).line.text for _ in range(2)] == ["after", "then"]
        assert len(bob.book.followers) == 1
    await world.sleep(1.0)
    assert bob.book.followers == []


@simulated
async def test_all_are_followed_those_who_come_later_too(world: World) -> None:
    alice, _, carol = await three(world)
    async with aclosing(alice.follow(contains="hello")) as lines:
        first = world.loop.create_task(anext(lines))
        await world.sleep(0.5)
        Quiet.writes(carol, "hello from carol")
        assert (await first).node == "carol"
        dave = await world.start("dave", plugins=[Quiet], join=["alice"], logs={"level": "error"})
        await world.sleep(3.0)
        Quiet.writes(dave.node.require(LOGS), "hello from dave")
        assert (await anext(lines)).node == "dave"
        await dave.stop()
        Quiet.writes(alice, "hello from alice")
        assert (await anext(lines)).node == "alice"


@simulated
async def test_there_are_only_so_many_followers(world: World) -> None:
    alice, bob, _ = await three(world)
    bob.book.followers.extend([None] * MOST_FOLLOWERS)  # type: ignore[list-item]
    with pytest.raises(TooManyFollowers, match="bob"):
        async with aclosing(alice.follow("bob")) as lines:
            await anext(lines)


@simulated
async def test_questions_that_are_none_are_refused(world: World) -> None:
    await three(world)
    alice = world.nodes["alice"].node
    for bad in (None, [1], [20, "", -1], [20, "", 10**9], ["x", "", 1], [20, "x" * 200, 1], [20, 7, 1]):
        with pytest.raises(guthi.MalformedMessage):
            await alice.request("bob", "logs.read", bad, timeout_s=5.0)
        with pytest.raises(guthi.MalformedMessage):
            async with alice.open_stream("bob", "logs.follow", bad, timeout_s=5.0) as stream:
                async for _ in stream:
                    pass
