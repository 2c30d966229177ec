"""Machines: a crash is one, a pause loses nothing and keeps the order, a slow processor is slow, workers take time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import pytest

from guthi import Node
from guthi.api import Address
from guthi.errors import AddressUnavailable, DeadlineExceeded, JoinFailed, UsageError
from guthi.testing import Link, Power, PowerLost, Stalled, World

Work = Callable[[Node], Awaitable[None]]


def in_world(scenario):
    """A test of a scenario in world 0."""

    def test() -> None:
        World().run(scenario)

    test.__name__ = scenario.__name__
    return test


def ticker(seen: list[float], world: World, every_s: float = 1.0) -> Work:
    """Notes the world's time at each tick, and its own end."""

    async def tick(_: Node) -> None:
        try:
            while True:
                await asyncio.sleep(every_s)
                seen.append(world.now)
        finally:
            seen.append(-1.0)

    return tick


@in_world
async def test_nothing_of_a_crashed_machine_runs_on(world):
    alice = await world.start("alice")
    seen: list[float] = []
    ticking = asyncio.create_task(alice.run(ticker(seen, world)))
    await world.sleep(2.5)
    alice.crash()
    with pytest.raises(PowerLost):
        await ticking
    await alice.restart()
    await world.sleep(10)
    assert len(seen) == 2 and -1.0 not in seen


def test_finally_blocks_of_the_dead_reach_neither_network_nor_disk():
    told: list[str] = []

    async def scenario(world: World) -> Path:
        alice = await world.start("alice")
        await world.start("bob", join=["alice"])

        async def errand(node: Node) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                told.append("finally")
                await node.cast("bob", "late", None)

        world.background(alice.run(errand), "errand")
        await world.sleep(1)
        alice.crash()
        before = world.network.sent_datagrams["alice"]
        await world.sleep(5)
        assert not told
        assert world.network.sent_datagrams["alice"] == before
        return alice.machine.disk

    world = World()
    world.expect("the task errand failed")
    disk = world.run(scenario)
    digest, sent = world.trace.digest, world.network.sent_datagrams["alice"]
    world.close()
    assert told == ["finally"]  # it ran when the world had ended
    assert (world.trace.digest, world.network.sent_datagrams["alice"]) == (digest, sent)
    assert not disk.exists()


@in_world
async def test_a_disk_outlives_a_crash_and_a_wipe_loses_it(world):
    alice = await world.start("alice")
    first = alice.node.id
    alice.crash()
    assert (await alice.restart()).id == first
    alice.crash(keep_disk=False)
    assert (await alice.restart()).id != first


@in_world
async def test_a_crash_during_the_start_ends_the_wait(world):
    alice, bob = world.add("alice"), world.add("bob", join=["alice"])
    starting = asyncio.create_task(bob.start())
    await world.sleep(0.1)
    assert not bob.runs and not bob.is_down
    with pytest.raises(UsageError, match="already"):
        await bob.start()
    bob.crash()
    with pytest.raises(PowerLost):
        await starting
    assert bob.is_down
    await alice.start()
    await bob.restart()
    assert world.is_whole()


@in_world
async def test_a_start_that_finds_nobody_can_be_tried_again(world):
    alice, bob = world.add("alice"), world.add("bob", join=["alice"], node={"join_timeout": "2s"})
    with pytest.raises(JoinFailed):
        await bob.start()
    trying = world.background(bob.start_until_joined())
    await world.sleep(5)
    await alice.start()
    await trying
    assert bob.runs


@in_world
async def test_a_crash_while_it_stops_ends_the_wait(world):
    alice = await world.start("alice")
    await world.start("bob", join=["alice"])
    alice.machine.pause()
    stopping = asyncio.create_task(alice.stop())
    await world.sleep(1)
    assert not alice.runs and not stopping.done()
    alice.crash()
    with pytest.raises(PowerLost):
        await stopping


@in_world
async def test_a_node_leaves_in_good_order(world):
    alice = await world.start("alice")
    bob = await world.start("bob", join=["alice"])
    await bob.stop()
    await world.sleep(1)
    assert bob.is_down and not alice.node.members
    await bob.start()
    assert world.is_whole()


@in_world
async def test_a_pause_holds_everything_and_keeps_the_order(world):
    alice = await world.start("alice")
    seen: list[float] = []
    order: list[int] = []

    async def timers(_: Node) -> None:
        for number in range(20):
            asyncio.get_running_loop().call_later(1 + number / 100, order.append, number)

    await alice.run(timers)
    ticking = asyncio.create_task(alice.run(ticker(seen, world)))
    await world.sleep(0.5)
    alice.machine.pause()
    await world.sleep(10)
    assert not seen and not order
    alice.machine.resume()
    await world.sleep(0.001)
    assert seen == pytest.approx([10.5], abs=0.01)
    assert order == list(range(20))
    alice.machine.pause()
    alice.machine.resume()
    await world.sleep(1)
    assert len(seen) == 2
    ticking.cancel()


@in_world
async def test_what_is_cancelled_while_it_is_held_does_not_run(world):
    alice = await world.start("alice")
    ran: list[str] = []
    handles: list[asyncio.Handle] = []

    async def timers(_: Node) -> None:
        loop = asyncio.get_running_loop()
        handles.extend([loop.call_later(1, ran.append, "first"), loop.call_later(1, ran.append, "second")])

    await alice.run(timers)
    alice.machine.pause()
    await world.sleep(2)
    handles[0].cancel()
    alice.machine.resume()
    await world.sleep(1)
    assert ran == ["second"]


@in_world
async def test_a_callback_that_raises_does_not_stop_what_is_held_behind_it(world):
    world.expect("division by zero")
    alice = await world.start("alice")
    ran: list[int] = []

    async def timers(_: Node) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(1, lambda: 1 / 0)
        loop.call_later(1, ran.append, 1)

    await alice.run(timers)
    alice.machine.pause()
    await world.sleep(2)
    alice.machine.resume()
    await world.sleep(1)
    assert ran == [1]


@in_world
async def test_a_crash_forgets_what_was_held(world):
    alice = await world.start("alice")
    seen: list[float] = []
    world.expect("alice crashed")
    world.background(alice.run(ticker(seen, world)))
    alice.machine.pause()
    await world.sleep(5)
    alice.crash()
    await alice.restart()
    assert alice.machine.power is Power.ON
    await world.sleep(5)
    assert not seen


@in_world
async def test_a_paused_machine_keeps_as_many_datagrams_as_its_buffer_holds(world):
    alice = await world.start("alice")
    world.add("bob")
    alice.machine.receive_buffer_bytes = 3000
    alice.machine.pause()
    for _ in range(10):
        world.network.send("bob", Address("10.0.0.2", 1), Address("10.0.0.1", 6969), bytes(1000))
    await world.sleep(0.1)
    assert world.network.dropped["receive buffer full"] == 7
    alice.machine.resume()
    await world.sleep(0.1)
    world.network.send("bob", Address("10.0.0.2", 1), Address("10.0.0.1", 6969), bytes(1000))
    await world.sleep(0.1)
    assert world.network.dropped["receive buffer full"] == 7


def test_a_world_in_which_only_a_paused_machine_could_act_says_so():
    async def scenario(world: World) -> None:
        alice = await world.start("alice")

        async def nap(_: Node) -> None:
            await asyncio.sleep(1)

        errand = asyncio.create_task(alice.run(nap), name="the nap")
        await asyncio.sleep(0)
        alice.machine.pause()
        await errand

    with pytest.raises(Stalled, match="the nap") as caught:
        World().run(scenario)
    assert "paused, and so unable to do anything: alice" in caught.value.__notes__


@in_world
async def test_a_slow_processor_does_one_thing_after_the_other(world):
    alice = await world.start("alice")
    seen: list[float] = []

    async def timers(_: Node) -> None:
        for _number in range(5):
            asyncio.get_running_loop().call_later(1, lambda: seen.append(world.now))

    await alice.run(timers)
    alice.machine.callback_s = 0.1
    await world.sleep(3)
    gaps = [later - earlier for earlier, later in pairwise(seen)]
    assert gaps == pytest.approx([0.1] * 4)


@in_world
async def test_workers_take_their_time_and_die_with_the_machine(world):
    alice = await world.start("alice")
    alice.machine.call_s = 1.0
    done: list[float] = []
    pool = alice.machine.thread_executor("workers", 2)
    futures = [pool.submit(lambda: done.append(world.now)) for _ in range(5)]
    failing = pool.submit(int, "no number")
    began = world.now
    await world.sleep(2.5)
    assert done == pytest.approx([began + 1, began + 1, began + 2, began + 2])
    assert futures[3].done() and not futures[4].done()
    await world.sleep(1)
    with pytest.raises(ValueError, match="no number"):
        failing.result()
    late = pool.submit(lambda: done.append(world.now))
    alice.crash()
    await alice.restart()
    await world.sleep(5)
    assert len(done) == 5 and not late.done()
    pool.shutdown(cancel_futures=True)
    with pytest.raises(RuntimeError):
        pool.submit(int)


@in_world
async def test_ports_and_addresses_are_the_machines_own(world):
    alice = await world.start("alice")
    machine = alice.machine
    with pytest.raises(AddressUnavailable, match="taken"):
        await machine.open_datagrams(Address(machine.ip, 6969), None)
    with pytest.raises(AddressUnavailable, match="no address of alice"):
        await machine.open_datagrams(Address("10.9.9.9", 1), None)
    first, second = [await machine.open_datagrams(Address("0.0.0.0", 0), None) for _ in range(2)]
    assert first.local_address != second.local_address
    assert await machine.resolve(Address("alice", 5)) == [Address(machine.ip, 5)]
    assert await machine.resolve(Address("nobody", 5)) == []


@in_world
async def test_the_wall_clock_jumps_and_the_other_does_not(world):
    alice = await world.start("alice")
    wall = alice.machine.wall_time_s()
    alice.machine.clock.wall_offset_s += 3600
    assert alice.machine.wall_time_s() == wall + 3600
    assert await alice.run(_loop_time) == world.now


async def _loop_time(_: Node) -> float:
    return asyncio.get_running_loop().time()


@in_world
async def test_requests_end_although_the_clock_runs_wild(world):
    world.network.set_link(Link(loss=0.05))
    alice = await world.start("alice")
    bob = await world.start("bob", join=["alice"])
    bob.node.handle("echo", lambda incoming: incoming.value)
    for rate in (0.5, 3.0, 1.0, 0.1):
        alice.machine.set_clock_rate(rate)
        assert await alice.run(lambda node: node.request("bob", "echo", 1, timeout_s=60)) == 1
    world.network.cut(["alice"], ["bob"])
    began = world.now
    with pytest.raises(DeadlineExceeded):
        await alice.run(lambda node: node.request("bob", "echo", 1, timeout_s=1))
    assert world.now - began == pytest.approx(10, rel=0.01)  # a second of a clock that shows a tenth
