"""What docs/rpc.md promises under failures: each cell of its tables has a test, and those that had none are here."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import guthi
from guthi.testing import PowerLost, World, simulated
from guthi_rpc import NoProvider, OutcomeUnknown, Overloaded, Rpc, UnknownFunction, WorkerDied

from .conftest import Network
from .working import rpc_of, start_all

HERE = Path(__file__).parent
PAGE = (HERE.parents[2] / "docs" / "rpc.md").read_text(encoding="utf-8")
NAMES = ["alice", "bob", "carol", "dave"]

PROOFS = {
    "datagrams are lost, doubled, reordered": [
        "worlds: a_call_runs_once_at_most",
        "call_worlds: idempotent_calls_all_have_their_result_whatever_happens",
        "once_worlds: on_a_bad_network_every_call_has_its_result",
        "map_worlds: nothing_is_lost_and_nothing_comes_twice",
    ],
    "the node leaves in good order": ["guarantees: a_node_that_leaves"] * 4,
    "the node crashes, or is cut off": [
        "call_worlds: a_call_that_may_run_once_is_not_given_to_another_node",
        "call_worlds: idempotent_calls_all_have_their_result_whatever_happens",
        "once_worlds: the_loss_of_the_home_is_told_and_nothing_is_paid_twice",
        "processes: the_kill_of_a_node_in_mid_map_costs_no_result",
    ],
    "its worker process dies": [
        "processes: a_process_that_dies_is_told_or_replaced_as_the_caller_wishes",
        "processes: a_process_that_dies_is_told_or_replaced_as_the_caller_wishes",
        "processes: with_a_key_the_death_of_the_process_is_the_result",
        "processes: the_kill_of_worker_processes_in_mid_map_costs_no_result",
    ],
    "it restarts meanwhile": ["guarantees: a_node_that_restarts"] * 3 + ["worlds: who_was_restarted_works_again"],
    "the network splits": [
        "guarantees: in_a_split_network_who_is_on_this_side_answers",
        "guarantees: in_a_split_network_who_is_on_this_side_answers",
        "once_worlds: who_is_cut_off_runs_nothing_with_a_key",
        "guarantees: in_a_split_network_who_is_on_this_side_answers",
    ],
    "no answer before `timeout`": [
        "guarantees: no_answer_in_time",
        "guarantees: no_answer_in_time",
        "once_worlds: the_caller_may_go_and_the_call_goes_on",
        "guarantees: no_answer_in_time",
    ],
    "an item, or call, kills its nodes": [
        "-",
        "guarantees: a_call_that_kills_its_nodes_ends_with_the_fourth",
        "-",
        "mapping: an_item_that_kills_its_nodes_ends_the_map",
    ],
    "it kills its processes": [
        "-",
        "processes: a_call_that_kills_its_processes_ends_with_the_fourth",
        "-",
        "processes: an_item_that_kills_its_worker_process_spoils_no_other",
    ],
    "all queues are full": [
        "call_worlds: when_all_are_full_the_caller_is_told_and_nothing_has_run",
        "guarantees: where_all_queues_are_full",
        "guarantees: where_all_queues_are_full",
        "call_worlds: a_map_over_full_nodes_waits_for_room",
    ],
    "all providers are gone": ["guarantees: where_all_providers_are_gone"] * 4,
    "the caller dies": [
        "call_worlds: so_does_the_loss_of_the_caller",
        "guarantees: what_runs_for_a_caller_that_dies",
        "guarantees: what_runs_for_a_caller_that_dies",
        "guarantees: what_runs_for_a_caller_that_dies",
    ],
    "**Guthi**": [
        "map_worlds: a_function_resumes_where_its_node_was_lost",
        "guarantees: the_node_whom_all_joined_is_nobody_special",
        "rpc: a_node_that_was_wrongly_given_up_is_heard_again",
        "map_worlds: a_straggler_does_not_hold_the_map_up",
        "once_worlds: several_callers_of_one_key_whatever_happens",
    ],
}


def rows_of(head: str) -> dict[str, list[str]]:
    """The cells of the table whose first line begins so, by the first cell of each row."""
    lines = re.search(rf"^{re.escape(head)}.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert lines is not None
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1].splitlines()]
    return {first: rest for first, *rest in cells}


def test_each_promise_has_its_test() -> None:
    promised = rows_of("| failure | `call`") | {
        who: cells for who, cells in rows_of("| | a node dies in a call").items() if who == "**Guthi**"
    }
    assert {row: len(cells) for row, cells in promised.items()} == {row: len(tests) for row, tests in PROOFS.items()}
    for row, tests in PROOFS.items():
        for cell, proof in zip(promised[row], tests, strict=True):
            assert (cell == "-") == (proof == "-"), row
            if proof != "-":
                file, name = proof.split(": ")
                source = (HERE / f"test_{file}.py").read_text(encoding="utf-8")
                assert re.search(rf"^(async )?def test_{name}\(", source, re.MULTILINE), proof


async def under_way(world: World, *, takes_s: float = 5.0, **rpc: Any) -> dict[str, asyncio.Future[Any]]:
    """A call of each kind that runs on carol; the map has an item there."""
    await start_all(world, NAMES, takes_s=takes_s, **rpc)
    alice, carol = rpc_of(world, "alice"), world.nodes["carol"].node.id
    key = next(f"k{n}" for n in range(1000) if alice._dispatch.ranked("pay", f"k{n}")[0] == carol)
    place = next(f"k{n}" for n in range(1000) if alice._dispatch.ranked("square", f"k{n}")[0] == carol)
    begun: dict[str, asyncio.Future[Any]] = {
        "call": asyncio.ensure_future(alice.call("square", 1, on="carol")),
        "idempotent": asyncio.ensure_future(alice.options(idempotent=True, affinity=place).call("square", 2)),
        "key": asyncio.ensure_future(alice.options(key=key).call("pay", 3)),
        "map": asyncio.ensure_future(all_of(alice.map("square", range(10, 30), chunk=1))),
    }
    await world.sleep(1.0)
    assert rpc_of(world, "carol")._execution.running >= 4
    return begun


async def all_of(results: Any) -> list[int]:
    return sorted([result.value async for result in results])


SQUARES = [number**2 for number in range(10, 30)]


@simulated
async def test_a_node_that_leaves(world: World) -> None:
    begun = await under_way(world)
    left_at = world.now
    await world.nodes["carol"].stop()
    with pytest.raises(guthi.PeerLost):
        await begun["call"]
    assert world.now - left_at < 1  # at once, and not after the timeout of 3 s
    with pytest.raises(OutcomeUnknown):
        await begun["key"]
    assert await begun["idempotent"] == 4
    assert await begun["map"] == SQUARES


@simulated
async def test_a_node_that_restarts(world: World) -> None:
    begun = await under_way(world)
    world.nodes["carol"].crash()
    await world.nodes["carol"].restart()
    with pytest.raises(guthi.PeerLost):
        await begun["call"]
    with pytest.raises(OutcomeUnknown):
        await begun["key"]
    assert await begun["idempotent"] == 4
    assert await begun["map"] == SQUARES


@simulated
async def test_in_a_split_network_who_is_on_this_side_answers(world: World) -> None:
    await start_all(world, NAMES)
    world.network.partition(["alice", "bob"], ["carol", "dave"])
    alice = rpc_of(world, "alice")
    assert await alice.options(idempotent=True).call("square", 3) == 9
    assert await all_of(alice.map("square", range(10, 30))) == SQUARES
    await world.sleep(10)
    assert await asyncio.gather(*(alice.call("square", number) for number in range(10, 30))) == SQUARES


@simulated
async def test_no_answer_in_time(world: World) -> None:
    await start_all(world, NAMES, takes_s=5.0)
    alice = rpc_of(world, "alice")
    for options in (alice.options(timeout=1.0), alice.options(timeout=1.0, idempotent=True)):
        with pytest.raises(guthi.DeadlineExceeded):
            await options.call("square", 1)
    results = [each async for each in alice.map("square", range(5), timeout=1.0, errors="return")]
    assert [type(each.error) for each in results] == [guthi.DeadlineExceeded] * 5


@simulated
async def test_a_call_that_kills_its_nodes_ends_with_the_fourth(world: World) -> None:
    names = [*NAMES, "erin", "frank", "grace"]
    await start_all(world, names)
    killed: list[str] = []
    for name in names[1:]:

        async def kill(name: str = name) -> None:
            killed.append(name)
            world.loop.call_soon(world.nodes[name].crash)
            await asyncio.sleep(60)

        rpc_of(world, name).register(kill)
    await rpc_of(world, "alice").available("kill", nodes=6, timeout=30)
    with pytest.raises(guthi.PeerLost):
        await rpc_of(world, "alice").options(idempotent=True).call("kill")
    assert len(set(killed)) == len(killed) == 4


@simulated
async def test_where_all_queues_are_full(world: World) -> None:
    await start_all(world, NAMES, takes_s=5.0, queue=2)
    alice = rpc_of(world, "alice")
    busy = [asyncio.ensure_future(alice.call("square", 0, on=name)) for name in NAMES for _ in range(2)]
    await world.sleep(0.5)
    for options in (alice.options(), alice.options(idempotent=True), alice.options(key="k")):
        with pytest.raises(Overloaded):
            await options.call("square", 1)
    await asyncio.gather(*busy)


@simulated
async def test_where_all_providers_are_gone(world: World) -> None:
    await start_all(world, ["alice", "bob"])
    alice = rpc_of(world, "alice")
    rpc_of(world, "bob").register(asyncio.sleep, name="wait")
    await alice.available("wait", timeout=60)
    run = alice.map("wait", [30.0] * 10, patience=2)
    results = asyncio.ensure_future(all_of(run))
    await world.sleep(1)
    await world.nodes["bob"].stop()
    for options in (alice.options(), alice.options(idempotent=True), alice.options(key="k")):
        with pytest.raises(UnknownFunction):
            await options.call("wait", 1.0)
    with pytest.raises(NoProvider, match="within 2 s"):
        await results


@simulated
async def test_what_runs_for_a_caller_that_dies(world: World) -> None:
    """All of it is cancelled; what has a key is not, and the next caller has its result."""
    paid = await start_all(world, NAMES, takes_s=5.0)
    alice, others = rpc_of(world, "alice"), NAMES[1:]

    def running() -> int:
        return sum(rpc_of(world, name)._execution.running for name in others)

    key = next(f"k{n}" for n in range(1000) if alice._dispatch.ranked("pay", f"k{n}")[0] != alice._node.id)
    kinds: list[Callable[[], Any]] = [
        lambda: alice.options(idempotent=True, on="bob").call("square", 1),
        lambda: all_of(alice.map("square", range(100), on=others, chunk=1)),
        lambda: alice.options(key=key).call("pay", 1000),
    ]
    errands = [asyncio.ensure_future(world.nodes["alice"].run(lambda _, kind=kind: kind())) for kind in kinds]
    await world.until(lambda: paid[1000] == 1 and running() >= 6)
    world.nodes["alice"].crash()
    assert {type(each) for each in await asyncio.gather(*errands, return_exceptions=True)} == {PowerLost}
    await world.until(lambda: running() <= 1, within=4.9)
    assert await rpc_of(world, "bob").options(key=key).call("pay", 1000) == [1000, 1]
    assert paid[1000] == 1


@simulated
async def test_the_node_whom_all_joined_is_nobody_special(world: World) -> None:
    await start_all(world, NAMES)
    world.nodes["alice"].crash()
    bob = rpc_of(world, "bob")
    assert await bob.call("square", 3, on="carol") == 9
    assert await all_of(bob.map("square", range(10, 30))) == SQUARES
    rpc_of(world, "carol").register(abs)
    await bob.available("abs", timeout=60)
    assert await bob.options(key="k").call("square", 4) == 16


async def test_a_node_that_leaves_ends_its_worker_processes(network: Network, alice: Rpc, bob: Rpc) -> None:
    bob.register(time.sleep, name="wait", run="process")
    await alice.available("wait", timeout=30)
    await alice.call("wait", 0.0)  # there is a process
    call = alice.submit("wait", 300.0)
    workers: Any = bob._execution._workers
    await network.until(lambda: not workers._idle)
    await network.stop("bob")
    with pytest.raises((WorkerDied, guthi.PeerLost)):  # whichever is told first
        await call
