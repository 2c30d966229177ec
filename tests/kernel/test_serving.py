"""How much one peer can make a node do at a time: handlers at work are bounded, and the log of their failures is."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from guthi import Incoming
from guthi.errors import PeerLost, UsageError
from guthi.testing import World, simulated


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
    monkeypatch.setattr("guthi.serving.MAX_UNDER_WAY", 3)
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
async def test_casts_beyond_the_bound_end_the_session(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guthi.serving.MAX_UNDER_WAY", 3)
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
