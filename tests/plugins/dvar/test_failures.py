"""The table of docs/dvar.md on what happens to coherent variables under failure, row by row."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.plugins.dvar.members import LEASE_S, members, view_of
from tests.plugins.dvar.network import NAMES, service

from guthi.testing import World, simulated
from guthi_dvar import DVAR, DvarPlugin, Unavailable, ValueUnavailable
from guthi_dvar.coherent.telling import PREPARE
from guthi_mutex import VIEWS

SOON_S = 6 * LEASE_S  # a view without a member that failed takes less


async def roles(world: World, name: str, asker: str = "alice") -> tuple[list[str], list[str]]:
    """The names of the nodes that keep a variable, its owner first, and of the others."""
    info = await service(world, asker).info(name)
    return list(info.places), [each for each in world.nodes if each not in info.places]


async def created(world: World, replicas: int = 1) -> tuple[list[str], list[str]]:
    """A variable of 5 nodes that all have read."""
    await members(world)
    await service(world, "alice").create("plan", "old", coherence="coherent", replicas=replicas)
    await read_by(world, NAMES, "old")
    return await roles(world, "plan")


async def read_by(world: World, names: list[str], value: Any) -> None:
    """All these nodes read that value."""
    got = await asyncio.gather(*(service(world, name).get("plan") for name in names))
    assert got == [value] * len(names)


def cut_messages(
    world: World, monkeypatch: pytest.MonkeyPatch, frm: str, topic: str, to: list[str] | None = None
) -> None:
    """One node's messages on a topic do not leave any more."""
    requests = world.nodes[frm].node.network.requests
    ids = [world.nodes[name].node.id for name in to or world.nodes]
    ask, cast = requests.ask, requests.cast

    def no_request(peer: Any, its_topic: str, *rest: Any) -> Any:
        asked = ask(peer, its_topic, *rest)
        if its_topic == topic and peer in ids:
            requests.withdraw(asked)  # it has not left yet; whoever asks goes on waiting
        return asked

    def no_cast(peer: Any, its_topic: str, value: Any) -> None:
        if its_topic != topic or peer not in ids:
            cast(peer, its_topic, value)

    monkeypatch.setattr(requests, "ask", no_request)
    monkeypatch.setattr(requests, "cast", no_cast)


@simulated
async def test_the_owner_fails(world: World) -> None:
    keepers, others = await created(world)
    world.nodes[keepers[0]].crash()
    left = [name for name in NAMES if name != keepers[0]]
    began_at = world.now
    await service(world, others[0]).set("plan", "new")
    assert world.now - began_at < SOON_S
    await read_by(world, left, "new")
    assert len((await roles(world, "plan", left[0]))[0]) == 2


@simulated
async def test_the_owner_fails_before_anybody_has_heard_of_a_write(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    keepers, others = await created(world)
    cut_messages(world, monkeypatch, keepers[0], PREPARE)
    writing = asyncio.ensure_future(service(world, others[0]).set("plan", "new"))
    await world.sleep(0.1)
    assert not writing.done()  # it waits for those who do not hear of it
    world.nodes[keepers[0]].crash()
    await writing  # the next owner has not seen it, and makes it
    await read_by(world, [name for name in NAMES if name != keepers[0]], "new")
    assert (await service(world, others[0]).read("plan")).version == 2


@simulated
async def test_the_owner_fails_when_a_keeper_has_the_new_value(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    keepers, others = await created(world)
    cut_messages(world, monkeypatch, keepers[0], PREPARE, others)
    writing = asyncio.ensure_future(service(world, others[0]).set("plan", "new"))
    await world.sleep(0.1)
    assert not writing.done()  # it waits for those who do not hear of it
    world.nodes[keepers[0]].crash()
    await writing  # the next owner has found it, and makes no other
    await read_by(world, [name for name in NAMES if name != keepers[0]], "new")
    assert (await service(world, others[0]).read("plan")).version == 2


@simulated
async def test_the_owner_fails_after_a_write_before_it_could_answer(world: World) -> None:
    keepers, others = await created(world)
    update = asyncio.ensure_future(service(world, others[0]).update("plan", lambda plan: plan + "!"))
    machine = world.nodes[keepers[0]]
    while any(holds(world, name, "old") for name in NAMES):
        await world.sleep(0.0001)
    machine.crash()
    assert await update == "old!"
    await read_by(world, [name for name in NAMES if name != keepers[0]], "old!")


def holds(world: World, name: str, value: Any) -> bool:
    """Whether a node could read that value at this moment, its lease granted."""
    (plugin,) = (each for each in world.nodes[name].node.plugins if isinstance(each, DvarPlugin))
    assert plugin.holding is not None
    return bool(plugin.holding.shelf.leased.get("plan") == value)


@simulated
async def test_a_holder_fails_while_it_is_written(world: World) -> None:
    keepers, others = await created(world)
    world.nodes[others[0]].crash()
    began_at = world.now
    await service(world, keepers[0]).set("plan", "new")
    assert LEASE_S / 2 < world.now - began_at < SOON_S  # its lease had to run out
    await read_by(world, [name for name in NAMES if name != others[0]], "new")


@simulated
async def test_a_holder_is_paused_while_it_is_written(world: World) -> None:
    keepers, others = await created(world)
    paused = world.nodes[others[0]]
    reading = await paused.run(lambda node: node.require(DVAR).get("plan"))
    assert reading == "old"
    paused.machine.pause()
    later = asyncio.ensure_future(paused.run(lambda node: node.require(DVAR).get("plan")))
    await service(world, keepers[0]).set("plan", "new")
    await world.sleep(1.0)
    assert holds(world, others[0], "old") and not later.done()
    paused.machine.resume()
    assert await later == "new"


@simulated
async def test_the_network_splits(world: World) -> None:
    keepers, others = await created(world)
    few = [keepers[0], others[0]]  # the owner is cut off with one that reads
    most = [name for name in NAMES if name not in few]
    world.network.partition(few, most)
    refused = [asyncio.ensure_future(service(world, name).set("plan", "lost")) for name in few]
    await service(world, most[0]).set("plan", "new")
    await read_by(world, most, "new")
    for each in (*refused, *(service(world, name).get("plan") for name in few)):
        with pytest.raises(Unavailable, match=r"majority|no answer"):
            await each
    world.network.heal()
    await world.until(lambda: all(len(view.members) == 5 for name in NAMES if (view := view_of(world, name))))
    await read_by(world, NAMES, "new")


@simulated
async def test_all_that_keep_a_value_fail_at_once(world: World) -> None:
    keepers, others = await created(world)
    await service(world, keepers[0]).set("plan", "new")  # nobody else reads it
    for name in keepers:
        world.nodes[name].crash()
    for name in others:
        with pytest.raises(ValueUnavailable, match="failed at once"):
            await service(world, name).get("plan")
    await service(world, others[0]).set("plan", "another")
    await read_by(world, others, "another")


@simulated
async def test_all_that_keep_a_value_fail_and_somebody_has_read_it(world: World) -> None:
    keepers, others = await created(world)
    for name in keepers:
        world.nodes[name].crash()
    await read_by(world, others, "old")


@simulated
async def test_who_restarts_has_forgotten_and_reads_anew(world: World) -> None:
    keepers, others = await created(world)
    world.nodes[keepers[0]].crash()
    await service(world, others[0]).set("plan", "new")
    await world.nodes[keepers[0]].restart()
    await world.until(world.is_connected)
    await service(world, keepers[0]).synced()
    await read_by(world, NAMES, "new")


@simulated
async def test_a_member_leaves_in_good_order(world: World) -> None:
    keepers, others = await created(world)
    await world.nodes[keepers[0]].stop()
    began_at = world.now
    await service(world, others[0]).set("plan", "new")
    assert world.now - began_at < LEASE_S  # nothing has to run out
    await read_by(world, [name for name in NAMES if name != keepers[0]], "new")


@simulated
async def test_without_need_the_lease_is_given_up_and_a_read_gets_it_again(world: World) -> None:
    await created(world)
    await world.sleep(10 * LEASE_S)
    views = world.nodes["carol"].node.require(VIEWS)
    assert views.until < world.now
    await read_by(world, ["carol"], "old")
    assert views.until > world.now
