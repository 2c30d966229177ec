"""Every item is computed and given once, whatever becomes of the nodes, and nothing is left when the map ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guthi.api import NodeId
from guthi.errors import PeerLost
from guthi_rpc import MapResult, NoProvider
from guthi_rpc.errors import NotComputed, Overloaded
from guthi_rpc.items import Item
from guthi_rpc.mapping import MAX_LOSSES, MapRun, MapSettings
from guthi_rpc.results import Outcome

ALICE, BOB, CAROL = (NodeId(name.encode() * 16) for name in "abc")


def name_of(node: NodeId) -> str:
    return {ALICE: "alice", BOB: "bob", CAROL: "carol"}[node]


class Cluster:
    """Nodes that square numbers; each takes as many turns of the loop for one as `turns` says."""

    def __init__(self, **places: int) -> None:
        self.nodes = {NodeId(name[0].encode() * 16): size for name, size in places.items()}
        self.listed = dict(self.nodes)  # what the directory says, which may be late
        self.calls: list[tuple[NodeId, Any]] = []
        self.under_way: Counter[NodeId] = Counter()
        self.most: Counter[NodeId] = Counter()
        self.cancelled: list[Any] = []
        self.turns: Callable[[NodeId], int] = lambda _: 1
        self.change = asyncio.Event()

    async def call(self, node: NodeId, items: Sequence[Item]) -> list[Outcome]:
        """One place for one item, as the tests below count them."""
        return [await self.one(node, item.value) for item in items]

    async def one(self, node: NodeId, item: Any) -> Outcome:
        self.calls.append((node, item))
        self.under_way[node] += 1
        self.most[node] = max(self.most[node], self.under_way[node])
        try:
            for _ in range(self.turns(node)):
                await asyncio.sleep(0)
                if node not in self.nodes:
                    raise NotComputed(PeerLost(name_of(node), "it died"), was_begun=True)
            return Outcome(await self.compute(item), 0.5)
        except Exception as error:
            if isinstance(error, NotComputed):
                raise
            return Outcome(None, 0.5, error)
        except asyncio.CancelledError:
            self.cancelled.append(item)
            raise
        finally:
            self.under_way[node] -= 1

    async def compute(self, item: Any) -> Any:
        if isinstance(item, BaseException):
            raise item
        if isinstance(item, Awaitable):
            return await item
        return item * item

    def lose(self, node: NodeId, *, noticed: bool = True) -> None:
        self.nodes.pop(node, None)
        if noticed:
            self.listed.pop(node, None)
            self.tell()

    def add(self, node: NodeId, places: int = 2) -> None:
        self.nodes[node] = self.listed[node] = places
        self.tell()

    def tell(self) -> None:
        self.change.set()
        self.change = asyncio.Event()

    async def changed(self) -> None:
        await self.change.wait()

    def run(self, items: Any, patience_s: float = 0.0, retry_s: float = 60.0) -> MapRun:
        settings = MapSettings(chunk=1, patience_s=patience_s, retry_s=retry_s)
        return MapRun(items, self.call, lambda: self.listed, self.changed, name_of, settings)


async def collect(run: MapRun) -> list[MapResult]:
    async with asyncio.timeout(10):
        return [result async for result in run]


def assert_squares(results: list[MapResult], items: list[int]) -> None:
    """Every item once, under its own number, with its own value."""
    assert sorted(result.index for result in results) == list(range(len(items)))
    assert all(result.item == items[result.index] and result.value == result.item**2 for result in results)


async def nothing_left() -> None:
    for _ in range(3):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_result_unpacks_into_item_and_value() -> None:
    item, value = MapResult(0, "item", "value", "bob", 1.5)
    assert (item, value) == ("item", "value")


async def test_every_item_once() -> None:
    cluster = Cluster(alice=2, bob=2, carol=2)
    results = await collect(cluster.run(range(100)))
    assert_squares(results, list(range(100)))
    assert {result.node for result in results} == {"alice", "bob", "carol"}
    assert {result.seconds for result in results} == {0.5}
    assert len(cluster.calls) == 100
    await nothing_left()


async def test_no_items_at_all() -> None:
    assert await collect(Cluster(alice=1).run([])) == []
    await nothing_left()


async def test_no_node_has_more_than_its_places() -> None:
    cluster = Cluster(alice=1, bob=5)
    await collect(cluster.run(range(50)))
    assert cluster.most == {ALICE: 1, BOB: 5}


async def test_a_node_that_refuses_goes_on_with_what_it_has_and_is_not_called_lost() -> None:
    """Its queue takes two of the five chunks that it is offered at a time; nothing waits for `retry_s`."""
    cluster = Cluster(alice=5)
    in_hand = 0

    async def call(node: NodeId, items: Sequence[Item]) -> list[Outcome]:
        nonlocal in_hand
        if in_hand == 2:
            raise NotComputed(Overloaded("its queue is full"), was_begun=False)
        in_hand += 1
        try:
            return await cluster.call(node, items)
        finally:
            in_hand -= 1

    settings = MapSettings(chunk=1, patience_s=0.0, retry_s=60.0)
    run = MapRun(range(50), call, lambda: cluster.listed, cluster.changed, name_of, settings)
    results = await collect(run)
    assert_squares(results, list(range(50)))
    assert all(result.lost_on == () for result in results)
    assert (run.progress.again, run.progress.nodes["alice"].losses) == (0, 0)


async def test_who_is_quick_gets_more() -> None:
    cluster = Cluster(alice=2, bob=2)
    cluster.turns = lambda node: 1 if node == ALICE else 50
    results = await collect(cluster.run(range(110)))
    shares = Counter(result.node for result in results)
    assert shares["alice"] > 5 * shares["bob"] > 0


async def test_a_slow_consumer_slows_the_map_down() -> None:
    cluster = Cluster(alice=2)
    taken = 0
    async with aclosing(cluster.run(count())) as results:
        async for _ in results:
            taken += 1
            for _ in range(10):
                await asyncio.sleep(0)
            assert len(cluster.calls) <= taken + 2
            if taken == 20:
                break


async def test_the_items_of_a_lost_node_are_computed_elsewhere() -> None:
    cluster = Cluster(alice=3, bob=3)
    results = []
    async for result in cluster.run(range(60)):
        results.append(result)
        if len(results) == 20:
            cluster.lose(BOB)
    assert_squares(results, list(range(60)))
    assert len(cluster.calls) == 60 + 3


async def test_a_lost_node_is_left_alone_before_the_directory_notices() -> None:
    cluster = Cluster(alice=3, bob=3)
    results = []
    async for result in cluster.run(range(60)):
        results.append(result)
        if len(results) == 20:
            cluster.lose(BOB, noticed=False)
    assert_squares(results, list(range(60)))
    assert len(cluster.calls) == 60 + 3


async def test_a_node_that_comes_back_gets_work_again() -> None:
    cluster = Cluster(alice=1, bob=1)
    results = []
    async for result in cluster.run(range(100)):
        results.append(result)
        if len(results) == 20:
            cluster.lose(BOB)
        if len(results) == 40:
            cluster.add(BOB)
    assert_squares(results, list(range(100)))
    assert "bob" not in {result.node for result in results[22:40]}
    assert "bob" in {result.node for result in results[42:]}


async def test_a_newcomer_gets_work_at_once() -> None:
    cluster = Cluster(alice=1)
    gate: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(collect(cluster.run([gate, 2, 3])))
    for _ in range(5):
        await asyncio.sleep(0)
    assert cluster.calls == [(ALICE, gate)]
    cluster.add(CAROL)
    for _ in range(5):
        await asyncio.sleep(0)
    assert (CAROL, 2) in cluster.calls and (CAROL, 3) in cluster.calls
    gate.set_result("open")
    assert {result.value for result in await task} == {"open", 4, 9}


async def test_an_asynchronous_input() -> None:
    async def numbers() -> AsyncIterator[int]:
        for number in range(50):
            await asyncio.sleep(0)
            yield number

    cluster = Cluster(alice=2, bob=2)
    assert_squares(await collect(cluster.run(numbers())), list(range(50)))
    await nothing_left()


async def test_an_input_may_depend_on_the_results() -> None:
    """Each item is made of the result before, so waiting for the next item would be waiting for ever."""
    queue: asyncio.Queue[int] = asyncio.Queue()
    queue.put_nowait(2)

    async def feed() -> AsyncIterator[int]:
        for _ in range(4):
            yield await queue.get()

    values = []
    async with asyncio.timeout(10):
        async for result in Cluster(alice=3).run(feed()):
            values.append(result.value)
            queue.put_nowait(result.value)
    assert values == [4, 16, 256, 65536]


async def test_leaving_an_endless_map_cancels_what_is_under_way() -> None:
    cluster = Cluster(alice=3, bob=3)
    cluster.turns = lambda _: 20
    results = cluster.run(count())
    async for _ in results:
        break
    await results.aclose()
    assert cluster.under_way.total() == 0
    assert len(cluster.cancelled) == len(cluster.calls) - 6
    await nothing_left()


async def test_leaving_without_closing_does_so_too() -> None:
    cluster = Cluster(alice=3)
    cluster.turns = lambda _: 20
    async for _ in cluster.run(count()):
        break
    for _ in range(10):
        await asyncio.sleep(0)
    assert cluster.under_way.total() == 0
    await nothing_left()


async def test_cancelling_the_consumer_cancels_the_map() -> None:
    cluster = Cluster(alice=3)
    cluster.turns = lambda _: 1000
    task = asyncio.create_task(collect(cluster.run(count())))
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(cluster.cancelled) == [0, 1, 2]
    await nothing_left()


async def test_an_exception_ends_the_map_and_cancels_the_rest() -> None:
    cluster = Cluster(alice=3)
    first, second = (asyncio.get_running_loop().create_future() for _ in range(2))
    with pytest.raises(ZeroDivisionError):
        await collect(cluster.run([first, ZeroDivisionError("no"), second, 3, 4]))
    assert cluster.cancelled == [first, second]
    assert cluster.under_way.total() == 0
    await nothing_left()


async def test_an_exception_of_the_input_ends_the_map() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    cluster = Cluster(alice=3)
    with pytest.raises(ValueError, match="no more"):
        await collect(cluster.run(broken()))
    await nothing_left()


async def test_several_exceptions_at_once_are_all_retrieved(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ZeroDivisionError):
        await collect(Cluster(alice=5).run([ZeroDivisionError(number) for number in range(5)]))
    await nothing_left()
    assert not caplog.records


async def test_without_any_provider_patience_ends() -> None:
    cluster = Cluster()
    with pytest.raises(NoProvider, match="none came within 0 s; the input has more items"):
        await collect(cluster.run([1, 2]))
    await nothing_left()


async def test_when_all_are_lost_it_is_told_what_is_not_computed() -> None:
    cluster = Cluster(alice=2)
    cluster.turns = lambda _: 5
    task = asyncio.create_task(collect(cluster.run([1, 2])))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    cluster.lose(ALICE)
    with pytest.raises(NoProvider, match=r"gone \(alice\), .*; 2 items were given out in vain"):
        await task


async def test_with_patience_the_map_goes_on_when_somebody_comes() -> None:
    cluster = Cluster()
    task = asyncio.create_task(collect(cluster.run([1, 2, 3], patience_s=60)))
    for _ in range(5):
        await asyncio.sleep(0)
    cluster.add(BOB)
    assert_squares(await task, [1, 2, 3])


async def test_one_that_only_this_map_missed_is_tried_again() -> None:
    """A session may break without anybody suspecting the node."""
    cluster = Cluster(alice=1)
    failures = iter([True, True, False])

    async def call(node: NodeId, items: Sequence[Item]) -> list[Outcome]:
        if next(failures, False):
            raise NotComputed(PeerLost("alice", "the session broke"), was_begun=True)
        return [Outcome(item.value**2, 0.5) for item in items]

    settings = MapSettings(patience_s=60, retry_s=0)
    run = MapRun([3], call, lambda: cluster.listed, cluster.changed, name_of, settings)
    assert [result.value for result in await collect(run)] == [9]


async def test_an_item_that_kills_its_nodes_ends_the_map() -> None:
    cluster = Cluster(**dict.fromkeys("abcdefgh", 1))
    killed: list[NodeId] = []

    async def call(node: NodeId, items: Sequence[Item]) -> list[Outcome]:
        await asyncio.sleep(0)
        killed.append(node)
        cluster.lose(node)
        raise NotComputed(PeerLost(str(node), "it died"), was_begun=True)

    run = MapRun(["poison"], call, lambda: cluster.listed, cluster.changed, str, MapSettings(patience_s=0.0))
    with pytest.raises(PeerLost) as caught:
        await collect(run)
    assert len(killed) == MAX_LOSSES
    assert caught.value.__notes__ == [f"item 0 was given to {MAX_LOSSES} nodes, and none computed it"]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.integers(0, 80))
def test_whoever_comes_and_goes_nothing_is_lost_and_nothing_comes_twice(seed: int, size: int) -> None:
    rng = Random(seed)

    async def world() -> list[MapResult]:
        cluster = Cluster(alice=rng.randint(1, 4), bob=rng.randint(1, 4), carol=rng.randint(1, 4))
        cluster.turns = lambda _: rng.randint(1, 4)
        results = []
        losses = 0
        async for result in cluster.run(range(size)):
            results.append(result)
            node = rng.choice([BOB, CAROL])
            if rng.random() < 0.2 and losses < MAX_LOSSES - 1:
                losses += 1
                cluster.lose(node, noticed=rng.random() < 0.5)
            elif rng.random() < 0.2:
                cluster.add(node, rng.randint(1, 4))
        return results

    assert_squares(asyncio.run(world()), list(range(size)))
