"""In simulated worlds: a node that drains finishes what it does for others, and takes nothing new."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import guthi
from guthi.testing import Link, World, simulated
from guthi_rpc import UnknownFunction, current_call

from .working import rpc_of, start_all

THREE = ["alice", "bob", "carol"]
SLOW = Link(latency_s=0.2)


def running_at(world: World, name: str) -> int:
    return rpc_of(world, name).in_flight()[0]


def drain(world: World, name: str, timeout_s: float | None = None) -> asyncio.Future[bool]:
    return asyncio.ensure_future(world.nodes[name].node.drain(timeout_s))


@simulated
async def test_running_calls_finish_and_new_ones_go_elsewhere(world: World) -> None:
    await start_all(world, THREE, takes_s=5.0)
    alice = rpc_of(world, "alice")
    running = alice.submit("square", 7, on="bob")
    await world.until(lambda: running_at(world, "bob") == 1)
    draining = drain(world, "bob")
    await world.sleep(0.1)
    (square,) = (each for each in alice.functions() if each.name == "square")
    assert square.providers == ("alice", "carol")
    with pytest.raises(UnknownFunction):
        await alice.call("square", 8, on="bob")
    assert not draining.done() and not running.done()
    assert await running == 49
    assert await draining is True


@simulated
async def test_who_has_not_heard_of_it_is_refused_and_asks_another(world: World) -> None:
    await start_all(world, THREE)
    for name in ("bob", "carol"):
        rpc_of(world, name).register(lambda name=name: name, name="where", run="inline")
    alice = rpc_of(world, "alice")
    await alice.available("where", nodes=2, timeout=60)
    places = [place for place in map(str, range(20)) if await alice.options(affinity=place).call("where") == "bob"]
    assert places
    world.network.set_link(SLOW)
    draining = drain(world, "bob")
    calls = [alice.options(affinity=place).call("where") for place in places]
    assert set(await asyncio.gather(*calls)) == {"carol"}
    assert await draining is True


@simulated
async def test_a_map_goes_on_without_the_node_and_computes_nothing_twice(world: World) -> None:
    done = await start_all(world, THREE, takes_s=0.5)
    results = asyncio.ensure_future(squares(world, 60))
    await world.sleep(1.0)
    assert await drain(world, "bob") is True
    await world.nodes["bob"].stop()
    assert await results == {number: number * number for number in range(60)}
    assert set(done.values()) == {1}


async def squares(world: World, count: int) -> dict[int, int]:
    return {item: value async for item, value in rpc_of(world, "alice").map("square", range(count))}


@simulated
async def test_a_call_with_a_key_that_runs_here_is_still_answered(world: World) -> None:
    done = await start_all(world, THREE, takes_s=3.0)
    first = rpc_of(world, "alice").options(key="order 7").submit("pay", 7)
    await world.until(lambda: done[7] == 1)
    (home,) = (name for name in THREE if running_at(world, name))
    draining = drain(world, home)
    await world.sleep(0.1)
    others = [name for name in THREE if name != home]
    again = [rpc_of(world, name).options(key="order 7").call("pay", 7) for name in others]
    assert await asyncio.gather(*again) == [[7, 1], [7, 1]]
    assert await first == [7, 1] and done[7] == 1
    assert await draining is True


@simulated
async def test_what_is_not_done_in_time_is_handed_over_from_its_checkpoint(world: World) -> None:
    await start_all(world, THREE)
    begun: list[tuple[str, int]] = []
    for name in ("bob", "carol"):
        rpc_of(world, name).register(counting(name, begun), name="count")
    alice = rpc_of(world, "alice")
    await alice.available("count", nodes=2, timeout=60)
    call = alice.options(idempotent=True, affinity="x").submit("count", 20)
    await world.until(lambda: len(begun) == 1 and alice.state(call) == 5)
    node = begun[0][0]
    assert await drain(world, node, 0.5) is False
    await world.nodes[node].stop()
    assert await call == 20
    (_, from_zero), (other, from_there) = begun
    assert from_zero == 0 and from_there >= 5 and other != node


def counting(name: str, begun: list[tuple[str, int]]) -> Any:
    async def count(limit: int) -> int:
        call = current_call()
        number = call.state or 0
        begun.append((name, number))
        while number < limit:
            await asyncio.sleep(0.5)
            number += 1
            call.checkpoint(number)
        return number

    return count


@simulated
async def test_a_stream_is_finished_and_no_other_begun(world: World) -> None:
    await start_all(world, THREE)

    async def tail(count: int) -> Any:
        for number in range(count):
            await asyncio.sleep(0.5)
            yield number

    rpc_of(world, "bob").register(tail)
    alice = rpc_of(world, "alice")
    await alice.available("tail", timeout=60)
    values = alice.stream("tail", 4)
    seen = [await anext(values)]
    draining = drain(world, "bob")
    await world.sleep(0.1)
    with pytest.raises(UnknownFunction):
        await anext(alice.stream("tail", 1, on="bob"))
    assert not draining.done()
    seen += [each async for each in values]
    assert seen == [0, 1, 2, 3] and await draining is True


@simulated
async def test_the_apps_own_calls_go_on_and_do_not_hold_it(world: World) -> None:
    await start_all(world, ["alice"], takes_s=5.0)
    own = rpc_of(world, "alice").submit("square", 3)
    await world.until(lambda: running_at(world, "alice") == 1)
    assert await drain(world, "alice") is True
    assert not own.done()
    assert await rpc_of(world, "alice").call("square", 4) == 16


@simulated
async def test_a_plugin_that_fails_to_drain_keeps_nobody(world: World) -> None:
    class Clumsy(guthi.Plugin):
        name = "clumsy"

        @guthi.hookimpl
        def node_draining(self) -> Any:
            return self.fail()

        async def fail(self) -> None:
            raise LookupError("lost")

    world.expect("draining")
    await world.start("alice", plugins=[Clumsy])
    assert await drain(world, "alice") is True
