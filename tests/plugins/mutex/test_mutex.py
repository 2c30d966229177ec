"""The service: what a caller sees of locks, on whole nodes in a quiet simulated world."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

import guthi
from guthi.testing import Link, World, simulated
from guthi_mutex import (
    MUTEX,
    Algorithm,
    AlgorithmConflict,
    Effect,
    Granted,
    LockLost,
    LockNotHeld,
    Mutex,
    MutexPlugin,
    NoQuorum,
)

NAMES = ["alice", "bob", "carol"]
TRANSPORT = {"keepalive": "1s", "timeout": "3s", "handshake_timeout": "2s"}


async def three(world: World, **mutex: Any) -> list[Mutex]:
    """Three nodes with a view, and their services."""
    for name in NAMES:
        join = NAMES[: NAMES.index(name)]
        await world.start(name, plugins=["mutex"], join=join, mutex={"lease": "1s", **mutex}, transport=TRANSPORT)
    await world.until(world.is_connected)
    services = [world.nodes[name].node.require(MUTEX) for name in NAMES]
    async with services[0]("warm up"):
        pass
    return services


@simulated
async def test_one_at_a_time(world: World) -> None:
    alice, bob, _ = await three(world)
    async with alice("render") as grant:
        assert (grant.is_valid, grant.lock, grant.lost.is_set()) == (True, "render", False)
        assert await bob.try_acquire("render", timeout=0.5) is None
        other = await bob.try_acquire("backup")
        assert other is not None
        await bob.release(other)
    assert "released" in repr(grant)
    async with bob("render") as later:
        assert later.fence > grant.fence


@simulated
async def test_callers_of_one_node_take_turns_too(world: World) -> None:
    alice, _, _ = await three(world)
    inside, order = 0, []

    async def work(number: int) -> None:
        nonlocal inside
        async with alice("render") as grant:
            inside += 1
            assert inside == 1
            await asyncio.sleep(0.01)
            order.append((number, grant.fence))
            inside -= 1

    await asyncio.gather(*map(work, range(5)))
    assert [number for number, _ in order] == list(range(5))
    assert [fence for _, fence in order] == sorted({fence for _, fence in order})


@simulated
async def test_a_held_token_is_acquired_again_without_a_message(world: World) -> None:
    alice, _, _ = await three(world)
    async with alice("render"):
        pass
    world_sent = world.network.sent_datagrams.total()
    started_at = world.now
    for _ in range(100):
        async with alice("render"):
            pass
    assert world.network.sent_datagrams.total() == world_sent
    assert world.now == started_at


@simulated
async def test_a_lock_is_handed_over_by_one_message(world: World) -> None:
    alice, bob, _ = await three(world)
    world.network.set_link(Link(latency_s=0.01, jitter_s=0.0))
    grant = await alice.acquire("render")
    waiting = asyncio.ensure_future(bob.acquire("render"))
    await world.sleep(0.1)
    released_at = world.now
    await alice.release(grant)
    await waiting
    assert world.now - released_at < 0.011


@simulated
async def test_a_timeout_leaves_nothing_behind(world: World) -> None:
    alice, bob, carol = await three(world)
    grant = await alice.acquire("render")
    with pytest.raises(guthi.DeadlineExceeded, match=r"'render' was not to be had within 0\.1 s"):
        await bob.acquire("render", timeout=0.1)
    await alice.release(grant)
    async with carol("render", timeout=1.0):
        assert [info.name for info in await bob.locks()] == ["render"]
    assert await bob.locks() == []


@pytest.mark.guthi_seeds(4)
@simulated
async def test_cancelled_at_any_moment_nothing_is_left(world: World) -> None:
    services = await three(world)

    async def visit(mutex: Mutex) -> None:
        async with mutex("render"):
            await asyncio.sleep(0.005)

    for _ in range(20):
        tasks = [asyncio.ensure_future(visit(mutex)) for mutex in services]
        await world.sleep(world.random.uniform(0, 0.01))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await world.sleep(0.1)
    for mutex in services:
        assert await mutex.locks() == []
        async with mutex("render", timeout=1.0):
            pass


@simulated
async def test_released_twice(world: World) -> None:
    alice, _, _ = await three(world)
    grant = await alice.acquire("render")
    await alice.release(grant)
    with pytest.raises(LockNotHeld, match="'render' has been released already"):
        await alice.release(grant)


@simulated
async def test_an_owner_enters_again(world: World) -> None:
    alice, bob, _ = await three(world)
    lock = alice("render", owner="job")
    async with lock as outer:
        async with lock as inner:
            assert inner is outer
        assert outer.is_valid
        assert await bob.try_acquire("render", timeout=0.1) is None
    async with bob("render", timeout=1.0) as theirs:
        assert theirs.fence > outer.fence
        with pytest.raises(guthi.DeadlineExceeded):
            await alice.acquire("render", owner="job", timeout=0.1)


@simulated
async def test_a_holder_that_is_cut_off_loses(world: World) -> None:
    alice, bob, _ = await three(world)
    with pytest.raises(LockLost, match="'render' was lost"):
        async with alice("render") as grant:
            world.network.partition(["alice"], ["bob", "carol"])
            theirs = asyncio.ensure_future(bob.acquire("render"))
            await grant.lost.wait()
            assert not theirs.done()
            assert not grant.is_valid
    assert (await theirs).fence > grant.fence
    with pytest.raises(NoQuorum, match="alice does not reach the majority of"):
        await alice.acquire("render", wait_for_majority=False)
    with pytest.raises(NoQuorum):
        await alice.try_acquire("render")


@pytest.mark.guthi_seeds(3)
@pytest.mark.parametrize("accused", [False, True], ids=["unheard", "accused"])
@simulated
async def test_a_holder_that_only_one_cannot_reach_is_not_robbed(world: World, accused: bool) -> None:
    """Carol hears alice all the time, while bob takes alice for dead: one of the two has the lock, never both."""
    alice, bob, _ = await three(world)
    grant = await alice.acquire("render")
    await world.sleep(world.random.uniform(0.5, 1.5))
    world.network.cut(["alice"], ["bob"])
    if accused:
        world.nodes["bob"].node.accuse(world.nodes["alice"].node.id, guthi.MemberState.FAILED)
    for _ in range(10):
        try:
            theirs = await bob.acquire("render", timeout=3.0)
        except guthi.DeadlineExceeded:
            theirs = None
        assert theirs is None or not grant.is_valid
        await world.sleep(0.1)


@simulated
async def test_a_failure_within_is_not_hidden_by_the_loss(world: World) -> None:
    alice, _, _ = await three(world)
    with pytest.raises(ZeroDivisionError) as caught:
        async with alice("render") as grant:
            world.network.partition(["alice"], ["bob", "carol"])
            await grant.lost.wait()
            raise ZeroDivisionError
    assert "was lost" in caught.value.__notes__[0]


@simulated
async def test_a_holder_that_was_paused_knows_when_it_wakes(world: World) -> None:
    _, bob, _ = await three(world)
    found: list[bool] = []

    async def work(node: guthi.Node) -> None:
        async with node.require(MUTEX)("render") as grant:
            found.append(grant.is_valid)
            await asyncio.sleep(1.0)
            found.append(grant.is_valid)

    task = asyncio.ensure_future(world.nodes["alice"].run(work))
    await world.sleep(0.5)
    world.nodes["alice"].machine.pause()
    await bob.acquire("render")
    world.nodes["alice"].machine.resume()
    with pytest.raises(LockLost):
        await task
    assert found == [True, False]


@simulated
async def test_a_failed_holder_is_replaced_within_two_leases(world: World) -> None:
    alice, bob, _ = await three(world)
    await alice.acquire("render")
    waiting = asyncio.ensure_future(bob.acquire("render"))
    await world.sleep(1.0)
    crashed_at = world.now
    world.nodes["alice"].crash()
    await waiting
    assert 1.0 < world.now - crashed_at < 2.5


@simulated
async def test_who_leaves_releases_and_nobody_waits_for_a_lease(world: World) -> None:
    alice, bob, carol = await three(world)
    await alice.acquire("render")
    waiting = asyncio.ensure_future(bob.acquire("render"))
    await world.sleep(0.1)
    left_at = world.now
    await world.nodes["alice"].stop()
    grant = await waiting
    assert world.now - left_at < 0.5
    await bob.release(grant)
    await world.nodes["bob"].stop()
    async with carol("render", timeout=1.0):
        pass


@simulated
async def test_closing_fails_who_waits(world: World) -> None:
    alice, bob, _ = await three(world)
    await alice.acquire("render")
    waiting = asyncio.ensure_future(bob.acquire("render"))
    await world.sleep(0.1)
    await world.nodes["bob"].stop()
    with pytest.raises(guthi.NodeClosed):
        await waiting


@simulated
async def test_what_is_held_is_listed(world: World) -> None:
    alice, bob, carol = await three(world)
    grant = await alice.acquire("render")
    waiting = [asyncio.ensure_future(each.acquire("render")) for each in (bob, carol)]
    await world.sleep(0.5)
    (info,) = await bob.locks()
    assert (info.name, info.holder, info.fence) == ("render", "alice", grant.fence)
    assert sorted(info.queue) == ["bob", "carol"]
    assert 0.4 < info.age_s < 0.7
    for each in waiting:
        each.cancel()


@simulated
async def test_a_bad_name_is_refused(world: World) -> None:
    alice, _, _ = await three(world)
    for name in ("", "x" * 256, "\u00fc" * 128, "half a pair \ud83d"):
        with pytest.raises(guthi.UsageError, match="1 to 255 bytes"):
            alice(name)


@simulated
async def test_any_text_is_a_name(world: World) -> None:
    alice, bob, _ = await three(world)
    for name in (" ", "\n", "a\0b", "\u00fc" * 127, "\U0001f512", "../etc", "--help"):
        async with alice(name):
            assert await bob.try_acquire(name, timeout=0.1) is None
            assert [info.name for info in await bob.locks() if info.holder] == [name]


@pytest.mark.parametrize("years", [-100, 100])
@simulated
async def test_a_clock_that_is_wrong_by_a_century_is_no_obstacle(world: World, years: int) -> None:
    alice = world.add("alice", plugins=["mutex"], transport=TRANSPORT)
    alice.machine.clock.wall_offset_s += years * 365 * 86_400
    await alice.start()
    await world.start("bob", plugins=["mutex"], join=["alice"], transport=TRANSPORT)
    async with alice.node.require(MUTEX)("render", timeout=5.0) as first:
        pass
    async with world.nodes["bob"].node.require(MUTEX)("render", timeout=5.0) as second:
        assert first.fence < second.fence < 1 << 63


@pytest.mark.guthi_seeds(3)
@simulated
async def test_a_holder_with_a_longer_lease_than_the_others_has_not_longer(world: World) -> None:
    for name, lease in (("alice", "10s"), ("bob", "500ms"), ("carol", "500ms")):
        join = NAMES[: NAMES.index(name)]
        await world.start(name, plugins=["mutex"], join=join, mutex={"lease": lease}, transport=TRANSPORT)
    await world.until(world.is_connected)
    alice, bob = (world.nodes[name].node.require(MUTEX) for name in ("alice", "bob"))
    async with bob("render", timeout=30.0):
        pass
    grant = await alice.acquire("render", timeout=30.0)
    await world.sleep(world.random.uniform(0, 2))
    assert grant.is_valid
    world.network.partition(["alice"], ["bob", "carol"])
    async with bob("render", timeout=30.0) as theirs:
        assert theirs.fence > grant.fence and not grant.is_valid


# ---- algorithms


@simulated
async def test_nodes_that_disagree_are_told(world: World) -> None:
    alice, _, carol = await three(world)
    await world.start("dave", plugins=["mutex"], join=["alice"], mutex={"lease": "1s", "locks": {"render": "raymond"}})
    dave = world.nodes["dave"].node.require(MUTEX)
    async with dave("backup", timeout=5.0):
        pass
    for mutex in (alice, carol, dave):
        with pytest.raises(
            AlgorithmConflict, match=r"'render'.*'suzuki-kasami' on .*'raymond' on dave|'raymond' on dave"
        ):
            await mutex.acquire("render", timeout=5.0)


@simulated
async def test_a_waiter_is_told_when_one_who_disagrees_comes(world: World) -> None:
    alice, bob, _ = await three(world)
    grant = await alice.acquire("render")
    waiting = asyncio.ensure_future(bob.acquire("render"))
    await world.start("dave", plugins=["mutex"], join=["alice"], mutex={"lease": "1s", "algorithm": "maekawa"})
    with pytest.raises(AlgorithmConflict):
        await waiting
    assert grant.is_valid
    await alice.release(grant)


class Lottery(Algorithm):
    """One member only: enough to see that it is used."""

    name = "lottery"

    def __init__(
        self,
        me: guthi.NodeId,
        members: Sequence[guthi.NodeId],
        holder: guthi.NodeId | None,
        fence: int,
        rng: Random | None = None,
    ) -> None:
        super().__init__(me, members, holder, fence, rng)
        self._counter = fence

    def request(self) -> list[Effect]:
        self._counter += 1000
        return [Granted(self._counter)]

    def release(self) -> list[Effect]:
        return []

    def cancel(self) -> list[Effect]:
        return []

    def receive(self, sender: guthi.NodeId, message: Any) -> list[Effect]:
        raise guthi.MalformedMessage("nothing is said here")

    @property
    def queue(self) -> tuple[guthi.NodeId, ...]:
        return ()


class LotteryPlugin(guthi.Plugin):
    """Brings an algorithm, as a third party's plugin does."""

    name = "lottery"

    @guthi.hookimpl
    def mutex_algorithms(self) -> list[type[Algorithm]]:
        return [Lottery]


@simulated
async def test_an_algorithm_of_another_plugin(world: World) -> None:
    node = await world.start("alice", plugins=[LotteryPlugin, MutexPlugin], mutex={"algorithm": "lottery"})
    mutex = node.node.require(MUTEX)
    async with mutex("render") as first, mutex("backup"):
        pass
    async with mutex("render") as second:
        assert second.fence - first.fence == 1000


@simulated
async def test_an_unknown_algorithm_is_an_error_of_the_start(world: World) -> None:
    with pytest.raises(guthi.ConfigError, match="no algorithm 'raimond'; did you mean 'raymond'"):
        await world.start("alice", plugins=["mutex"], mutex={"algorithm": "raimond"})
    with pytest.raises(guthi.ConfigError, match="no algorithm 'lottery'; known are"):
        await world.start("bob", plugins=[MutexPlugin, LotteryPlugin], mutex={"locks": {"render": "lottery"}})


@pytest.mark.parametrize("table", [{"lease": "1ms"}, {"quorum": -1}, {"locks": {"": "maekawa"}}])
def test_a_bad_table_is_refused(table: dict[str, Any]) -> None:
    config = guthi.Config.from_mapping({"node": {"plugins": ["mutex"]}, "plugins": {"mutex": table}}, environment={})
    with pytest.raises(guthi.ConfigError):
        config.plugin_config("mutex", MutexPlugin.Config)


# ---- hooks


class LogPlugin(guthi.Plugin):
    """Writes down what the hooks say."""

    name = "log"

    def __init__(self, node: guthi.Node, config: Any) -> None:
        super().__init__(node, config)
        self.lines: list[tuple[str, str, int]] = []

    @guthi.hookimpl
    def lock_granted(self, lock: str, fence: int) -> None:
        self.lines.append(("granted", lock, fence))

    @guthi.hookimpl
    def lock_released(self, lock: str, fence: int) -> None:
        self.lines.append(("released", lock, fence))

    @guthi.hookimpl
    def lock_lost(self, lock: str, fence: int) -> None:
        self.lines.append(("lost", lock, fence))


@simulated
async def test_hooks_tell_what_becomes_of_locks(world: World) -> None:
    await three(world)
    dave = await world.start("dave", plugins=["mutex", LogPlugin], join=["alice"], mutex={"lease": "1s"})
    (plugin,) = (each for each in dave.node.plugins if isinstance(each, LogPlugin))
    mutex = dave.node.require(MUTEX)
    async with mutex("render") as first:
        pass
    second = await mutex.acquire("render")
    world.network.partition(["dave"], NAMES)
    await second.lost.wait()
    assert plugin.lines == [
        ("granted", "render", first.fence),
        ("released", "render", first.fence),
        ("granted", "render", second.fence),
        ("lost", "render", second.fence),
    ]


# ---- members that come and go


@pytest.mark.guthi_seeds(4)
@simulated
async def test_holders_go_on_holding_while_others_come_and_go(world: World) -> None:
    world.network.set_link(Link(latency_s=0.02, jitter_s=0.02))
    await world.start("alice", plugins=["mutex"], mutex={"lease": "1s"}, transport=TRANSPORT)
    grant = await world.nodes["alice"].node.require(MUTEX).acquire("render")
    for name in ("bob", "carol", "dave"):
        await world.start(name, plugins=["mutex"], join=["alice"], mutex={"lease": "1s"}, transport=TRANSPORT)
        await world.sleep(world.random.uniform(0, 1.5))
        assert await world.nodes[name].node.require(MUTEX).try_acquire("render", timeout=0.5) is None
    await world.nodes["bob"].stop()
    await world.sleep(3.0)
    assert grant.is_valid and not grant.lost.is_set()
    assert await world.nodes["dave"].node.require(MUTEX).try_acquire("render", timeout=0.5) is None
