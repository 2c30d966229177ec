"""In simulated worlds nodes crash and join while a map runs, on a bad network: each item has its result, and once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

import guthi
import guthi_rpc
from guthi.testing import Link, World, simulated
from guthi_rpc import MapResult

from .working import FULL, QUICK, rpc_of, start_all

LOSSY = Link(latency_s=0.001, jitter_s=0.002, loss=0.02)
ITEMS, NODES, CHANGES, SEEDS = (10_000, 20, 5, 200) if FULL else (300, 6, 2, 20)


async def collect(results: AsyncIterator[MapResult]) -> list[MapResult]:
    return [result async for result in results]


def assert_squares(results: list[MapResult], items: int) -> None:
    """Each item once, with its own value."""
    assert sorted(result.index for result in results) == list(range(items))
    assert all(result.item == result.index and result.value == result.item**2 for result in results)


async def come_and_go(world: World, names: list[str], within_s: float) -> None:
    """CHANGES nodes crash, and as many join, at moments that the seed draws."""
    victims = world.random.sample(names[1:], CHANGES)
    started_at, works = world.now, type(world.nodes[names[0]].node.plugins[-1])
    for moment, number in sorted((world.random.uniform(0, within_s), number) for number in range(2 * CHANGES)):
        await asyncio.sleep(max(started_at + moment - world.now, 0))
        if number < CHANGES:
            world.nodes[victims[number]].crash()
        else:
            tables: dict[str, Any] = {"rpc": {"threads": 2}, **QUICK}
            joiner = world.add(f"new{number}", plugins=["rpc", works], join=names[:3], **tables)
            world.background(joiner.start_until_joined())


@pytest.mark.timeout(900 if FULL else 120)
@pytest.mark.guthi_seeds(SEEDS)
@simulated
async def test_nothing_is_lost_and_nothing_comes_twice(world: World) -> None:
    world.network.set_link(LOSSY)
    names = [f"n{number}" for number in range(NODES)]
    await start_all(world, names, takes_s=0.1)
    changes = asyncio.ensure_future(come_and_go(world, names, within_s=ITEMS / NODES / 60))
    results = await collect(rpc_of(world, "n0").map("square", range(ITEMS)))
    await changes
    assert_squares(results, ITEMS)
    assert rpc_of(world, "n0")._dispatch.outstanding == 0


@pytest.mark.guthi_seeds(20)
@simulated
async def test_with_copies_and_in_order_too(world: World) -> None:
    """Nodes are slow by turns, so that their items are copied; each item still has one result, in its turn."""
    world.network.set_link(LOSSY)
    names = ["n0", "n1", "n2", "n3"]
    await start_all(world, names, takes_s=0.1)
    world.nodes[names[1 + world.seed % 3]].machine.pause()
    world.loop.call_later(world.random.uniform(0.5, 2.0), world.nodes[names[1 + world.seed % 3]].machine.resume)
    run = rpc_of(world, "n0").map("square", range(60), idempotent=True, ordered=True)
    results = await collect(run)
    assert [result.index for result in results] == list(range(60))
    assert_squares(results, 60)
    assert run.progress.copies > 0
    assert run.progress.done == 60


@simulated
async def test_a_straggler_does_not_hold_the_map_up(world: World) -> None:
    await start_all(world, ["n0", "n1", "n2"])
    for name in ("n0", "n1", "n2"):
        rpc_of(world, name).register(late if name == "n1" else prompt, name="work")
    await rpc_of(world, "n0").available("work", nodes=3, timeout=10)
    run = rpc_of(world, "n0").map("work", range(60), idempotent=True)
    assert_squares(await collect(run), 60)
    assert run.progress.copies > 0
    assert run.progress.ended_at is not None
    assert run.progress.ended_at - run.progress.started_at < 30


async def late(number: int) -> int:
    await asyncio.sleep(600)
    return number * number


async def prompt(number: int) -> int:
    await asyncio.sleep(0.1)
    return number * number


@simulated
async def test_a_newcomer_is_given_work_at_once(world: World) -> None:
    done = await start_all(world, ["n0"], takes_s=1.0, threads=1)
    works = type(world.nodes["n0"].node.plugins[-1])
    run = rpc_of(world, "n0").map("square", range(60), chunk=1)
    task = asyncio.ensure_future(collect(run))
    await asyncio.sleep(5)
    tables: dict[str, Any] = {"rpc": {"threads": 1}, **QUICK}
    await world.start("n1", plugins=["rpc", works], join=["n0"], **tables)
    began = done.total()
    await world.until(lambda: "n1" in run.progress.nodes and run.progress.nodes["n1"].in_hand > 0, within=1)
    assert done.total() - began < 10
    results = await task
    assert_squares(results, 60)
    assert sum(result.node == "n1" for result in results) > 15


async def resumable(count: int) -> list[int]:
    """Count, a tenth of a second each, from the last checkpoint on; tells where it began."""
    first = guthi_rpc.current_call().state or 0
    for number in range(first, count):
        await asyncio.sleep(0.1)
        guthi_rpc.current_call().checkpoint(number + 1)
    return [first, count]


@pytest.mark.guthi_seeds(10)
@pytest.mark.parametrize("kind", ["call", "map"])
@simulated
async def test_a_function_resumes_where_its_node_was_lost(world: World, kind: str) -> None:
    """No more is lost than the interval of checkpoints, and what was on its way."""
    world.network.set_link(Link(latency_s=0.001))
    await start_all(world, ["n0", "n1", "n2"], checkpoint_interval="0.3s")
    for name in ("n1", "n2"):
        rpc_of(world, name).register(resumable)
    rpc = rpc_of(world, "n0")
    await rpc.available("resumable", nodes=2, timeout=10)
    steps = Random(world.seed).randint(5, 40)
    if kind == "call":
        call = rpc.options(idempotent=True).submit("resumable", 50)
        result = asyncio.ensure_future(_awaited(call))
    else:
        result = asyncio.ensure_future(_only(rpc.map("resumable", [50], chunk=1)))
    await asyncio.sleep(0.1 * steps + 0.05)
    if kind == "call":
        assert steps - 4 <= rpc.state(call) <= steps
    busy = next(name for name in ("n1", "n2") if rpc_of(world, name)._execution.running)
    world.nodes[busy].crash()
    first, count = await result
    assert count == 50
    assert steps - 4 <= first <= steps
    if kind == "call":
        assert rpc.state(call) is None


async def _awaited(call: guthi_rpc.Call) -> list[int]:
    value: list[int] = await call
    return value


async def _only(results: AsyncIterator[MapResult]) -> list[int]:
    (result,) = await collect(results)
    value: list[int] = result.value
    return value


@simulated
async def test_one_further_node_keeps_the_checkpoint(world: World) -> None:
    await start_all(world, ["n0", "n1", "n2", "n3"])
    for name in ("n1", "n2", "n3"):
        rpc_of(world, name).register(resumable)
    rpc = rpc_of(world, "n0")
    call = rpc.submit("resumable", 30, on="n1")
    await asyncio.sleep(2)
    having = [name for name in ("n0", "n1", "n2", "n3") if rpc_of(world, name).state(call)]
    assert len(having) == 2 and "n0" in having and "n1" not in having
    assert await call == [0, 30]
    await asyncio.sleep(1)
    assert [rpc_of(world, name).state(call) for name in having] == [None, None]


@simulated
async def test_reduce_combines_on_the_nodes(world: World) -> None:
    world.network.set_link(LOSSY)
    await start_all(world, ["n0", "n1", "n2"], takes_s=0.01)
    combined: list[str] = []
    for name in ("n1", "n2"):

        async def plus(left: int, right: int, name: str = name) -> int:
            combined.append(name)
            return left + right

        rpc_of(world, name).register(plus)
    total = await rpc_of(world, "n0").reduce("square", "plus", range(300))
    assert total == sum(number**2 for number in range(300))
    assert len(combined) == 299 and set(combined) == {"n1", "n2"}
    with pytest.raises(guthi.UsageError, match="nothing to combine"):
        await rpc_of(world, "n0").reduce("square", "plus", [])


@simulated
async def test_reduce_outlives_a_crash(world: World) -> None:
    await start_all(world, ["n0", "n1", "n2"], takes_s=0.05)
    for name in ("n1", "n2"):
        rpc_of(world, name).register(slowly_plus)
    await rpc_of(world, "n0").available("slowly_plus", nodes=2, timeout=10)
    world.loop.call_later(1.5, world.nodes["n2"].crash)
    total = await rpc_of(world, "n0").reduce("square", "slowly_plus", range(100))
    assert total == sum(number**2 for number in range(100))


async def slowly_plus(left: int, right: int) -> int:
    await asyncio.sleep(0.02)
    return left + right


@simulated
async def test_a_value_that_cannot_be_combined_is_told(world: World) -> None:
    await start_all(world, ["n0", "n1"], takes_s=0.01)
    rpc_of(world, "n1").register(lambda left, right: object(), name="strange", run="inline")
    rpc_of(world, "n1").register(lambda left, right: left / 0, name="broken", run="inline")
    with pytest.raises(guthi.NotEncodable, match="its result has no form on the wire"):
        await rpc_of(world, "n0").reduce("square", "strange", range(40))
    with pytest.raises(ZeroDivisionError):
        await rpc_of(world, "n0").reduce("square", "broken", range(40))
