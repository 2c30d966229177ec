"""Callers that are hard on their node: storms of cancellation, hundreds of locks, odd names, hooks that raise."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.plugins.mutex.test_clients import a_client
from tests.plugins.mutex.test_mutex import NAMES, TRANSPORT, three
from tests.plugins.mutex.workers import NAMES as FIVE
from tests.plugins.mutex.workers import a_network, all_are_served, keeper_of

import guthi
from guthi import NodeId
from guthi.cli.table import print_table
from guthi.testing import Link, World, simulated
from guthi_mutex import MUTEX, Grant, Mutex, locks
from guthi_mutex.clients import ClientLocks
from guthi_mutex.messages import Carried, encode
from guthi_mutex.view import MAX_NAME_BYTES, ViewId

ALGORITHMS = ["suzuki-kasami", "ricart-agrawala", "raymond", "naimi-trehel", "maekawa"]
CARRIED = encode(Carried(ViewId(1, NodeId(bytes(16))), 0, 0, "render", None))[0]


async def visit(mutex: Mutex, name: str, stay_s: float) -> None:
    async with mutex(name):
        await asyncio.sleep(stay_s)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@simulated
async def test_a_storm_of_cancellation_leaves_nothing_behind(world: World, algorithm: str) -> None:
    services = [*await three(world, algorithm=algorithm), (await a_client(world)).node.require(MUTEX)]
    rng = world.random
    for _ in range(5):
        tasks = [
            asyncio.ensure_future(visit(rng.choice(services), rng.choice("abc"), rng.uniform(0, 0.01)))
            for _ in range(100)
        ]
        while any(not task.done() for task in tasks):
            rng.choice(tasks).cancel()
            if rng.random() < 0.2:
                await world.sleep(rng.uniform(0, 0.002))
        await asyncio.gather(*tasks, return_exceptions=True)
    await world.sleep(0.2)
    for name in NAMES:
        keeper = keeper_of(world.nodes[name])
        assert not keeper._waiting and not keeper._grants
        assert not keeper.participant.locks.is_in_use and keeper.participant.locks.held_count == 0
    client = services[-1]._acquirer
    assert isinstance(client, ClientLocks) and not client._kept
    assert await services[0].locks() == []
    for mutex in services:
        for name in "abc":
            async with mutex(name, timeout=1.0):
                pass


@simulated
async def test_hundreds_of_locks_are_held_and_change_hands(world: World) -> None:
    alice, bob, _ = await three(world)
    names = [f"file/{number}" for number in range(500)]
    held = await asyncio.gather(*(alice.acquire(name) for name in names))
    waiting = [asyncio.ensure_future(bob.acquire(name)) for name in names]
    await world.sleep(1.0)
    assert len(await bob.locks()) == len(names) and not any(each.done() for each in waiting)
    await asyncio.gather(*map(alice.release, held[:250]))
    theirs = await asyncio.gather(*waiting[:250])
    assert all(later.fence > earlier.fence for earlier, later in zip(held, theirs, strict=False))
    world.nodes["alice"].crash()  # what she still has goes on to him
    await asyncio.gather(*waiting[250:])
    assert all(grant.is_valid for grant in theirs)


@simulated
async def test_more_names_than_there_is_room_for_begin_a_new_view(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "MAX_LOCKS", 50)
    alice, _, _ = await three(world)
    held = await alice.acquire("held")
    for number in range(200):
        async with alice(f"file/{number}", timeout=5.0):
            pass
    assert held.is_valid
    for name in NAMES:
        assert len(keeper_of(world.nodes[name]).participant.locks._locks) < 150  # a view takes a while


@pytest.mark.parametrize(
    "name", ["\x00", "\n", "\x1b[2J", "..", "ä" * (MAX_NAME_BYTES // 2), "\u202e", " ", "[bold]", "🔒", "-x"]
)
@simulated
async def test_an_odd_name_is_a_name(world: World, name: str) -> None:
    alice, bob, _ = await three(world)
    client = (await a_client(world)).node.require(MUTEX)
    async with client(name, timeout=1.0) as grant:
        assert grant.lock == name
        assert await bob.try_acquire(name, timeout=0.1) is None
        assert [info.name for info in await alice.locks()] == [name]


@pytest.mark.parametrize(("name", "shown"), [("a\nb", r"a\nb"), ("\x1b[2J", r"\x1b[2J"), ("[bold]", "[bold]")])
def test_an_odd_name_does_not_disturb_the_table(name: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "holder"), [(name, "alice")])
    assert capsys.readouterr().out.splitlines()[1].split() == [shown, "alice"]


class BrokenPlugin(guthi.Plugin):
    """Raises whatever happens to a lock."""

    name = "broken"

    @guthi.hookimpl
    def lock_granted(self, lock: str, fence: int) -> None:
        raise RuntimeError(lock)

    @guthi.hookimpl
    def lock_released(self, lock: str, fence: int) -> None:
        raise ValueError(lock)

    @guthi.hookimpl
    def lock_lost(self, lock: str, fence: int) -> None:
        raise KeyError(lock)


@simulated
async def test_hooks_that_raise_disturb_nobody(world: World) -> None:
    world.expect("lock_granted")
    world.expect("lock_released")
    world.expect("lock_lost")
    plugins: list[Any] = [BrokenPlugin, "mutex"]
    for name in NAMES:
        join = ["alice"] if name != "alice" else []
        await world.start(name, plugins=plugins, join=join, mutex={"lease": "1s"}, transport=TRANSPORT)
    services = [world.nodes[name].node.require(MUTEX) for name in NAMES]
    for mutex in services:
        for _ in range(3):
            async with mutex("render", timeout=5.0):
                pass
    grants: list[Grant] = [await services[0].acquire(name) for name in "ab"]
    world.network.partition(["alice"], NAMES[1:])
    await asyncio.gather(*(services[1].acquire(name) for name in "ab"))
    assert all(grant.lost.is_set() for grant in grants)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@simulated
async def test_a_partition_leaves_one_holder_whatever_the_algorithm(world: World, algorithm: str) -> None:
    """Two of five are cut off, then two others."""
    book = await a_network(world, lease="1s", algorithm=algorithm)
    for alone in [("alice", "bob"), ("carol", "erin")]:
        world.network.partition(alone, [name for name in FIVE if name not in alone])
        await world.sleep(3.0)
        book.entries.clear()
        await world.sleep(2.0)
        await world.until(lambda: len(book.entries) >= 3)
        assert set(book.entries) == set(FIVE) - set(alone)
        world.network.heal()
        await all_are_served(world, book)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@simulated
async def test_overtaking_messages_cost_no_time(world: World, algorithm: str) -> None:
    """Sessions deliver all, but not in order: what comes early waits for milliseconds, and is not sent again."""
    world.network.set_link(Link(latency_s=0.001, jitter_s=0.004))
    services = await three(world, algorithm=algorithm, turn="0s")
    began_at = world.now
    await asyncio.gather(*(enter_often(mutex, 50) for mutex in services))
    assert (world.now - began_at) / 150 < 4 * 0.005  # an entry takes a few messages one after the other


async def enter_often(mutex: Mutex, count: int, stay_s: float = 0.0) -> None:
    for _ in range(count):
        async with mutex("render"):
            if stay_s:
                await asyncio.sleep(stay_s)


@simulated
async def test_nodes_that_contend_hand_the_lock_over_by_one_message(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who releases a lock and wants it again at once says both with the token."""
    sent = await tokens_of_contenders(world, monkeypatch, turn="0s")
    assert 100 < sent < 150 + 10


@simulated
async def test_nodes_that_contend_enter_as_often_as_a_turn_allows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = await tokens_of_contenders(world, monkeypatch, turn="1ms")
    assert 3 <= sent < 150 / 3


async def tokens_of_contenders(world: World, monkeypatch: pytest.MonkeyPatch, turn: str) -> int:
    """How many messages three nodes need for 50 entries each, one right after the other, of a tenth of a ms."""
    services = await three(world, turn=turn)
    sent = 0
    for name in NAMES:
        requests = world.nodes[name].node.network.requests

        def cast(peer: Any, topic: str, value: Any, tell: Any = requests.cast) -> None:
            nonlocal sent
            sent += value[0] == CARRIED
            tell(peer, topic, value)

        monkeypatch.setattr(requests, "cast", cast)
    await asyncio.gather(*(enter_often(mutex, 50, stay_s=0.0001) for mutex in services))
    return sent
