"""Work that outlives its node, in simulated worlds: kept, taken up, fenced, given back, brought back from the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, ClassVar

import pytest

import guthi
from guthi.testing import Link, World, simulated
from guthi_health import HEALTH, EventAbandoned, EventState, EventTaken, Kept, Pending, PendingFull, Taken

QUICK = {"detector": "swim", "interval": "300ms", "timeout": "100ms"}
NAMES = ["alice", "bob", "carol", "dave"]


class CountPlugin(guthi.Plugin):
    """Takes events of `count`: counts from the state to ten, one each second, and tells each step."""

    name = "count"
    requires = (HEALTH,)
    steps: ClassVar[list[tuple[str, int]]]

    async def run(self, stack: AsyncExitStack) -> None:
        if self.node.name != "alice":
            self.node.require(HEALTH).pending.take("count")(self.count)

    async def count(self, event: Taken) -> int:
        for number in range(event.value, 10):
            await asyncio.sleep(1)
            self.steps.append((self.node.name, number))
            await event.update(number + 1)
        return 10


async def four(world: World) -> list[tuple[str, int]]:
    class Counting(CountPlugin):
        steps: ClassVar[list[tuple[str, int]]] = []

    for name in NAMES:
        join = ["alice"] if name != "alice" else []
        await world.start(name, plugins=["health", Counting], join=join, health=QUICK)
    await world.until(world.is_whole)
    return Counting.steps


def pending(world: World, name: str) -> Pending:
    return world.nodes[name].node.require(HEALTH).pending


def holder(world: World, event: Kept) -> str:
    return next(name for name, node in world.nodes.items() if node.runs and node.node.id == event.holder)


async def outcome(event: Kept, within: float = 120.0) -> Any:
    async with asyncio.timeout(within):
        return await event.outcome()


@simulated
async def test_an_event_goes_on_where_its_node_died_and_where_its_taker_died_too(world: World) -> None:
    steps = await four(world)
    event = await pending(world, "alice").keep("count", 3, for_node="bob")
    await event.update(5)  # so far bob has come
    assert (event.state, event.attempt) == (EventState.HELD, 1)
    await asyncio.sleep(5)
    assert steps == []  # it has a holder, so nobody takes it
    world.nodes["bob"].crash()
    await world.until(lambda: len(steps) >= 2, within=30)
    first = holder(world, event)
    assert first in ("carol", "dave") and event.attempt == 2
    world.nodes[first].crash()
    assert await outcome(event) == 10
    numbers = [number for _, number in steps]
    assert sorted(set(numbers)) == [5, 6, 7, 8, 9] and len(numbers) <= 6  # one step may have been done and not told
    assert (event.state, event.attempt, event.value) == (EventState.DONE, 3, 10)
    await event.drop()
    assert pending(world, "alice").kept() == []


@simulated
async def test_a_node_that_comes_late_takes_what_is_free(world: World) -> None:
    await world.start("alice", plugins=["health"], health=QUICK)
    events = [await pending(world, "alice").keep("count", 9) for _ in range(3)]
    await asyncio.sleep(10)
    assert {event.state for event in events} == {EventState.FREE}

    class Counting(CountPlugin):
        steps: ClassVar[list[tuple[str, int]]] = []

    await world.start("bob", plugins=["health", Counting], join=["alice"], health=QUICK)
    assert [await outcome(event, 30) for event in events] == [10, 10, 10]


@simulated
async def test_a_claim_is_atomic(world: World) -> None:
    steps = await four(world)
    events = [await pending(world, "alice").keep("count", 7) for _ in range(12)]
    assert [await outcome(event) for event in events] == [10] * 12
    assert len(steps) == 12 * 3 and {event.attempt for event in events} == {1}
    assert len({name for name, _ in steps}) == 3  # all have helped


@simulated
async def test_who_leaves_gives_back_what_it_has(world: World) -> None:
    steps = await four(world)
    event = await pending(world, "alice").keep("count", 0)
    await world.until(lambda: len(steps) >= 3)
    leaver = holder(world, event)
    await world.nodes[leaver].stop()
    assert await outcome(event) == 10
    assert holder(world, event) != leaver


@simulated
async def test_a_taker_that_restarts_unnoticed_gives_it_back(world: World) -> None:
    steps = await four(world)
    event = await pending(world, "alice").keep("count", 0)
    await world.until(lambda: len(steps) >= 2)
    taker = holder(world, event)
    world.nodes[taker].crash()
    await world.nodes[taker].restart()  # long before anybody has suspected it
    assert await outcome(event) == 10
    assert event.attempt == 2


@simulated
async def test_a_taker_that_was_cut_off_is_fenced_off(world: World) -> None:
    steps = await four(world)
    told: list[Exception] = []
    event = await pending(world, "alice").keep("count", 0)
    await world.until(lambda: len(steps) >= 2)
    taker = holder(world, event)
    world.nodes[taker].machine.pause()
    await world.until(lambda: event.attempt == 2, within=60)
    world.nodes[taker].machine.resume()
    assert await outcome(event) == 10
    assert event.attempt == 2 and holder(world, event) != taker
    with pytest.raises(EventTaken):
        await event.update(4)
    assert told == []


@simulated
async def test_what_fails_everywhere_is_abandoned_with_the_reason(world: World) -> None:
    world.expect("the handler of pending events of 'bad' failed")
    await four(world)
    for name in NAMES[1:]:

        async def fail(event: Taken) -> None:
            raise RuntimeError(f"attempt {event.attempt}")

        pending(world, name).take("bad")(fail)
    event = await pending(world, "alice").keep("bad", None, attempts=4)
    with pytest.raises(EventAbandoned, match="tried 4 times; lastly RuntimeError: attempt 4"):
        await outcome(event)


@simulated
async def test_dropping_wakes_who_waits(world: World) -> None:
    await world.start("alice", plugins=["health"], health=QUICK)
    event = await pending(world, "alice").keep("count", 0)
    waiting = asyncio.create_task(event.outcome())
    await asyncio.sleep(1)
    await event.drop()
    with pytest.raises(EventTaken, match="dropped"):
        await waiting


@pytest.mark.guthi_seeds(5)
@simulated
async def test_durable_events_come_back_with_their_keeper(world: World) -> None:
    steps = await four(world)
    keeper = pending(world, "alice")
    done = await keeper.keep("count", 9, durable=True)
    await outcome(done)
    running = await keeper.keep("count", 0, durable=True)
    await keeper.keep("count", 0)  # not durable
    unheard = await keeper.keep("nobody takes this", {"row": 7}, durable=True)
    await world.until(lambda: any(number == 3 for _, number in steps))  # so what came before was acknowledged
    world.nodes["alice"].crash()
    await asyncio.sleep(1)
    await world.nodes["alice"].restart()
    found = {event.id: event for event in pending(world, "alice").kept()}
    assert set(found) == {done.id, running.id, unheard.id}
    assert found[done.id].state is EventState.DONE and found[done.id].value == 10
    assert found[running.id].value >= 3
    assert found[unheard.id].value == {"row": 7} and found[unheard.id].state is EventState.FREE
    assert await outcome(found[running.id]) == 10
    assert all(number >= 0 for _, number in steps)
    await found[done.id].drop()
    world.nodes["alice"].crash()
    await world.nodes["alice"].restart()
    assert {event.id for event in pending(world, "alice").kept()} == {running.id, unheard.id}


@pytest.mark.guthi_seeds(8)
@simulated
async def test_every_event_has_one_result_whatever_happens(world: World) -> None:
    world.network.set_link(Link(latency_s=0.002, jitter_s=0.005, loss=0.05, duplicate=0.02, reorder=0.05))
    await four(world)
    events = [await pending(world, "alice").keep("count", 6, attempts=100) for _ in range(10)]
    world.swarm(30.0, spare=["alice"])
    assert [await outcome(event, 600) for event in events] == [10] * 10


@simulated
async def test_what_cannot_be_is_refused(world: World) -> None:
    await world.start("alice", plugins=["health"], disk=False, health={**QUICK, "most_events": 1})
    queue = pending(world, "alice")
    refusals: list[tuple[type[Exception], str, Callable[[], Any]]] = [
        (guthi.UsageError, "set data_dir", lambda: queue.keep("x", 1, durable=True)),
        (guthi.UsageError, "an attempt at least", lambda: queue.keep("x", 1, attempts=0)),
        (guthi.UnknownMember, "nobody", lambda: queue.keep("x", 1, for_node="nobody")),
        (guthi.NotEncodable, "cannot travel", lambda: queue.keep("x", object())),
    ]
    for kind, words, call in refusals:
        with pytest.raises(kind, match=words):
            await call()
    await queue.keep("x", 1)
    with pytest.raises(PendingFull, match="most_events"):
        await queue.keep("x", 2)

    async def handler(event: Taken) -> None: ...

    queue.take("y")(handler)
    with pytest.raises(guthi.UsageError, match="takes events of 'y' already"):
        queue.take("y")(handler)
    with pytest.raises(guthi.UsageError, match="at least one at a time"):
        queue.take("z", slots=0)(handler)
    await world.start("client", plugins=["health"], join=["alice"], health=QUICK, node={"role": "client"})
    with pytest.raises(guthi.UsageError, match="is a client"):
        pending(world, "client").take("y")(handler)


@pytest.mark.parametrize(
    ("topic", "value"),
    [("health.claim", 7), ("health.update", []), ("health.finish", [b"", 1, True]), ("health.holding", "x"),
     ("health.holding", [[1, 2]])],
)  # fmt: skip
@simulated
async def test_a_bad_request_is_refused(world: World, topic: str, value: Any) -> None:
    for name in NAMES[:2]:
        join = ["alice"] if name != "alice" else []
        await world.start(name, plugins=["health"], join=join, health=QUICK)
    with pytest.raises(guthi.GuthiError):
        await world.nodes["bob"].node.request("alice", topic, value, timeout_s=5)
