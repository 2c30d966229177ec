"""Streams in simulated worlds with loss, copies, partitions, crashes: in order and once, or an error; nothing stays."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from random import Random

import pytest

import guthi
from guthi import Incoming, Node, NodeId, Stream
from guthi.testing import Link, PowerLost, World, simulated

NAMES = ["alice", "bob", "carol"]
QUICK = {"keepalive": "1s", "timeout": "3s", "handshake_timeout": "2s", "stream_window": "64 KiB"}
ROUGH = Link(latency_s=0.001, jitter_s=0.004, loss=0.05, duplicate=0.05, reorder=0.1)
SIZES = (0, 100, 100, 3000, 3000, 20_000, 90_000)
ENDINGS = (guthi.PeerLost, guthi.DeadlineExceeded, guthi.NodeClosed, guthi.UnknownTopic, guthi.UnknownMember, PowerLost)
WINDOW_BYTES = 64 * 1024


async def echo(incoming: Incoming, stream: Stream) -> None:
    """Send back what comes, and see that it comes in order and within the bound."""
    expected = 0
    async for number, body in stream:
        assert number == expected, f"{number} came in place of {expected}"
        expected += 1
        check_bound(stream)
        await stream.send([number, body])


async def fail(incoming: Incoming, stream: Stream) -> None:
    for number in range(incoming.value):
        await stream.send(number)
    raise ValueError("that was all")


def check_bound(stream: Stream) -> None:
    assert sum(map(len, stream._arrived)) <= max(WINDOW_BYTES, 2 * max(SIZES))


class EchoPlugin(guthi.Plugin):
    """Answers streams on the topics `echo` and `fail`."""

    name = "echo"

    async def run(self, stack: AsyncExitStack) -> None:
        self.node.handle_stream("echo", echo)
        self.node.handle_stream("fail", fail)


async def three(world: World) -> None:
    world.network.set_link(ROUGH)
    for name in NAMES:
        await world.start(name, plugins=[EchoPlugin], join=NAMES[: NAMES.index(name)], transport=QUICK)
    await world.until(world.is_connected)


async def converse(node: Node, peer: str | NodeId, random: Random, timeout_s: float | None) -> int:
    """Send values, read them back, sometimes leave early; returns how many came back."""
    values = [[number, bytes(random.choice(SIZES))] for number in range(random.randrange(40))]
    leaves_after = random.randrange(40) if random.random() < 0.2 else None
    back = 0
    async with node.open_stream(peer, "echo", timeout_s=timeout_s) as stream, asyncio.TaskGroup() as group:
        sending = group.create_task(send_all(stream, values))
        async for value in stream:
            assert value == values[back], f"{value[0]} came in place of {back}"
            check_bound(stream)
            back += 1
            if back == leaves_after:
                sending.cancel()
                return back
            if random.random() < 0.05:
                await asyncio.sleep(random.random() * 0.2)
        assert back == len(values)
    return back


async def send_all(stream: Stream, values: list[list[object]]) -> None:
    for value in values:
        await stream.send(value)
    stream.finish()


async def one(world: World, name: str, peer: str | NodeId, seed: int) -> None:
    """A conversation that ends well, or by one of the errors that are allowed."""
    random = Random(seed)
    timeout_s = random.choice([None, 0.5, 20.0])
    try:
        await world.nodes[name].run(lambda node: converse(node, peer, random, timeout_s))
    except ENDINGS:
        pass
    except BaseExceptionGroup as errors:
        assert errors.split(ENDINGS)[1] is None, errors


def nothing_is_left(world: World) -> bool:
    networks = [node.node.network for node in world.nodes.values()]
    return not any(len(each.streams) or each.streams._channels or each.requests._waiting for each in networks)


@pytest.mark.guthi_seeds(15)
@simulated
async def test_all_values_arrive_over_a_bad_network(world: World) -> None:
    await three(world)
    pairs = [(name, peer) for name in NAMES for peer in NAMES] * 2
    seeds = [Random(world.random.randrange(1 << 30)) for _ in pairs]
    async with asyncio.timeout(300):
        await asyncio.gather(
            *(
                converse(world.nodes[name].node, peer, random, None)
                for (name, peer), random in zip(pairs, seeds, strict=True)
            )
        )
    await world.until(lambda: nothing_is_left(world), within=10)


@pytest.mark.guthi_seeds(5)
@simulated
async def test_all_values_come_before_the_error(world: World) -> None:
    await three(world)
    alice = world.nodes["alice"].node
    for count in [*range(10)] * 5:
        async with alice.open_stream("bob", "fail", count) as stream:
            assert [await anext(stream) for _ in range(count)] == [*range(count)]
            with pytest.raises(ValueError, match="that was all"):
                await anext(stream)


@pytest.mark.guthi_seeds(15)
@simulated
async def test_in_order_once_or_an_error_whatever_happens(world: World) -> None:
    await three(world)
    faults = world.swarm(15.0)
    while not faults.done():
        names = [name for name in NAMES if world.nodes[name] in world.running()]
        pairs = [(name, world.random.choice(NAMES)) for name in names for _ in range(2)]
        async with asyncio.timeout(200):
            await asyncio.gather(*(one(world, *pair, world.random.randrange(1 << 30)) for pair in pairs))
        await asyncio.sleep(0.2)
    await world.until(lambda: len(world.running()) == len(NAMES) and world.is_connected(), within=120)
    await world.until(lambda: nothing_is_left(world), within=60)
    async with asyncio.timeout(60):
        bob = world.nodes["bob"].node.id  # one that was wiped has another id than before, and the same name
        await asyncio.gather(*(one(world, name, bob, 1) for name in NAMES))  # may find a session that bob has lost
        await asyncio.gather(*(converse(world.nodes[name].node, bob, Random(1), None) for name in NAMES))


@pytest.mark.guthi_seeds(5)
@simulated
async def test_a_stalled_stream_holds_nobody_up(world: World) -> None:
    await three(world)
    goes_on = asyncio.Event()

    async def lazy(incoming: Incoming, stream: Stream) -> None:
        await goes_on.wait()
        await echo(incoming, stream)

    alice, bob = world.nodes["alice"].node, world.nodes["bob"].node
    bob.handle_stream("lazy", lazy)
    values: list[list[object]] = [[number, bytes(20_000)] for number in range(100)]
    async with alice.open_stream("bob", "lazy") as stream, asyncio.TaskGroup() as group:
        group.create_task(send_all(stream, values))
        for number in range(20):
            async with alice.open_stream("bob", "echo", timeout_s=20) as other:
                await other.send([0, number])
                assert await anext(other) == [0, number]
            held = [each._inflow.held_bytes for each in bob.network.streams._streams.values()]
            assert sum(held) <= 2 * WINDOW_BYTES
        assert not stream._outflow.is_finished
        goes_on.set()
        assert [value async for value in stream] == values
