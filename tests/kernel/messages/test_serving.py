"""How much one peer can make a node do at a time: handlers at work are bounded, and the log of their failures is."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from guthi import Incoming, Stream
from guthi.errors import PeerLost, UsageError
from guthi.messages.envelope import REQUEST, pack
from guthi.testing import World, simulated
from guthi.values.codec import Codec


async def pair(world: World) -> tuple[Any, Any]:
    alice = await world.start("alice")
    bob = await world.start("bob", join=["alice"])
    await world.until(world.is_whole)
    return alice.node, bob.node


async def wait_long(incoming: Incoming) -> None:
    await asyncio.sleep(1000.0)


@simulated
async def test_requests_beyond_the_bound_are_refused_and_the_others_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guthi.messages.serving.MAX_UNDER_WAY", 3)
    alice, bob = await pair(world)
    alice.handle("wait", wait_long)
    alice.handle("echo", lambda incoming: incoming.value)
    tasks = [world.background(_swallow(bob.request("alice", "wait", None, timeout_s=50.0))) for _ in range(3)]
    await world.sleep(1.0)
    with pytest.raises(UsageError, match="3 messages from one node are being handled"):
        await bob.request("alice", "wait", None, timeout_s=5.0)
    tasks[0].cancel()
    await world.sleep(1.0)
    assert await bob.request("alice", "echo", 1, timeout_s=5.0) == 1


@simulated
async def test_a_restarted_peer_uses_an_id_again_while_its_former_request_is_slow_to_end(world: World) -> None:
    alice, bob = await pair(world)
    lives: list[str] = []

    async def lingers(incoming: Incoming) -> str:
        lives.append("begun")
        try:
            await asyncio.sleep(1000.0)
        finally:
            lives.append("cancelled")
            await asyncio.sleep(20.0)
        return "never"

    async def insists(incoming: Incoming) -> object:
        try:
            await asyncio.sleep(5.0)
        except asyncio.CancelledError:
            await asyncio.sleep(3.0)
        return incoming.value

    async def streams_too(incoming: Incoming, stream: Stream) -> None:
        await lingers(incoming)

    alice.handle("linger", lingers)
    alice.handle("insist", insists)
    alice.handle_stream("linger", streams_too)
    first_id = bob.network.requests._next_id

    async def in_one_life(value: int) -> object:
        bob.network.requests._next_id = first_id  # what a restart does
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0), bob.open_stream("alice", "linger") as stream:
                await anext(stream)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await bob.request("alice", "linger", None, timeout_s=500.0)
        return await bob.request("alice", "insist", value, timeout_s=30.0)

    abandoned = world.background(_swallow(in_one_life(1)))
    await world.sleep(3.0)
    alice.network.requests.peer_lost(bob.id, "it restarted")
    abandoned.cancel()
    assert await in_one_life(2) == 2
    assert lives.count("begun") == lives.count("cancelled") == 4
    await world.until(lambda: not alice.network.requests._serving and not alice.network.streams._accepted)
    assert not alice.network.requests._watching._open


@simulated
async def test_one_id_twice_leaves_nothing_that_cannot_be_stopped(world: World) -> None:
    alice, bob = await pair(world)
    alice.handle("wait", wait_long)
    asks = [pack(REQUEST, "wait", 7), *Codec().encode(None)]
    for _ in range(3):
        bob.network.post(alice.id, asks)
    await world.until(lambda: len(alice.network.requests._serving) == 1)
    assert alice.network.requests._serving._under_way[bob.id] == 1
    alice.network.requests.peer_lost(bob.id, "it is gone")
    await world.until(lambda: not alice.network.requests._serving._under_way)


@simulated
async def test_casts_beyond_the_bound_end_the_session(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guthi.messages.serving.MAX_UNDER_WAY", 3)
    alice, bob = await pair(world)
    alice.handle("wait", wait_long)
    asked: asyncio.Task[Any] = world.background(_swallow(bob.request("alice", "wait", None)))
    await world.sleep(0.1)
    for _ in range(3):
        await bob.cast("alice", "wait", None)
    outcome = await asked
    assert isinstance(outcome, PeerLost)


def test_casts_that_fail_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(world: World) -> None:
        world.expect("the handler of 'nobody'")
        _, bob = await pair(world)
        for _ in range(200):
            await bob.cast("alice", "nobody", None)
        await world.sleep(1.0)

    with caplog.at_level(logging.ERROR, "guthi"):
        World(1).run(scenario)
    assert 1 <= len([message for message in caplog.messages if "the handler of 'nobody'" in message]) < 10


async def _swallow(request: Any) -> Any:
    try:
        return await request
    except Exception as error:
        return error
