"""The service VIEWS: who is certain of a view is in the newest one there is, on whole nodes in bad worlds."""

from __future__ import annotations

import asyncio

import pytest
from tests.plugins.mutex.workers import NAMES, ROUGH, TRANSPORT, keeper_of

from guthi.testing import World, simulated
from guthi.testing.node import SimulatedNode
from guthi.testing.swarm import draw
from guthi_mutex import VIEWS, Views


def views_of(node: SimulatedNode) -> Views:
    return node.node.require(VIEWS)


async def a_network(world: World) -> None:
    """Nodes that all need a view."""
    for name in NAMES:
        await world.start(name, plugins=["mutex"], join=list(world.nodes), mutex={"lease": "1s"}, transport=TRANSPORT)
        rely(world.nodes[name])
    await world.until(lambda: all(is_certain(node) for node in world.running()))


def is_certain(node: SimulatedNode) -> bool:
    """Whether a node believes, by its own clock and at this moment, that its view is the newest."""
    context = node.machine.processor.context.copy()
    return context.run(lambda: asyncio.get_running_loop().time() < views_of(node).until)


def rely(node: SimulatedNode, *, is_relied_on: bool = True) -> None:
    """Somebody on that machine needs a view."""
    node.machine.processor.context.copy().run(lambda: views_of(node).rely(is_relied_on))


def newest(world: World) -> object:
    """The newest view that any voter has installed."""
    known = [keeper_of(node).participant.agreement.newest for node in world.nodes.values() if node.runs]
    return max(view.id for view in known if view is not None)


@pytest.mark.guthi_seeds(4)
@simulated
async def test_who_is_certain_is_in_the_newest_view(world: World) -> None:
    world.network.set_link(ROUGH)
    await a_network(world)
    faults = world.play(str(draw(world.random, NAMES, 15.0, spare=["alice"], drift=True)).replace("wipe", "crash"))
    looks = 0
    while not faults.done():
        await world.sleep(0.05)
        for node in world.running():
            if views_of(node).view is None:
                rely(node)  # it has restarted
            elif is_certain(node):
                view = views_of(node).view
                assert view is not None and view.id == newest(world), f"{node.name} is certain of an old view"
                looks += 1
    await faults
    assert looks > 100
    await world.until(lambda: len(world.running()) == len(NAMES) and all(is_certain(node) for node in world.running()))


@simulated
async def test_nobody_is_certain_without_need_and_a_minority_never(world: World) -> None:
    await a_network(world)
    world.network.partition(NAMES[:2], NAMES[2:])
    await world.until(lambda: [is_certain(world.nodes[name]) for name in NAMES] == [False] * 2 + [True] * 3, within=10)
    for name in NAMES:
        rely(world.nodes[name], is_relied_on=False)
    await world.sleep(5.0)
    assert not any(is_certain(node) for node in world.running())


@simulated
async def test_a_client_is_in_no_view(world: World) -> None:
    await a_network(world)
    client = await world.start("zoe", plugins=["mutex"], join=["alice"], node={"role": "client"}, transport=TRANSPORT)
    rely(client)
    await world.sleep(3.0)
    assert views_of(client).view is None and not is_certain(client)
