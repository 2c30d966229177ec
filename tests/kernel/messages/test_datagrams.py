"""Unreliable datagrams between members: who hears them, what is refused, and that nothing delays them."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.nodes import a_node, until

import guthi
from guthi import MalformedMessage, MemberState, NodeId, UsageError
from guthi.messages.datagrams import LIMIT_BYTES, Datagrams
from guthi.messages.requests import Incoming
from guthi.testing import Link, World
from guthi.values.codec import Codec

ALICE, BOB = NodeId(bytes(16)), NodeId(bytes(15) + b"\1")


def ear(*members: NodeId) -> Datagrams:
    return Datagrams(Codec(), members.__contains__, Counter(), lambda: 0.0)


def test_a_handler_hears_what_a_member_sent() -> None:
    heard: list[Incoming] = []
    bob = ear(ALICE)
    bob.handle("pulse", heard.append)
    assert bob.received(ear().pack(ALICE, "pulse", [1, "two"])) == ALICE
    assert heard == [Incoming(ALICE, [1, "two"], None)]


def test_strangers_and_topics_without_a_handler_are_counted_and_not_heard() -> None:
    dropped: Counter[str] = Counter()
    bob = Datagrams(Codec(), [ALICE].__contains__, dropped, lambda: 0.0)
    assert bob.received(ear().pack(ALICE, "pulse", 1)) == ALICE  # it lives, whatever it says
    assert dropped == {"datagram that nobody handles": 1}
    bob.handle("pulse", lambda _: pytest.fail("a stranger was heard"))
    assert bob.received(ear().pack(BOB, "pulse", 1)) is None
    assert dropped["datagram of a stranger"] == 1


@given(st.binary(max_size=60))
def test_whatever_arrives_is_heard_or_malformed(tail: bytes) -> None:
    bob = ear(ALICE)
    bob.handle("pulse", lambda _: None)
    for datagram in (tail, ALICE + tail, ALICE + b"\5pulse" + tail):
        try:
            bob.received(datagram)
        except MalformedMessage:
            pass


def test_what_is_too_long_is_the_senders_mistake() -> None:
    head_bytes = len(ear().pack(ALICE, "pulse", b""))
    assert len(ear().pack(ALICE, "pulse", bytes(LIMIT_BYTES - head_bytes - 2))) == LIMIT_BYTES
    with pytest.raises(UsageError, match="at most 1000 bytes and this one 1001"):
        ear().pack(ALICE, "pulse", bytes(LIMIT_BYTES - head_bytes - 1))
    with pytest.raises(UsageError):
        ear().pack(ALICE, 256 * "a", None)


def test_a_topic_has_one_handler_and_a_name() -> None:
    bob = ear()
    bob.handle("pulse", lambda _: None)
    with pytest.raises(UsageError, match="handler already"):
        bob.handle("pulse", lambda _: None)
    with pytest.raises(UsageError, match="bytes long"):
        bob.handle("", lambda _: None)


@pytest.mark.parametrize("topic", ["", "\ud800", 5, 256 * "a"])
def test_what_is_no_topic_is_refused_in_both_directions(topic: str) -> None:
    with pytest.raises(UsageError, match="topic"):
        ear().handle(topic, lambda _: None)
    with pytest.raises(UsageError, match="topic"):
        ear().pack(ALICE, topic, 1)


def test_a_coroutine_function_would_never_run() -> None:
    async def hear(incoming: Incoming) -> None: ...

    with pytest.raises(UsageError, match="make it a plain function"):
        ear().handle("pulse", hear)  # type: ignore[arg-type]


def test_a_handler_ends_neither_the_node_nor_the_turn(caplog: pytest.LogCaptureFixture) -> None:
    def leave(incoming: Incoming) -> None:
        raise SystemExit(3)

    bob = ear(ALICE)
    bob.handle("pulse", leave)
    assert bob.received(ear().pack(ALICE, "pulse", 1)) == ALICE
    assert "failed" in caplog.text


def test_a_handler_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    bob = ear(ALICE)
    bob.handle("pulse", lambda incoming: incoming.value / 0)
    assert bob.received(ear().pack(ALICE, "pulse", 1)) == ALICE
    assert "the handler of the datagrams of 'pulse' failed" in caplog.text


async def test_between_nodes_by_member_id_and_name_and_to_oneself() -> None:
    async with a_node("alice") as alice, a_node("bob", alice) as bob:
        heard: list[tuple[str, object]] = []
        alice.handle_datagram("pulse", lambda incoming: heard.append(("alice", incoming.value)))
        bob.handle_datagram("pulse", lambda incoming: heard.append(("bob", incoming.value)))
        alice.send_datagram(alice.member("bob"), "pulse", 1)
        alice.send_datagram(bob.id, "pulse", 2)
        alice.send_datagram("bob", "pulse", 3)
        alice.send_datagram("alice", "pulse", 4)
        await until(lambda: sorted(heard) == [("alice", 4), ("bob", 1), ("bob", 2), ("bob", 3)])
        with pytest.raises(guthi.UnknownMember):
            alice.send_datagram("carol", "pulse", 5)
        with pytest.raises(guthi.UnknownMember):
            alice.send_datagram(NodeId(bytes(16)), "pulse", 5)


async def test_nonsense_in_a_datagram_is_counted_and_harmless() -> None:
    async with a_node("alice") as alice, a_node("bob", alice) as bob:
        bob.handle_datagram("pulse", lambda _: None)
        dropped = bob.network.endpoint.dropped
        endpoint = alice.network.endpoint
        endpoint.datagram(b"short", bob.address)
        endpoint.datagram(alice.id + b"\5pulse nonsense", bob.address)
        endpoint.gossip(b"no message", bob.address)
        alice.send_datagram("bob", "pulse", None)
        await until(lambda: dropped["malformed gossip or datagram"] == 3)
        bob.handle("echo", lambda incoming: incoming.value)
        assert await alice.request("bob", "echo", 1) == 1


def test_a_member_taken_for_failed_that_sends_a_datagram_hears_of_it_and_recovers() -> None:
    async def scenario(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob", join=["alice"])
        world.network.partition(["alice"], ["bob"])
        alice.node.accuse(bob.node.id, MemberState.FAILED, evidence="a partition")
        await world.sleep(60.0)
        world.network.heal()
        bob.node.send_datagram("alice", "pulse", 1)
        await world.until(lambda: alice.node.member("bob").state is MemberState.ALIVE, within=1.0)

    World(1).run(scenario)


def test_a_bulk_transfer_on_a_slow_line_delays_no_datagram() -> None:
    async def scenario(world: World) -> float:
        alice, bob = await world.start("alice"), await world.start("bob", join=["alice"])
        bob.node.handle("bulk", lambda incoming: len(incoming.value))
        heard: list[float] = []
        bob.node.handle_datagram("pulse", lambda incoming: heard.append(world.now - incoming.value))
        transfer = asyncio.create_task(alice.node.request("bob", "bulk", bytes(4_000_000)))
        for _ in range(20):
            await world.sleep(0.1)
            alice.node.send_datagram("bob", "pulse", world.now)
        assert not transfer.done()
        transfer.cancel()
        return max(heard)

    link = Link(latency_s=0.02, bandwidth_bytes_s=1_000_000, queue_bytes=100_000)
    assert World(1, link=link).run(scenario) < 0.25  # at worst behind a full queue of the line, 100 ms
