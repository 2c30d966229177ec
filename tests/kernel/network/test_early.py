"""What peers ask of a node whose plugins do not run yet waits until they do: the node may have been there before."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

import guthi
from guthi.api import NodeId
from guthi.messages.envelope import CAST, REPLY, REQUEST, pack
from guthi.messages.stream import Stream
from guthi.network.early import MOST_BYTES, MOST_MESSAGES, Early
from guthi.testing import World, simulated
from guthi.transport.endpoint import LinkState
from guthi.transport.links import MessageArrived

SLOWNESS_S = 3.0
ALICE, CAROL = NodeId(b"a" * 16), NodeId(b"c" * 16)


class Slow(guthi.Plugin):
    """Takes its time, and asks alice, before it handles anything."""

    name = "slow"

    async def run(self, stack: AsyncExitStack) -> None:
        heard: list[int] = []
        await asyncio.sleep(SLOWNESS_S)
        if any(member.name == "alice" for member in self.node.members):  # she has come already
            heard.append(await self.node.request("alice", "alice.number", None))
        self.node.handle("slow.note", lambda incoming: heard.append(incoming.value))
        self.node.handle("slow.heard", lambda _: heard)
        self.node.handle_stream("slow.double", doubled)


async def doubled(incoming: guthi.Incoming, stream: Stream) -> str:
    async for value in stream:
        await stream.send(2 * value)
    return "done"


async def coming_back(world: World) -> tuple[guthi.Node, guthi.Member, asyncio.Task[guthi.Node]]:
    """alice, and bob, who was killed and is starting; alice goes on asking him, since she knows him."""
    await world.start("carol")
    alice, bob = await world.start("alice", join=["carol"]), world.add("bob", join=["carol"], plugins=[Slow])
    alice.node.handle("alice.number", lambda _: 0)
    await bob.start()
    await world.until(world.is_connected, within=10)
    member = alice.node.member("bob")
    bob.crash()
    await world.until(lambda: alice.node.network.endpoint.state(member.id) is LinkState.IDLE, within=60)
    return alice.node, member, asyncio.ensure_future(bob.restart())


@simulated
async def test_what_is_asked_too_early_is_answered_when_the_plugins_run(world: World) -> None:
    alice, bob, starting = await coming_back(world)
    for number in (1, 2, 3):
        await alice.cast(bob, "slow.note", number)
    assert await alice.request(bob, "slow.heard", None, timeout_s=30) == [0, 1, 2, 3]
    await starting


@simulated
async def test_a_stream_that_is_opened_too_early_is_served(world: World) -> None:
    alice, bob, starting = await coming_back(world)
    async with alice.open_stream(bob, "slow.double", timeout_s=30) as stream:
        for number in (1, 2, 3):
            await stream.send(number)
        stream.finish()
        assert [value async for value in stream] == [2, 4, 6]
    await starting


@simulated
async def test_a_topic_that_nobody_handles_is_refused_as_soon_as_the_plugins_run(world: World) -> None:
    alice, bob, starting = await coming_back(world)
    asked_at = world.now
    with pytest.raises(guthi.UnknownTopic, match=r"nobody handles 'slow\.nothing'"):
        await alice.request(bob, "slow.nothing", None, timeout_s=30)
    assert world.now >= asked_at + SLOWNESS_S - 0.1
    await starting


def test_what_is_kept_is_bounded_and_requests_are_forgotten_with_their_peer() -> None:
    early = Early()
    large = pack(REQUEST, "slow.note", 1) + bytes(MOST_BYTES // 3)
    assert [early.keeps(MessageArrived(peer, large)) for peer in (ALICE, CAROL, ALICE)] == [True, True, False]
    early.forget(ALICE)
    assert [message.peer for message in early] == [CAROL]
    assert early.keeps(MessageArrived(CAROL, large))
    assert not early.keeps(MessageArrived(CAROL, pack(REPLY, "", 1)))


@simulated
async def test_what_is_told_too_early_is_heard_although_the_teller_has_left(world: World) -> None:
    alice, bob, starting = await coming_back(world)
    await alice.cast(bob, "slow.note", 1)
    await world.nodes["alice"].stop()
    await starting
    assert await world.nodes["carol"].node.request("bob", "slow.heard", None) == [1]


def test_so_is_their_number() -> None:
    early = Early()
    kept = [early.keeps(MessageArrived(ALICE, pack(CAST, "slow.note", 0))) for _ in range(MOST_MESSAGES + 1)]
    assert kept == [True] * MOST_MESSAGES + [False]
