"""Broadcasts of whole nodes: on loopback, behind the blocking face, and in worlds with loss, crashes and partitions."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from contextlib import AsyncExitStack, suppress
from typing import Any

import numpy as np
import pytest
from tests.kernel.nodes import a_node, until
from tests.scale.broadcast import broadcast_to

import guthi
from guthi import Incoming, Node, NodeClosed, NotEncodable, Plugin, UsageError
from guthi.testing import Link, PowerLost, World, simulated

ROUGH = Link(latency_s=0.002, jitter_s=0.004, loss=0.1, duplicate=0.02, reorder=0.05)
TREE = {"direct_limit": 0}


class Ledger:
    """Whom each life of each node was told what, in order."""

    def __init__(self) -> None:
        self.told: dict[tuple[str, int], list[Any]] = defaultdict(list)
        self.lives: Counter[str] = Counter()

    def plugin(self) -> type[Plugin]:
        """A plugin whose nodes write into this ledger."""
        ledger = self

        class HearPlugin(Plugin):
            """Hears broadcasts."""

            name = "hear"

            async def run(self, stack: AsyncExitStack) -> None:
                name = self.node.name
                ledger.lives[name] += 1
                told = ledger.told[name, ledger.lives[name]]
                self.node.handle_broadcast("news", lambda incoming: told.append(incoming.value))

        return HearPlugin

    def of(self, name: str) -> list[Any]:
        """What the present life of a node was told."""
        return self.told[name, self.lives[name]]


async def whole(world: World, count: int, **tables: Any) -> Ledger:
    """Start so many nodes that all see one another; `tables` as for `World.start`."""
    ledger = Ledger()
    await world.start("n0", plugins=[ledger.plugin()], **tables)
    for number in range(1, count):
        world.background(_start(world, world.add(f"n{number}", plugins=[ledger.plugin()], join=["n0"], **tables).name))
    await world.until(lambda: len(world.running()) == count and world.is_whole(), each=0.1)
    return ledger


async def _start(world: World, name: str) -> None:
    await world.nodes[name].start()


async def say(world: World, name: str, value: Any) -> None:
    await world.nodes[name].run(lambda node: node.broadcast("news", value))


# ---- on loopback


async def test_two_nodes_hear_each_other_and_not_themselves() -> None:
    async with a_node("alice") as alice, a_node("bob", alice) as bob:
        heard: list[tuple[str, Any]] = []
        done = asyncio.Event()

        async def slowly(incoming: Incoming) -> None:
            await asyncio.sleep(0)
            heard.append(("bob", incoming.value))
            assert incoming.peer == alice.id and incoming.deadline is None
            done.set()

        alice.handle_broadcast("app.news", lambda incoming: heard.append(("alice", incoming.value)))
        bob.handle_broadcast("app.news", slowly)
        await alice.broadcast("app.news", {"a": [1, None]})
        await alice.broadcast("app.nobody", "lost on all")
        async with asyncio.timeout(5):
            await done.wait()
        assert heard == [("bob", {"a": [1, None]})]


@pytest.mark.parametrize("limit", [0, 32])
async def test_large_values_travel(limit: int) -> None:
    tables = {"broadcast": {"direct_limit": limit}}
    async with AsyncExitStack() as stack:
        nodes: list[Node] = []
        for number in range(4):
            nodes.append(await stack.enter_async_context(a_node(f"n{number}", *nodes[:1], tables=tables)))
        await until(lambda: all(len(node.members) == 3 for node in nodes))
        heard: list[int] = []
        for node in nodes:
            node.handle_broadcast("big", lambda incoming: heard.append(int(incoming.value["array"].sum())))
        array = np.arange(1 << 19, dtype=np.int64)
        for _ in range(3):
            await nodes[1].broadcast("big", {"array": array})
        await until(lambda: len(heard) >= 9)
        assert heard == [int(array.sum())] * 9


async def test_misuse_is_told() -> None:
    async with a_node("alice", tables={"transport": {"max_message": 100_000}}) as alice:
        with pytest.raises(NotEncodable):
            await alice.broadcast("topic", object())
        with pytest.raises(UsageError, match="max_message"):
            await alice.broadcast("topic", bytes(100_000))
        for topic in ("", "t" * 256):
            with pytest.raises(UsageError, match="1 to 255 bytes"):
                await alice.broadcast(topic, None)
            with pytest.raises(UsageError, match="1 to 255 bytes"):
                alice.handle_broadcast(topic, print)
        alice.handle_broadcast("topic", print)
        with pytest.raises(UsageError, match="already"):
            alice.handle_broadcast("topic", print)
        broadcasting = alice.network.broadcasting
    with pytest.raises(NodeClosed):
        await broadcasting.broadcast("topic", 1)


async def test_a_handler_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async with a_node("alice") as alice, a_node("bob", alice) as bob:
        heard: list[int] = []

        def fail(incoming: Incoming) -> None:
            raise SystemExit("not even this")

        async def fail_later(incoming: Incoming) -> None:
            raise ValueError("later")

        bob.handle_broadcast("fails", fail)
        bob.handle_broadcast("fails.later", fail_later)
        bob.handle_broadcast("works", lambda incoming: heard.append(incoming.value))
        with caplog.at_level(logging.ERROR, "guthi.broadcasting"):
            for topic in ("fails", "fails.later", "works"):
                await alice.broadcast(topic, 1)
            await until(lambda: heard == [1] and len(caplog.records) == 2)
        assert all("failed on a message from" in record.message for record in caplog.records)


async def test_what_is_no_broadcast_is_logged_and_dropped(caplog: pytest.LogCaptureFixture) -> None:
    async with a_node("alice") as alice, a_node("bob", alice) as bob:
        with caplog.at_level(logging.WARNING, "guthi.broadcasting"):
            for _ in range(20):
                await alice.cast(bob.name, "guthi.broadcast", [9, 9])
            await until(lambda: bool(caplog.records))
            await alice.broadcast("topic", 1)
        assert len(caplog.records) <= 6


async def test_what_was_said_last_arrives_although_the_node_leaves() -> None:
    async with a_node("bob") as bob:
        heard: list[int] = []
        bob.handle_broadcast("news", lambda incoming: heard.append(incoming.value))
        async with a_node("alice", bob) as alice:
            for number in range(50):
                await alice.broadcast("news", number)
        assert heard == list(range(50))


def test_the_blocking_face() -> None:
    with guthi.connect(plugins=(), name="alice", role="peer") as alice:
        heard: list[Any] = []
        alice.handle_broadcast("news", lambda incoming: heard.append(incoming.value))
        with guthi.connect([alice.address], plugins=(), name="bob") as bob:
            bob.broadcast("news", "hello")
        assert heard == ["hello"]


# ---- in worlds


def test_fifty_nodes_are_told_once_at_one_copy_each_with_loss_and_crashes() -> None:
    """The measure of `make scale`, smaller."""
    phases = {phase.name: phase for phase in broadcast_to(50)}
    assert all(phase.missed == phase.told_twice == 0 for phase in phases.values())
    assert phases["settled"].copies <= 1.3 and phases["afterwards"].copies <= 1.3
    assert phases["settling"].copies <= 2.5


@pytest.mark.guthi_seeds(10)
@pytest.mark.parametrize("limit", [0, 32])
@simulated
async def test_a_stream_comes_once_and_in_order_whatever_happens(world: World, limit: int) -> None:
    world.network.set_link(ROUGH)
    quick = {"keepalive": "1s", "timeout": "3s", "handshake_timeout": "2s"}
    ledger = await whole(world, 8, broadcast={"direct_limit": limit}, transport=quick, disk=True)
    faults = world.swarm(10.0, spare=["n0"])
    count = 0
    while not faults.done():
        with suppress(PowerLost):
            await say(world, "n0", count)
        count += 1
        await asyncio.sleep(0.2)
    await world.until(lambda: len(world.running()) == 8 and world.is_connected(), within=60)
    await say(world, "n0", count)
    await world.until(lambda: all(count in ledger.of(f"n{number}") for number in range(1, 8)), within=20)
    await world.sleep(10)
    for (name, life), told in ledger.told.items():
        assert len(told) == len(set(told)), (name, life)
        if ledger.lives[name] == 1 and name != "n0":
            assert set(told) == set(range(count + 1)), name


@simulated
async def test_who_was_cut_off_for_a_while_is_told_afterwards(world: World) -> None:
    ledger = await whole(world, 6, broadcast=TREE, transport={"timeout": "3s", "keepalive": "1s"})
    faults = world.play("0s cut n5 *; 15s mend n5 *")
    await say(world, "n0", "while cut")
    await world.sleep(10)
    assert ledger.of("n4") == ["while cut"] and ledger.of("n5") == []
    await faults
    await world.until(lambda: ledger.of("n5") == ["while cut"], within=12)


@simulated
async def test_a_slow_neighbour_does_not_stop_the_others(world: World) -> None:
    ledger = await whole(world, 5, broadcast={"direct_limit": 0, "buffer": "4 MiB"})
    world.network.set_link(Link(bandwidth_bytes_s=20_000), to=["n3"])
    for number in range(40):
        await say(world, "n0", [number, bytes(100_000)])
    await world.until(lambda: all(len(ledger.of(f"n{number}")) == 40 for number in (1, 2, 4)), within=10)
    assert len(ledger.of("n3")) < 40


@simulated
async def test_a_static_node_sends_to_all_whom_it_knows(world: World) -> None:
    ledger = await whole(world, 5, node={"discovery": "gossip"}, broadcast=TREE)
    world.add("loner", plugins=[ledger.plugin()], join=["n0", "n1"], node={"discovery": "static"}, broadcast=TREE)
    await world.nodes["loner"].start()
    await world.sleep(3)  # until all have heard of it; it knows only those it met
    await say(world, "n4", "to all")
    await say(world, "loner", "from one")
    await world.until(lambda: ledger.of("loner") == ["to all"], within=5)
    known = world.nodes["loner"].node.members
    await world.until(lambda: all("from one" in ledger.of(member.name) for member in known), within=5)


def test_a_seed_decides_everything() -> None:
    def digest() -> str:
        world = World(5, link=ROUGH)

        async def scenario(world: World) -> None:
            await whole(world, 8, broadcast=TREE, disk=False)
            for number in range(10):
                await say(world, f"n{number % 8}", number)
                await world.sleep(0.3)

        world.run(scenario)
        return world.trace.digest

    assert digest() == digest()
