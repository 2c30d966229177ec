"""A peer that does not read its answers: what waits here for it is bounded, and the others do not notice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from guthi import Incoming, Node
from guthi.api import NodeId
from guthi.errors import DeadlineExceeded, GuthiError, MalformedMessage
from guthi.messages.holding import ANSWER_COST_BYTES, Holding
from guthi.testing import World, simulated

ANSWER_BYTES, LIMIT_BYTES = 100_000, 1 << 20


async def with_a_deaf_peer(world: World, monkeypatch: pytest.MonkeyPatch) -> tuple[Node, Node, Node]:
    """Alice, bob, and mallory, who acknowledges what alice sends and gives no credit for more."""
    monkeypatch.setattr("guthi.network.backpressure.SEND_BUFFER_BYTES", LIMIT_BYTES)
    for name in ("alice", "bob", "mallory"):
        await world.start(name, join=[] if name == "alice" else ["alice"])
    await world.until(world.is_whole)
    alice, bob, mallory = (world.nodes[name].node for name in ("alice", "bob", "mallory"))
    alice.handle("give", lambda incoming: bytes(ANSWER_BYTES))
    alice.handle("echo", lambda incoming: incoming.value)
    assert await mallory.request("alice", "echo", 1, timeout_s=1.0) == 1
    [link] = [link for link in alice.network.endpoint._links.values() if link.peer == mallory.id]
    assert link.session is not None
    link.session._outbox.grant = lambda *_: None  # type: ignore[method-assign]
    return alice, bob, mallory


async def swallow(request: Any) -> None:
    try:
        await request
    except GuthiError:
        pass


@simulated
async def test_answers_that_are_not_read_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob, mallory = await with_a_deaf_peer(world, monkeypatch)
    for number in range(300):  # thirty times the limit, beside the credit that it began with
        world.background(swallow(mallory.request("alice", "give", None, timeout_s=60.0)))
        if number % 100 == 0:
            await world.sleep(0.1)
    await world.sleep(5.0)
    waiting_bytes = alice.network.endpoint.buffered_bytes(mallory.id)
    assert LIMIT_BYTES < waiting_bytes < LIMIT_BYTES + 2 * ANSWER_BYTES
    assert await bob.request("alice", "give", None, timeout_s=1.0) == bytes(ANSWER_BYTES)
    assert alice.network.endpoint.buffered_bytes(mallory.id) == waiting_bytes


@simulated
async def test_so_are_those_that_handlers_take_time_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, _, mallory = await with_a_deaf_peer(world, monkeypatch)

    async def give_later(incoming: Incoming) -> bytes:
        await asyncio.sleep(0.1 + incoming.value / 1000)
        return bytes(ANSWER_BYTES)

    alice.handle("give later", give_later)
    for number in range(300):
        world.background(swallow(mallory.request("alice", "give later", number, timeout_s=60.0)))
    await world.sleep(5.0)
    assert alice.network.endpoint.buffered_bytes(mallory.id) < LIMIT_BYTES + 2 * ANSWER_BYTES


@simulated
async def test_who_reads_at_last_is_answered_everything_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guthi.network.backpressure.SEND_BUFFER_BYTES", LIMIT_BYTES)
    for name in ("alice", "bob"):
        await world.start(name, join=[] if name == "alice" else ["alice"])
    await world.until(world.is_whole)
    alice, bob = world.nodes["alice"].node, world.nodes["bob"].node
    served: list[int] = []

    def give(incoming: Incoming) -> bytes:
        served.append(incoming.value)
        return bytes(ANSWER_BYTES)

    alice.handle("give", give)
    assert await bob.request("alice", "give", -1, timeout_s=1.0) == bytes(ANSWER_BYTES)
    answers = [asyncio.ensure_future(bob.request("alice", "give", number, timeout_s=60.0)) for number in range(100)]
    withdrawn = asyncio.ensure_future(bob.request("alice", "give", 1000, timeout_s=60.0))
    impatient = asyncio.ensure_future(bob.request("alice", "give", 2000, timeout_s=0.05))
    world.network.cut(["alice"], ["bob"], both_ways=False)
    await world.sleep(0.5)
    assert len(served) < 20  # alice was asked for all of it, and has begun what fits
    withdrawn.cancel()
    with pytest.raises(DeadlineExceeded):
        await impatient
    await world.sleep(0.5)
    world.network.heal()
    assert {len(answer) for answer in await asyncio.gather(*answers)} == {ANSWER_BYTES}
    assert sorted(set(served) - {1000, 2000}) == [-1, *range(100)]
    assert len(served) == len(set(served))
    assert not alice.network.requests._serving._behind


@simulated
async def test_a_peer_that_is_lost_is_not_held_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, _, mallory = await with_a_deaf_peer(world, monkeypatch)
    for _ in range(100):
        world.background(swallow(mallory.request("alice", "give", None, timeout_s=60.0)))
    await world.sleep(1.0)
    assert alice.network.requests._serving._behind
    await world.nodes["mallory"].stop()
    await world.sleep(15.0)
    assert not alice.network.requests._serving._behind


class Deaf:
    """A wire whose peers take nothing."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []

    def is_writable(self, peer: NodeId) -> bool:
        return False

    async def writable(self, peer: NodeId) -> None:
        await asyncio.Event().wait()

    def start(self, work: Any) -> asyncio.Task[None]:
        self.tasks.append(asyncio.ensure_future(work))
        return self.tasks[-1]


PEER = NodeId(bytes(16))


async def behind() -> Holding:
    holding = Holding(Deaf())  # type: ignore[arg-type]
    holding.answered(PEER, 1 << 20)
    assert PEER in holding.behind
    return holding


@pytest.mark.parametrize(("limit", "size_bytes"), [("MAX_HELD", 0), ("MAX_HELD_BYTES", 1)])
async def test_more_held_requests_than_the_bound_are_a_breach(
    limit: str, size_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"guthi.messages.holding.{limit}", 10)
    holding = await behind()
    for number in range(10):
        holding.hold(PEER, number, size_bytes, lambda: None)
    with pytest.raises(MalformedMessage, match="10 requests of"):
        holding.hold(PEER, 10, size_bytes, lambda: None)
    holding.cancel(PEER, 0)
    holding.hold(PEER, 10, size_bytes, lambda: None)
    holding.peer_lost(PEER)
    assert not holding.behind
    holding.cancel(PEER, 1)


async def test_small_answers_are_counted_too() -> None:
    holding = Holding(Deaf())  # type: ignore[arg-type]
    answers = 0
    while PEER not in holding.behind:
        holding.answered(PEER, 0)
        answers += 1
    assert answers * ANSWER_COST_BYTES <= 32 * 1024
    holding.close()
