"""In simulated worlds, whatever happens, a call with a key has its effect once at most, and once if it has a result."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

import guthi
from guthi.testing import Link, World, simulated
from guthi_rpc import OutcomeUnknown, Undecided
from guthi_rpc.outcomes import Stage
from guthi_rpc.parts import Parts
from guthi_rpc.plugin import RpcPlugin

from .working import ROUGH, rpc_of, start_all

NAMES = ["alice", "bob", "carol", "dave", "erin"]
CALLERS = ["alice", "bob"]
TRIES = 4
PASSING = (guthi.PeerLost, guthi.DeadlineExceeded, Undecided, OutcomeUnknown)


async def insist(world: World, caller: str, key: int) -> Any:
    """Call until there is a result, as a program would that must not pay twice; the last error after TRIES."""
    rpc = rpc_of(world, caller).options(key=f"k{key}", timeout=8)
    failure: Exception | None = None
    for _ in range(TRIES):
        await asyncio.sleep(world.random.uniform(0, 4))
        try:
            return await rpc.call("pay", key)
        except PASSING as error:
            failure = error
    return failure


@pytest.mark.guthi_seeds(20)
@simulated
async def test_several_callers_of_one_key_whatever_happens(world: World) -> None:
    world.network.set_link(ROUGH)
    paid = await start_all(world, NAMES)
    world.swarm(25.0, spare=CALLERS)
    keys = range(40)
    asked = [(caller, key) for key in keys for caller in (*CALLERS, *CALLERS)]
    outcomes = await asyncio.gather(*(insist(world, caller, key) for caller, key in asked))
    assert all(paid[key] <= 1 for key in keys)
    for (_, key), outcome in zip(asked, outcomes, strict=True):
        assert outcome == [key, 1] or isinstance(outcome, PASSING)


@pytest.mark.guthi_seeds(10)
@simulated
async def test_on_a_bad_network_every_call_has_its_result(world: World) -> None:
    world.network.set_link(ROUGH)
    paid = await start_all(world, NAMES)
    asked = [(caller, key) for key in range(30) for caller in NAMES]
    outcomes = await asyncio.gather(
        *(rpc_of(world, caller).options(key=f"k{key}").call("pay", key) for caller, key in asked)
    )
    assert outcomes == [[key, 1] for _, key in asked]
    assert set(paid.values()) == {1}


@pytest.mark.guthi_seeds(10)
@simulated
async def test_the_loss_of_the_home_is_told_and_nothing_is_paid_twice(world: World) -> None:
    """Every call runs when one node, the home of some of them, loses power: those alone have no known outcome."""
    paid = await start_all(world, NAMES, takes_s=1.0)
    rpc, keys = rpc_of(world, "alice"), range(40)
    calls = [asyncio.ensure_future(rpc.options(key=f"k{key}").call("pay", key)) for key in keys]
    await asyncio.sleep(0.5)
    lost = world.nodes["carol"].node.id
    at_carol = {key for key in keys if rpc._dispatch.ranked("pay", f"k{key}")[0] == lost}
    world.nodes["carol"].crash()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert at_carol == {key for key in keys if isinstance(outcomes[key], OutcomeUnknown)}
    assert [outcomes[key] for key in keys if key not in at_carol] == [[key, 1] for key in keys if key not in at_carol]
    assert set(paid.values()) == {1}


@simulated
async def test_a_result_outlives_its_home(world: World) -> None:
    paid = await start_all(world, NAMES)
    rpc = rpc_of(world, "alice")
    for key in range(20):
        assert await rpc.options(key=f"k{key}").call("pay", key) == [key, 1]
    world.nodes["carol"].crash()
    world.nodes["dave"].crash()
    for key in range(20):
        assert await rpc.options(key=f"k{key}").call("pay", key) == [key, 1]
    assert set(paid.values()) == {1}


@simulated
async def test_idempotent_and_a_key_runs_again_where_the_first_run_was_lost(world: World) -> None:
    paid = await start_all(world, NAMES, takes_s=1.0)
    rpc, keys = rpc_of(world, "alice"), range(20)
    calls = [asyncio.ensure_future(rpc.options(key=f"k{key}", idempotent=True).call("pay", key)) for key in keys]
    await asyncio.sleep(0.5)
    homes = [next(iter(rpc._dispatch.ranked("pay", f"k{key}"))) for key in keys]
    next(each for each in world.nodes.values() if each.name != "alice" and each.node.id in homes).crash()
    outcomes = await asyncio.gather(*calls)
    assert [number for number, _ in outcomes] == list(keys)
    assert all(paid[key] == count for key, count in outcomes)
    assert max(paid.values()) == 2


@simulated
async def test_who_is_cut_off_runs_nothing_with_a_key(world: World) -> None:
    paid = await start_all(world, NAMES)
    world.network.partition(["alice", "bob"], ["carol", "dave", "erin"])
    few, many = rpc_of(world, "alice"), rpc_of(world, "carol")
    for key in range(20):
        with pytest.raises(Undecided, match="it has not run now"):
            await few.options(key=f"k{key}").call("pay", key)
    for seconds in (0, 60):  # before and after each side has given the other up
        await asyncio.sleep(seconds)
        answers = [await many.options(key=f"k{seconds + key}").call("pay", seconds + key) for key in range(10)]
        assert answers == [[seconds + key, 1] for key in range(10)]
        with pytest.raises(Undecided):
            await few.options(key="late").call("pay", 1000)
    assert 1000 not in paid
    world.network.heal()
    await world.until(world.is_whole, within=120)
    assert await few.options(key="k0").call("pay", 0) == [0, 1]


def parts_of(world: World, name: str) -> Parts:
    (plugin,) = (each for each in world.nodes[name].node.plugins if isinstance(each, RpcPlugin))
    assert plugin._parts is not None
    return plugin._parts


@simulated
async def test_nodes_that_point_at_one_another_find_out(world: World) -> None:
    """Each yielded to the other in turn, which faults can bring about; neither has begun."""
    paid = await start_all(world, ["alice", "bob"])
    alice, bob = parts_of(world, "alice"), parts_of(world, "bob")
    for parts, other in ((alice, bob), (bob, alice)):
        parts._serving._once._outcomes.note(("pay", "k"), other._life(), Stage.BEGUN)
    tries = 0
    while not paid[7]:
        tries += 1
        with suppress(Undecided):
            assert await rpc_of(world, "alice").options(key="k").call("pay", 7) == [7, 1]
    assert tries <= 3


@simulated
async def test_the_retention_has_an_end(world: World) -> None:
    paid = await start_all(world, NAMES, retention="20s")
    rpc = rpc_of(world, "alice").options(key="k")
    assert [await rpc.call("pay", 1), await rpc.call("pay", 1)] == [[1, 1], [1, 1]]
    await asyncio.sleep(21)
    assert await rpc.call("pay", 1) == [1, 2]
    assert paid[1] == 2


@simulated
async def test_the_table_of_keys_has_a_bound(world: World) -> None:
    await start_all(world, ["alice"], max_keys=3)
    rpc = rpc_of(world, "alice")
    for key in range(3):
        await rpc.options(key=f"k{key}").call("pay", key)
    with pytest.raises(guthi.GuthiError, match="remembers as many calls with a key as it can"):
        await rpc.options(key="k3").call("pay", 3)
    assert await rpc.options(key="k0").call("pay", 0) == [0, 1]


@simulated
async def test_a_result_that_is_too_large_is_forgotten_but_not_that_it_was(world: World) -> None:
    paid = await start_all(world, ["alice", "bob"], max_key_results="10B")
    rpc = rpc_of(world, "alice").options(key="k")
    for _ in range(2):
        with pytest.raises(OutcomeUnknown, match="its result was too large to keep"):
            await rpc.call("pay", 1)
    assert paid[1] == 1


@simulated
async def test_the_caller_may_go_and_the_call_goes_on(world: World) -> None:
    world.network.set_link(Link(latency_s=0.01))
    paid = await start_all(world, NAMES, takes_s=2.0)
    rpc = rpc_of(world, "alice").options(key="k", timeout=0.5)
    with pytest.raises(guthi.DeadlineExceeded):
        await rpc.call("pay", 7)
    assert await rpc_of(world, "bob").options(key="k").call("pay", 7) == [7, 1]
    assert paid[7] == 1


@simulated
async def test_an_exception_is_a_result_too(world: World) -> None:
    await start_all(world, ["alice", "bob", "carol"])
    tries: list[str] = []
    for name in ("alice", "bob", "carol"):

        async def fail(name: str = name) -> None:
            tries.append(name)
            raise ZeroDivisionError("no")

        rpc_of(world, name).register(fail)
    await rpc_of(world, "alice").available("fail", nodes=3, timeout=10)
    for name in ("alice", "bob", "carol"):
        with pytest.raises(ZeroDivisionError, match="no"):
            await rpc_of(world, name).options(key="k").call("fail")
    assert len(tries) == 1


@simulated
async def test_who_is_back_and_has_met_nobody_yet_does_not_take_itself_for_all(world: World) -> None:
    """Found by `make chaos SEED=1` (docs/bugs-found.md): all join lists name all nodes, the own one included."""
    names = ["alice", "bob", "carol"]
    paid: list[str] = []
    for name in names:
        await world.start(name, plugins=["rpc"], join=names)
    for name in names:
        rpc_of(world, name).register(lambda name=name: paid.append(name), name="pay once", run="inline")
    await rpc_of(world, "alice").available("pay once", nodes=3, timeout=10)
    world.nodes["bob"].crash()
    await rpc_of(world, "alice").options(key="order 7", timeout=30).call("pay once")
    world.network.partition(["bob"], ["alice", "carol"])
    await world.nodes["bob"].restart()
    bob = rpc_of(world, "bob")
    bob.register(lambda: paid.append("bob"), name="pay once", run="inline")
    with pytest.raises(Undecided):
        await bob.options(key="order 7", timeout=5).call("pay once")
    world.network.heal()
    await world.until(lambda: not world.nodes["bob"].node.network.has_met_nobody, within=60)
    assert len(paid) == 1


@pytest.mark.parametrize("asks", [True, False])
@simulated
async def test_who_was_restarted_does_not_vouch_for_what_it_has_forgotten(world: World, asks: bool) -> None:
    """Of the three that know of a call two are restarted and one is cut off, before these can ask it or thereafter."""
    paid = await start_all(world, NAMES)
    named = {world.nodes[name].node.id: name for name in NAMES}
    home, second, third, *others = (named[node] for node in rpc_of(world, "alice")._dispatch.ranked("pay", "k"))
    await asyncio.sleep(5)
    world.network.partition([home, second, third], others)
    assert await rpc_of(world, home).options(key="k").call("pay", 7) == [7, 1]
    for name in (home, second):
        world.nodes[name].crash()
    world.network.heal()
    if not asks:
        world.network.partition([third], [home, second, *others])
    await asyncio.gather(
        *(world.nodes[name].start_until_joined() for name in (home, second))
    )  # one may join by another
    await asyncio.sleep(5)
    if asks:
        world.network.partition([third], [home, second, *others])
        assert await rpc_of(world, others[0]).options(key="k", timeout=30).call("pay", 7) == [7, 1]
    else:
        with pytest.raises(Undecided):
            await rpc_of(world, others[0]).options(key="k", timeout=30).call("pay", 7)
    world.network.heal()
    await world.until(world.is_whole, within=120)
    await world.until(lambda: parts_of(world, second)._standing.is_settled, within=10)
    assert await rpc_of(world, others[0]).options(key="k", timeout=30).call("pay", 7) == [7, 1]
    assert paid[7] == 1


@simulated
async def test_who_is_restarted_again_and_again_holds_one_seat(world: World) -> None:
    """Found by `make chaos SEED=1 ONLY=storm` (docs/bugs-found.md)."""
    paid = await start_all(world, NAMES)
    for _ in range(6):
        world.nodes["carol"].crash()
        await world.nodes["carol"].restart()
        await world.until(world.is_whole, within=120)
        await asyncio.sleep(5)  # all have heard of this life
    keys = range(10)
    rpc = rpc_of(world, "alice")
    assert [await rpc.options(key=f"k{key}").call("pay", key) for key in keys] == [[key, 1] for key in keys]
    assert len(paid) == len(keys)
