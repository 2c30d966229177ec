"""Maps over real nodes: nothing is lost when nodes come and go, and nothing is left when the map ends."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest

import guthi
from guthi_rpc import RPC, NoProvider, Rpc

if TYPE_CHECKING:
    from .conftest import Network


def add(left: int, right: int = 1) -> int:
    """The sum."""
    return left + right


async def test_map_over_three_nodes(network: Network, alice: Rpc, bob: Rpc) -> None:
    carol = await network.rpc("carol")
    gate = asyncio.Event()
    for rpc in (alice, bob, carol):

        async def square(value: int) -> int:
            await gate.wait()
            return value * value

        rpc.register(square)
    await alice.available("square", nodes=3, timeout=60)
    asyncio.get_running_loop().call_later(0.05, gate.set)
    results = [result async for result in alice.map("square", range(200))]
    assert sorted((result.index, result.item, result.value) for result in results) == [
        (number, number, number**2) for number in range(200)
    ]
    assert {result.node for result in results} == {"alice", "bob", "carol"}
    assert alice._dispatch.outstanding == 0


async def test_map_with_several_arguments_on_chosen_nodes(alice: Rpc, bob: Rpc) -> None:
    alice.register(add)
    bob.register(add)
    results = [each async for each in alice.map("add", [(1, 2), [3, 4], (5,)], star=True, on=["bob"])]
    assert sorted(each.value for each in results) == [3, 6, 7]
    assert {each.node for each in results} == {"bob"}
    with pytest.raises(guthi.UsageError, match="an item is a tuple or a list of arguments, not int"):
        [each async for each in alice.map("add", [1], star=True)]
    with pytest.raises(guthi.UsageError, match="names no node"):
        [each async for each in alice.map("add", [1], on=[])]


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"chunk": 0}, "a chunk has 1 item or more"),
        ({"chunk": "many"}, "a chunk has 1 item or more"),
        ({"patience": -1}, "patience is 0 or more seconds"),
        ({"timeout": "5"}, "a timeout is 0 or more seconds"),
        ({"priority": "high"}, "a priority is a whole number"),
        ({"errors": "ignore"}, '"raise" ends the map'),
    ],
    ids=str,
)
async def test_a_map_that_makes_no_sense_is_refused_at_once(alice: Rpc, asked: dict[str, Any], complaint: str) -> None:
    with pytest.raises(guthi.UsageError, match=complaint):
        alice.map("add", [1], **asked)
    with pytest.raises(guthi.UsageError, match="a function is called by its name"):
        alice.map(add, [1])  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["leaves", "fails"])
async def test_a_node_that_goes_during_a_map_takes_nothing_with_it(
    network: Network, alice: Rpc, bob: Rpc, how: str
) -> None:
    held = asyncio.Event()
    await network.rpc("carol")
    for name in ("bob", "carol"):

        async def work(value: int, name: str = name) -> int:
            if name == "carol":
                await held.wait()
            return -value

        network.nodes[name].require(RPC).register(work)
    await alice.available("work", nodes=2, timeout=60)
    values = []
    async for result in alice.map("work", range(100)):
        values.append(result.value)
        if len(values) == 10 and how == "leaves":
            await network.stop("carol")
        elif len(values) == 10:
            network.nodes["alice"].accuse(network.nodes["carol"].id, guthi.MemberState.FAILED)
            held.set()
    assert sorted(values) == list(range(-99, 1))


async def test_a_function_that_is_registered_during_a_map_is_used(network: Network, alice: Rpc, bob: Rpc) -> None:
    gate = asyncio.Event()

    async def work(value: int) -> int:
        await gate.wait()
        return value

    async def helped(value: int) -> int:
        gate.set()
        return value

    alice.register(work)
    waiting = asyncio.create_task(_collected(alice.map("work", range(50))))
    await asyncio.sleep(0)
    bob.register(helped, name="work")
    results = await asyncio.wait_for(waiting, 60)
    assert {result.node for result in results} == {"alice", "bob"}


async def _collected(results: Any) -> list[Any]:
    return [result async for result in results]


async def test_leaving_a_map_early_cancels_what_is_under_way(network: Network, alice: Rpc, bob: Rpc) -> None:
    cancelled: list[int] = []

    async def work(value: int) -> int:
        if value:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(value)
                raise
        return value

    bob.register(work)
    run = alice.map("work", range(1000), chunk=1)
    async for result in run:
        assert result.value == 0
        break
    await network.until(lambda: len(cancelled) == run.progress.given - 1 > 0)
    assert alice._dispatch.outstanding == 0


async def test_an_exception_ends_a_map(alice: Rpc, bob: Rpc, caplog: pytest.LogCaptureFixture) -> None:
    bob.register(math.sqrt)
    with pytest.raises(ValueError, match="math domain error"):
        [result async for result in alice.map("sqrt", [4, 9, -1, 16])]
    assert alice._dispatch.outstanding == 0
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_map_whose_nodes_are_all_gone(network: Network, alice: Rpc, bob: Rpc) -> None:
    async def wait(value: int) -> None:
        await asyncio.Event().wait()

    bob.register(wait)
    await alice.available("wait", timeout=60)
    task = asyncio.create_task(_collected(alice.map("wait", range(3), patience=0.05)))
    await network.until(lambda: bob._execution.running > 0)
    await network.stop("bob")
    with pytest.raises(NoProvider, match=r"none came within 0.05 s; \d+ items were given out in vain"):
        await task


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
async def test_nothing_that_a_coroutine_raises_ends_the_node_that_maps_it(
    alice: Rpc, bob: Rpc, error: type[BaseException]
) -> None:
    """The items of a chunk are tasks of their own, and what ends a program would leave a task by way of the loop."""

    @bob.function
    async def fragile(number: int) -> int:
        await asyncio.sleep(0)
        if number == 3:
            raise error("out")
        return number

    results = [each async for each in alice.map("fragile", range(8), chunk=8, errors="return")]
    assert sorted(each.value for each in results if each.error is None) == [0, 1, 2, 4, 5, 6, 7]
    assert [error.__name__ in str(each.error) for each in results if each.error is not None] == [True]
