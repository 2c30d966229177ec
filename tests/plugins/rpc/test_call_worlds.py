"""In simulated worlds: deadlines and cancelling reach nested calls, full nodes are passed over, dead ones are told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import guthi
from guthi.testing import Link, PowerLost, World, simulated
from guthi_rpc import Failed, Overloaded, PartialResult, UnknownFunction, current_call

from .working import ROUGH, rpc_of, start_all

CHAIN = ["alice", "bob", "carol", "dave"]


class Chain:
    """Each of the nodes calls the next in the same function; the last waits. It notes who began and who was ended."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.began: dict[str, float | None] = {}  # seconds that are left of the deadline
        self.ended: dict[str, float] = {}
        for name in CHAIN[1:]:
            rpc_of(world, name).register(self.step(name), name="step")

    def step(self, name: str) -> Any:
        async def step() -> str:
            deadline = current_call().deadline
            self.began[name] = None if deadline is None else deadline - asyncio.get_running_loop().time()
            try:
                if name != CHAIN[-1]:
                    following = CHAIN[CHAIN.index(name) + 1]
                    return str(await rpc_of(self.world, name).call("step", on=following))
                await asyncio.sleep(600)
                return "the end"
            finally:
                self.ended[name] = self.world.now

        return step


async def chain(world: World) -> Chain:
    world.network.set_link(Link(latency_s=0.01))
    await start_all(world, CHAIN)
    made = Chain(world)
    await rpc_of(world, "alice").available("step", nodes=3, timeout=10)
    return made


@simulated
async def test_a_deadline_reaches_calls_three_nodes_deep(world: World) -> None:
    made = await chain(world)
    with pytest.raises(guthi.DeadlineExceeded):
        await rpc_of(world, "alice").call("step", on="bob", timeout=2)
    over_at = world.now
    await asyncio.sleep(0.1)
    left = [made.began[name] for name in CHAIN[1:]]
    assert all(each is not None and 1.9 < each <= 2 for each in left)
    assert set(made.ended) == set(CHAIN[1:])
    assert all(abs(at - over_at) < 0.1 for at in made.ended.values())


@simulated
async def test_cancelling_reaches_calls_three_nodes_deep(world: World) -> None:
    made = await chain(world)
    call = rpc_of(world, "alice").submit("step", on="bob")
    await world.until(lambda: len(made.began) == 3)
    call.cancel()
    await world.until(lambda: len(made.ended) == 3, within=0.1)
    assert set(made.began.values()) == {None}


@simulated
async def test_so_does_the_loss_of_the_caller(world: World) -> None:
    made = await chain(world)
    errand = asyncio.ensure_future(world.nodes["alice"].run(lambda node: rpc_of(world, "alice").call("step", on="bob")))
    await world.until(lambda: len(made.began) == 3)
    world.nodes["alice"].crash()
    with pytest.raises(PowerLost):
        await errand
    await world.until(lambda: len(made.ended) == 3, within=10)


@simulated
async def test_a_nested_map_ends_with_its_caller(world: World) -> None:
    done = await start_all(world, ["alice", "bob", "carol"], takes_s=1.0)

    async def outer() -> list[int]:
        return [result.value async for result in rpc_of(world, "bob").map("square", range(10_000), chunk=1)]

    rpc_of(world, "bob").register(outer)
    with pytest.raises(guthi.DeadlineExceeded):
        await rpc_of(world, "alice").call("outer", timeout=3)
    await asyncio.sleep(0.1)
    began = done.total()
    await asyncio.sleep(10)
    assert done.total() == began
    assert all(rpc_of(world, name)._execution.running == 0 for name in ("alice", "bob", "carol"))


@simulated
async def test_a_full_node_refuses_and_another_is_asked(world: World) -> None:
    await start_all(world, ["alice", "bob", "carol"], queue=3)
    served: list[str] = []
    for name in ("bob", "carol"):

        async def work(name: str = name) -> str:
            served.append(name)
            await asyncio.sleep(5)
            return name

        rpc_of(world, name).register(work)
    rpc = rpc_of(world, "alice")
    await rpc.available("work", nodes=2, timeout=10)
    at_bob = [asyncio.ensure_future(rpc_of(world, "bob").call("work", on="bob")) for _ in range(3)]
    await asyncio.sleep(0.1)
    with pytest.raises(Overloaded, match="bob has no room for a call of 'work'; its queue is full"):
        await rpc.call("work", on="bob")
    assert await asyncio.gather(*(rpc.call("work") for _ in range(3))) == ["carol"] * 3
    assert await asyncio.gather(*at_bob) == ["bob"] * 3


@simulated
async def test_when_all_are_full_the_caller_is_told_and_nothing_has_run(world: World) -> None:
    await start_all(world, ["alice", "bob", "carol"], queue=2)
    rpc, began = rpc_of(world, "alice"), 0
    for name in ("bob", "carol"):

        async def work() -> None:
            nonlocal began
            began += 1
            await asyncio.sleep(5)

        rpc_of(world, name).register(work)
    await rpc.available("work", nodes=2, timeout=10)
    outcomes = await asyncio.gather(*(rpc.call("work") for _ in range(10)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in outcomes) == ["NoneType"] * 4 + ["Overloaded"] * 6
    assert began == 4
    assert await rpc.call("work") is None  # there is room again


@simulated
async def test_a_map_over_full_nodes_waits_for_room(world: World) -> None:
    await start_all(world, ["alice", "bob"], queue=2)
    held: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def hold() -> None:
        await held

    rpc_of(world, "bob").register(hold)
    rpc_of(world, "alice").register(hold)
    rpcs = [rpc_of(world, name) for name in ("alice", "alice", "bob", "bob")]
    holding = [asyncio.ensure_future(rpc.call("hold", on=rpc._node.name)) for rpc in rpcs]
    world.loop.call_later(3, held.set_result, None)
    results = [result.value async for result in rpc_of(world, "alice").map("square", range(20))]
    assert sorted(results) == [number**2 for number in range(20)]
    await asyncio.gather(*holding)


@simulated
async def test_the_load_that_a_node_reports_turns_callers_away_from_it(world: World) -> None:
    """Bob has much to do for carol, of which alice has not begun anything."""
    await start_all(world, ["alice", "bob", "carol", "dave"], threads=2)
    served: list[str] = []
    for name in ("bob", "dave"):

        async def work(seconds: float, name: str = name) -> str:
            served.append(name)
            await asyncio.sleep(seconds)
            return name

        rpc_of(world, name).register(work)
    alice, carol = rpc_of(world, "alice"), rpc_of(world, "carol")
    await alice.available("work", nodes=2, timeout=10)
    preferred = await alice.call("work", 0.0)
    busy = [asyncio.ensure_future(carol.call("work", 30.0, on=preferred)) for _ in range(4)]
    await asyncio.sleep(0.1)
    assert await alice.call("work", 0.0, on=preferred) == preferred  # with the answer comes its load
    assert await alice.call("work", 0.0) != preferred
    await asyncio.sleep(2)
    assert await alice.call("work", 0.0) == preferred  # an old report says nothing
    for each in busy:
        each.cancel()


@simulated
async def test_calls_of_one_affinity_go_to_one_node(world: World) -> None:
    names = ["alice", "bob", "carol", "dave"]
    await start_all(world, names)
    for name in names:

        async def who(name: str = name) -> str:
            await asyncio.sleep(0.1)
            return name

        rpc_of(world, name).register(who)
    for name in names:
        await rpc_of(world, name).available("who", nodes=4, timeout=10)
    homes: dict[str, str] = {}
    for session in (f"s{number}" for number in range(20)):
        found = {await rpc_of(world, name).options(affinity=session).call("who") for name in names}
        (homes[session],) = found
    assert len(set(homes.values())) > 1
    lost = homes["s0"] if homes["s0"] != "alice" else next(home for home in homes.values() if home != "alice")
    world.nodes[lost].crash()
    for session, home in homes.items():
        again = await rpc_of(world, "alice").options(affinity=session, idempotent=True).call("who")
        assert again != lost and (again == home or home == lost)  # only the sessions of the lost node move


@pytest.mark.guthi_seeds(10)
@simulated
async def test_idempotent_calls_all_have_their_result_whatever_happens(world: World) -> None:
    world.network.set_link(ROUGH)
    await start_all(world, CHAIN)
    world.swarm(10.0, spare=["alice"])
    rpc = rpc_of(world, "alice").options(idempotent=True)
    outcomes = await asyncio.gather(*(rpc.call("square", number) for number in range(100)), return_exceptions=True)
    for number, outcome in enumerate(outcomes):  # a node may be lost to a call again and again
        assert outcome == number**2 or isinstance(outcome, guthi.PeerLost)
    assert sum(isinstance(outcome, guthi.PeerLost) for outcome in outcomes) < 10


@simulated
async def test_a_call_that_may_run_once_is_not_given_to_another_node(world: World) -> None:
    done = await start_all(world, ["alice", "bob", "carol"], takes_s=2.0)
    calls = [asyncio.ensure_future(rpc_of(world, "alice").call("square", n, on="carol")) for n in range(3)]
    await asyncio.sleep(1)
    world.nodes["carol"].crash()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, guthi.PeerLost) for outcome in outcomes)
    assert done.total() == 3


@simulated
async def test_urgent_calls_go_before_those_that_wait(world: World) -> None:
    await start_all(world, ["alice", "bob"], threads=1)
    order: list[str] = []
    rpc_of(world, "bob").register(order.append, name="work", run="thread")
    rpc = rpc_of(world, "alice")
    await rpc.available("work", timeout=10)
    calls = [rpc.call("work", f"usual {number}") for number in range(5)]
    calls += [rpc.options(priority=1).call("work", "urgent"), rpc.options(priority=-1).call("work", "idle")]
    await asyncio.gather(*calls)
    assert order.index("urgent") <= 1 and order[-1] == "idle"
    assert [each for each in order if each.startswith("usual")] == [f"usual {number}" for number in range(5)]


@simulated
async def test_a_cast_is_run_and_its_failure_is_told_where_it_ran(world: World) -> None:
    done = await start_all(world, ["alice", "bob"])
    await rpc_of(world, "alice").cast("square", 7, on="bob")
    await world.until(lambda: done[7] == 1, within=1)

    async def fail() -> None:
        raise ZeroDivisionError("nobody is told")

    rpc_of(world, "bob").register(fail)
    world.expect("ZeroDivisionError")
    await rpc_of(world, "alice").cast("fail")
    await asyncio.sleep(1)
    with pytest.raises(UnknownFunction):
        await rpc_of(world, "alice").cast("nothing")


# ---- gather


async def three_who_answer(world: World, seconds: dict[str, float]) -> None:
    await start_all(world, CHAIN)
    for name, pause_s in seconds.items():

        async def who(name: str = name, pause_s: float = pause_s) -> str:
            await asyncio.sleep(pause_s)
            if name == "broken":
                raise ZeroDivisionError("broken")
            return name

        rpc_of(world, name).register(who)
    await rpc_of(world, "alice").available("who", nodes=len(seconds), timeout=10)


@simulated
async def test_gather_tells_what_came_of_each_node(world: World) -> None:
    await three_who_answer(world, {"bob": 1.0, "carol": 0.5})
    rpc_of(world, "dave").register(lambda: 1 / 0, name="who", run="inline")
    rpc = rpc_of(world, "alice")
    await rpc.available("who", nodes=3, timeout=10)
    gathered = await rpc.gather("who")
    assert gathered.values == ["carol", "bob"]
    assert [(each.node, type(each.error)) for each in gathered.failed] == [("dave", ZeroDivisionError)]
    assert (gathered.suspected, gathered.unasked, gathered.is_complete) == ([], [], False)
    with pytest.raises(
        PartialResult, match="2 answered, but mode 'all' wants more; dave raised ZeroDivisionError"
    ) as told:
        gathered.check()
    assert told.value.gathered is gathered


@simulated
async def test_gather_with_a_dead_node(world: World) -> None:
    await three_who_answer(world, {"bob": 1.0, "carol": 2.0, "dave": 3.0})
    rpc = rpc_of(world, "alice")
    world.nodes["dave"].crash()
    first = await rpc.gather("who", mode="first")
    assert (first.values, first.unasked) == (["bob"], ["carol", "dave"])
    majority = await rpc.gather("who", mode="majority")
    assert majority.values == ["bob", "carol"]
    assert [*majority.unasked, *(each.node for each in majority.suspected)] == ["dave"]
    within = await rpc.gather("who", timeout=2.5)
    assert within.values == ["bob", "carol"]
    assert [each.node for each in within.suspected] == ["dave"]
    assert "no answer from" in within.suspected[0].reason
    lost = await rpc.gather("who", on=["bob", "dave"])
    assert lost.values == ["bob"]
    assert [each.node for each in lost.suspected] == ["dave"]
    assert first.check() is first and majority.is_complete and not within.is_complete and not lost.is_complete


@simulated
async def test_a_majority_that_cannot_be_had_is_not_waited_for(world: World) -> None:
    await start_all(world, CHAIN)
    for name in ("bob", "carol"):
        rpc_of(world, name).register(lambda: 1 / 0, name="who", run="inline")

    async def slow() -> str:
        await asyncio.sleep(100)
        return "dave"

    rpc_of(world, "dave").register(slow, name="who")
    rpc = rpc_of(world, "alice")
    await rpc.available("who", nodes=3, timeout=10)
    started_at = world.now
    gathered = await rpc.gather("who", mode="majority")
    assert world.now - started_at < 1
    assert (sorted(each.node for each in gathered.failed), gathered.unasked) == (["bob", "carol"], ["dave"])
    assert not gathered.is_complete
    await world.until(lambda: rpc_of(world, "dave")._execution.running == 0, within=1)  # it was cancelled


@simulated
async def test_gather_is_refused_without_sense(world: World) -> None:
    await three_who_answer(world, {"bob": 0.0})
    rpc = rpc_of(world, "alice")
    with pytest.raises(guthi.UsageError, match="mode='most': choose one of 'all', 'first', 'majority'"):
        await rpc.gather("who", mode="most")
    with pytest.raises(guthi.UsageError, match="on= names no node"):
        await rpc.gather("who", on=[])
    with pytest.raises(UnknownFunction):
        await rpc.gather("nobody has it")
    for one in (rpc.gather("who", on="bob"), rpc.options(on="bob").gather("who")):
        assert [each.node for each in (await one).answered] == ["bob"]
    refused = await rpc.gather("who", on=["carol"])
    assert isinstance(refused.failed[0], Failed) and isinstance(refused.failed[0].error, UnknownFunction)
