"""In simulated worlds: a checkpoint outlives its node and its caller, and none is left when all is over."""

from __future__ import annotations

import asyncio

import pytest

import guthi
from guthi.testing import World, simulated
from guthi_rpc import Call, current_call

from .working import rpc_of, start_all

NAMES = ["n0", "n1", "n2", "n3"]
STEP_S = 0.1


async def resumable(count: int) -> list[int]:
    """Count, a step each, from the last checkpoint on; tells where it began."""
    first = current_call().state or 0
    for number in range(first, count):
        await asyncio.sleep(STEP_S)
        current_call().checkpoint(number + 1)
    return [first, count]


async def start(world: World) -> None:
    await start_all(world, NAMES, checkpoint_interval="0.1s")
    for name in NAMES[1:]:
        rpc_of(world, name).register(resumable)
    await rpc_of(world, "n0").available("resumable", nodes=3, timeout=10)


def where_it_runs(world: World) -> str:
    return next(name for name in NAMES if name in world.nodes and rpc_of(world, name)._execution.running)


def keeping(world: World, call: Call) -> list[str]:
    return [name for name in NAMES if rpc_of(world, name).state(call) is not None]


async def value_of(call: Call) -> list[int]:
    value: list[int] = await call
    return value


@pytest.mark.guthi_seeds(5)
@pytest.mark.parametrize("kind", ["call", "map"])
@simulated
async def test_a_caller_that_is_cut_off_goes_on_from_what_the_keeper_has_heard(world: World, kind: str) -> None:
    """The function goes on for some seconds that the caller does not see, until its node misses the caller in turn."""
    await start(world)
    rpc = rpc_of(world, "n0")
    if kind == "call":
        result = asyncio.ensure_future(value_of(rpc.options(idempotent=True).submit("resumable", 60)))
    else:
        results = rpc.map("resumable", [60], chunk=1)
        result = asyncio.ensure_future(anext(results.__aiter__()))  # type: ignore[arg-type]
    await asyncio.sleep(1.05)
    world.network.cut(["n0"], [where_it_runs(world)])
    found = await result
    first, count = found if kind == "call" else found.value  # type: ignore[attr-defined]
    assert count == 60
    assert first > 20  # ten steps were seen when the link was cut


@pytest.mark.guthi_seeds(5)
@simulated
async def test_the_keeper_has_it_when_caller_and_node_are_both_lost(world: World) -> None:
    await start(world)
    call = rpc_of(world, "n0").submit("resumable", 60)
    await asyncio.sleep(1.05)
    worker = where_it_runs(world)
    world.nodes["n0"].crash()
    await asyncio.sleep(0.5)
    world.nodes[worker].crash()
    call.cancel()
    rest = [name for name in NAMES if name not in ("n0", worker)]
    for name in rest:
        state = await rpc_of(world, name).recall(call.id)
        assert state >= 9
    value = await rpc_of(world, rest[0]).options(state=state, idempotent=True).call("resumable", 60)
    assert value == [state, 60]


@simulated
async def test_the_keeper_has_it_when_the_caller_is_lost_and_the_function_is_cancelled(world: World) -> None:
    await start(world)
    call = rpc_of(world, "n0").submit("resumable", 600, on="n1")
    await asyncio.sleep(1.05)
    world.nodes["n0"].crash()
    await world.until(lambda: not rpc_of(world, "n1")._execution.running, within=20)
    await asyncio.sleep(1)
    assert await rpc_of(world, "n1").recall(call.id) > 20
    call.cancel()


@pytest.mark.parametrize("end", ["answer", "failure", "cancelled", "timeout", "stream"])
@simulated
async def test_no_copy_is_left_when_the_call_is_over(world: World, end: str) -> None:
    await start(world)

    async def fails(count: int) -> None:
        await resumable(count)
        raise ZeroDivisionError("after all")

    async def yields(count: int) -> object:
        yield await resumable(count)

    rpc_of(world, "n1").register(fails)
    rpc_of(world, "n1").register(yields)
    rpc = rpc_of(world, "n0")
    await rpc.available("fails", timeout=5)
    if end == "stream":
        assert [value async for value in rpc.stream("yields", 5)] == [[0, 5]]
    else:
        timeout = 1.0 if end == "timeout" else None
        name = "fails" if end == "failure" else "resumable"
        call = rpc.options(on="n1", timeout=timeout).submit(name, 15)
        await asyncio.sleep(0.95)
        assert len(keeping(world, call)) == 2
        if end == "cancelled":
            call.cancel()
        (outcome,) = await asyncio.gather(value_of(call), return_exceptions=True)
        expected = {"answer": list, "failure": ZeroDivisionError, "timeout": guthi.DeadlineExceeded}
        assert isinstance(outcome, expected.get(end, asyncio.CancelledError))
    await asyncio.sleep(1)
    for name in NAMES:
        checkpoints = rpc_of(world, name)._checkpoints
        assert not checkpoints._kept and not checkpoints._publishing


@simulated
async def test_with_one_provider_another_node_keeps_the_copy(world: World) -> None:
    await start_all(world, NAMES)
    rpc_of(world, "n1").register(resumable, name="only_here")
    call = rpc_of(world, "n0").submit("only_here", 20)
    await asyncio.sleep(1.05)
    having = keeping(world, call)
    assert len(having) == 2 and "n0" in having and "n1" not in having
    await call


@simulated
async def test_what_returns_at_once_leaves_no_checkpoint_behind(world: World) -> None:
    await start(world)

    def at_once() -> None:
        current_call().checkpoint("here")

    def fails_at_once() -> None:
        current_call().checkpoint("here")
        raise ValueError("no")

    rpc_of(world, "n1").register(at_once, run="inline")
    rpc_of(world, "n1").register(fails_at_once, run="inline")
    rpc = rpc_of(world, "n0")
    await rpc.available("fails_at_once", timeout=5)
    await rpc.call("at_once")
    with pytest.raises(ValueError, match="no"):
        await rpc.call("fails_at_once")
    await rpc.cast("at_once", on="n1")
    await asyncio.sleep(1)
    for name in NAMES:
        checkpoints = rpc_of(world, name)._checkpoints
        assert not checkpoints._kept and not checkpoints._publishing
