"""Coherent variables in bad worlds: what all nodes have seen of them is as if there were one copy of each.

The worlds lose, double and reorder datagrams, crash nodes, restart, pause and slow them, cut and clog links, and let
clocks drift and jump; their seeds choose. For more:
`pytest tests/plugins/dvar/test_coherent_worlds.py --guthi-seeds 500`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from tests.plugins.dvar.histories import FIRST, ROUGH, VARIABLES, Workload
from tests.plugins.dvar.members import members, view_of
from tests.plugins.dvar.network import NAMES, service

from guthi.testing import Violation, World, simulated
from guthi.testing.swarm import draw
from guthi_dvar import DVAR, Dvar, Unavailable, ValueUnavailable
from guthi_dvar.coherent.messages import Report, view_to_wire
from guthi_dvar.coherent.shelf import Shelf
from guthi_dvar.coherent.telling import PREPARE, Teller
from guthi_dvar.coherent.witnesses import Witnesses


async def created(world: World) -> None:
    for name, replicas in VARIABLES.items():
        await service(world, "alice").create(name, FIRST, type=Any, coherence="coherent", replicas=replicas)


@pytest.mark.guthi_seeds(3)
@simulated
async def test_histories_are_linearizable_whatever_happens(world: World) -> None:
    world.network.set_link(ROUGH)
    await members(world)
    await created(world)
    faults = str(draw(world.random, NAMES, 15.0, spare=["alice"], drift=True)).replace("wipe", "crash")
    workload = Workload(world)
    await workload.run(world.play(faults))
    assert workload.check() > 25
    await world.until(lambda: len(world.running()) == len(NAMES) and world.is_connected(), within=60)
    await everybody_agrees(world)


async def everybody_agrees(world: World) -> None:
    """The world is whole again: all can write, and all read what was written last."""
    for number, name in enumerate(NAMES):
        for variable in VARIABLES:
            await on(world, name, partial(Dvar.set, name=variable, value=number))
            assert [await on(world, each, partial(Dvar.get, name=variable)) for each in NAMES] == [number] * 5


async def on(world: World, name: str, work: Callable[[Dvar], Awaitable[Any]]) -> Any:
    """Work on a node's own machine, by its clock."""
    return await world.nodes[name].run(lambda node: work(node.require(DVAR)))


# ---- the checker finds what would be wrong


MOST_WORLDS = 20


def found_out(scenario: Callable[[World, pytest.MonkeyPatch], Awaitable[Workload]]) -> Callable[..., None]:
    """A test that the checker refuses the history of one of these worlds: in some a planted fault does not show.

    The seeds are a part of the test, whatever the command line says.
    """

    def refused(seed: int, planted: pytest.MonkeyPatch) -> bool:
        histories: list[Workload] = []

        async def run(world: World) -> None:
            histories.append(await scenario(world, planted))

        World(seed).run(run)
        try:
            histories[0].check()
        except Violation:
            return True
        return False

    def test(monkeypatch: pytest.MonkeyPatch) -> None:
        for seed in range(MOST_WORLDS):
            with monkeypatch.context() as planted:
                if refused(seed, planted):
                    return
        pytest.fail(f"the checker finds nothing wrong in {MOST_WORLDS} worlds")

    return test


async def no_faults(world: World) -> None:
    await world.sleep(1.0)


@found_out
async def test_an_owner_that_does_not_wait_for_one_reader_is_found_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> Workload:
    """The reader hears of the write all the same, but only a little later."""
    honest = Teller._by_member

    def hasty(owner: Teller, offices: Any, pending: Any, *, whole: bool) -> Any:
        told = honest(owner, offices, pending, whole=whole)
        readers = [id for id in told if all(id not in office.keepers for office in offices.values())]
        for late in readers[:1]:
            view = owner._standing.view
            assert view is not None
            message = [view_to_wire(view.id), [each.to_wire() for each in told.pop(late)], [], None]
            owner._node.network.requests.cast(late, PREPARE, message)
        return told

    monkeypatch.setattr(Teller, "_by_member", hasty)
    world.network.set_link(ROUGH)
    await members(world)
    await created(world)
    workload = Workload(world)
    await workload.run(world.background(no_faults(world)), pause_s=0.02)
    return workload


@found_out
async def test_a_writer_that_takes_one_witness_for_all_is_found_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> Workload:
    honest = Witnesses.call

    def hasty(witnesses: Witnesses, witness: Any, view_id: Any, told: Any) -> None:
        honest(witnesses, witness, view_id, told[:1])

    monkeypatch.setattr(Witnesses, "call", hasty)
    world.network.set_link(ROUGH)
    await members(world)
    await created(world)
    workload = Workload(world)
    await workload.run(world.background(no_faults(world)), pause_s=0.02)
    return workload


class Forever:
    """A lease that does not run out."""

    until = float("inf")


@found_out
async def test_a_reader_that_forgets_its_lease_is_found_out(world: World, monkeypatch: pytest.MonkeyPatch) -> Workload:
    await split_with_readers(world)
    for name in NAMES:
        monkeypatch.setattr(service(world, name), "lease", Forever())
    return await read_in_a_partition(world)


@simulated
async def test_a_reader_that_heeds_its_lease_is_not(world: World) -> None:
    await split_with_readers(world)
    assert (await read_in_a_partition(world)).check() >= 5


async def split_with_readers(world: World) -> None:
    """A network in which all have read, and the last is cut off."""
    await members(world)
    await service(world, "alice").create("n", FIRST, coherence="coherent", replicas=0)
    for name in NAMES:
        await on(world, name, partial(Dvar.get, name="n"))
    owner = (await service(world, "alice").info("n")).places[0]
    cut_off = next(name for name in NAMES if name not in ("alice", owner))
    world.network.partition([cut_off], [name for name in NAMES if name != cut_off])


async def read_in_a_partition(world: World) -> Workload:
    """One side writes, then the other reads; all that is done is in the history."""
    workload = Workload(world)
    for number, name in enumerate(NAMES, start=1):
        operation = workload.history.called(name, ("write", number), "n")
        try:
            await on(world, name, partial(Dvar.set, name="n", value=number))
            workload.history.returned(operation, None)
        except Unavailable:
            pass
    for name in NAMES:
        operation = workload.history.called(name, ("read",), "n")
        try:
            workload.history.returned(operation, await on(world, name, partial(Dvar.get, name="n")))
        except Unavailable:
            workload.history.failed(operation)
    return workload


def test_an_owner_that_believes_whoever_was_left_out_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A keeper is cut off, the others write and lose all new copies; then it comes back with the old value."""
    believing = Shelf.report

    def report(shelf: Shelf, item: Any) -> Report:
        return replace(believing(shelf, item), secured_in=1, kept_in=1)

    async def run(world: World) -> None:
        assert await a_value_after_its_keepers_are_gone(world) == "first"

    monkeypatch.setattr(Shelf, "report", report)
    World(0).run(run)


@simulated
async def test_an_owner_that_does_not_loses_nothing_but_the_value(world: World) -> None:
    with pytest.raises(ValueUnavailable):
        await a_value_after_its_keepers_are_gone(world)


async def a_value_after_its_keepers_are_gone(world: World) -> Any:
    everyone = await members(world)
    await everyone[0].create("plan", "first", coherence="coherent", replicas=0)
    owner = (await everyone[0].info("plan")).places[0]
    others = [name for name in NAMES if name != owner]
    world.network.partition([owner], others)
    await service(world, others[0]).set("plan", "second")
    second = (await service(world, others[0]).info("plan")).places[0]
    world.nodes[second].crash()
    world.network.heal()
    await world.until(lambda: all(owner_is_in(world, name, owner) for name in others if name != second), within=30)
    return await service(world, next(name for name in others if name != second)).get("plan")


def owner_is_in(world: World, name: str, owner: str) -> bool:
    view = view_of(world, name)
    return view is not None and world.nodes[owner].node.id in view.members and len(view.members) == len(NAMES) - 1
