"""Whole nodes: every node knows every node's resources, soon, cheaply, and again after faults."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

import pytest
from tests.plugins.resources.network import Dialled, a_network, dial, knows, service

import guthi
from guthi.membership.members import MemberState
from guthi.testing import Link, World, simulated
from guthi_resources import RESOURCES, Reading, Sample
from guthi_resources.spread import REFRESH_S


@simulated
async def test_every_node_knows_every_nodes_resources(world: World) -> None:
    names = await a_network(world, 5)
    dial(world, "n003").set(cpu_percent=77.0, memory_available_bytes=1 << 30)
    took_s = await world.until(lambda: all(knows(world, name, "n003", 77.0) for name in names), within=10)
    assert took_s < 2.0 + 3 + 0.5  # until it is sampled, and three hops of at most a tick
    reading = service(world, "n000").of("n003")
    assert reading is not None and reading.sample.memory_percent == pytest.approx(93.75)
    assert service(world, "n003").mine().cpu_percent == 77.0
    assert [point.cpu_percent for point in service(world, "n000").history("n003")] == [10.0, 77.0]


@simulated
async def test_who_joins_late_knows_at_once(world: World) -> None:
    await a_network(world, 4)
    dial(world, "n001").set(cpu_percent=55.0)
    await world.until(lambda: knows(world, "n002", "n001", 55.0))
    await world.start("late", plugins=[Dialled], join=["n000"])
    assert await world.until(lambda: knows(world, "late", "n001", 55.0), within=1.0) < 1.0


@simulated
async def test_those_without_the_plugin_and_clients_are_left_out(world: World) -> None:
    await a_network(world, 2)
    await world.start("plain", join=["n000"])
    await world.start("client", plugins=[Dialled], join=["n000"], node={"role": "client"})
    await world.sleep(10.0)
    known = {reading.node for reading in service(world, "n000").all()}
    assert known == {world.nodes[name].node.id for name in ("n000", "n001")}
    assert service(world, "n000").of("plain") is None
    with pytest.raises(guthi.UnknownMember):
        service(world, "n000").of("nobody")


class Listener(guthi.Plugin):
    """Hears of each newer sample."""

    name = "listener"

    def __init__(self, node: guthi.Node, config: object) -> None:
        super().__init__(node, config)
        self.heard: list[tuple[guthi.NodeId, float]] = []

    @guthi.hookimpl
    def resources_changed(self, node: guthi.NodeId, sample: Sample) -> None:
        self.heard.append((node, sample.cpu_percent))


@simulated
async def test_a_hook_tells_of_each_newer_sample(world: World) -> None:
    await world.start("alice", plugins=[Dialled])
    bob = await world.start("bob", plugins=[Dialled, Listener], join=["alice"])
    dial(world, "alice").set(cpu_percent=70.0)
    await world.until(lambda: knows(world, "bob", "alice", 70.0))
    (listener,) = [each for each in bob.node.plugins if isinstance(each, Listener)]
    assert (world.nodes["alice"].node.id, 70.0) in listener.heard and (bob.node.id, 10.0) in listener.heard


@simulated
async def test_a_watcher_is_given_each_change_and_only_the_newest_when_slow(world: World) -> None:
    await a_network(world, 2)
    await world.sleep(3.0)
    watch = service(world, "n000").watch()
    first = [await anext(watch), await anext(watch)]
    assert {reading.node for reading in first} == {world.nodes[name].node.id for name in ("n000", "n001")}
    for share in (30.0, 60.0, 90.0):
        dial(world, "n001").set(cpu_percent=share)
        await world.until(partial(knows, world, "n000", "n001", share))
    left: list[Reading] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            while True:
                left.append(await anext(watch))
    theirs = [each.sample.cpu_percent for each in left if each.node == world.nodes["n001"].node.id]
    assert theirs == [90.0]
    assert service(world, "n000")._watchers == []


@simulated
async def test_a_machine_that_cannot_be_sampled_for_a_while_is_sampled_later(world: World) -> None:
    await a_network(world, 2)
    world.expect("cannot be sampled")
    dial(world, "n000").is_broken = True
    await world.sleep(10.0)
    assert knows(world, "n000", "n000", 10.0)  # the last sample stays
    dial(world, "n000").is_broken = False
    dial(world, "n000").set(cpu_percent=77.0)
    await world.until(lambda: knows(world, "n001", "n000", 77.0))


@simulated
async def test_of_a_node_that_failed_the_last_is_kept_and_of_one_that_left_nothing(world: World) -> None:
    await a_network(world, 3)
    await world.sleep(5.0)
    gone = world.nodes["n001"].node.id
    world.nodes["n001"].crash()
    alice = world.nodes["n000"].node
    alice.accuse(gone, MemberState.FAILED)
    await world.sleep(5.0)
    assert service(world, "n000").of(gone) is not None
    left = world.nodes["n002"].node.id
    await world.nodes["n002"].stop()
    await world.sleep(2.0)
    assert left not in {reading.node for reading in service(world, "n000").all()}


@pytest.mark.guthi_seeds(3)
@simulated
async def test_after_faults_and_loss_all_know_what_is(world: World) -> None:
    world.network.set_link(Link(latency_s=0.001, jitter_s=0.005, loss=0.05, duplicate=0.02, reorder=0.1))
    names = await a_network(world, 6)
    await world.swarm(20.0, spare=["n000"])
    await world.until(lambda: len(world.running()) == 6 and world.is_connected(), within=60)
    for number, name in enumerate(names):
        dial(world, name).set(cpu_percent=50.0 + number * 5)
    all_know = lambda: all(  # noqa: E731
        knows(world, name, other, 50.0 + number * 5) for name in names for number, other in enumerate(names)
    )
    assert await world.until(all_know, within=90) < 90


async def cost_of(world: World, count: int, *, restless: bool) -> tuple[float, float]:
    """Bytes and messages a node and second that the plugin adds."""
    names = await a_network(world, count)
    for name in names:
        dial(world, name).is_restless = restless
    told = {"bytes": 0, "messages": 0}
    for name in names:
        requests = world.nodes[name].node.network.requests
        cast = requests.cast

        def counted(peer: guthi.NodeId, topic: str, value: object, cast: object = cast) -> None:
            if topic == "resources.told":
                told["messages"] += 1
                told["bytes"] += len(b"".join(world.nodes[names[0]].node.codec.encode(value)))
            cast(peer, topic, value)  # type: ignore[operator]

        requests.cast = counted  # type: ignore[method-assign]
    await world.sleep(5.0)
    told["bytes"] = told["messages"] = 0
    await world.sleep(REFRESH_S)
    return tuple(told[each] / count / REFRESH_S for each in ("bytes", "messages"))  # type: ignore[return-value]


@simulated
async def test_at_rest_next_to_nothing_is_sent(world: World) -> None:
    bytes_s, messages_s = await cost_of(world, 16, restless=False)
    assert 20 < bytes_s < 100 and messages_s < 4 / 5


@simulated
async def test_the_traffic_of_the_busy_is_bounded_whatever_their_number(world: World) -> None:
    bytes_s, messages_s = await cost_of(world, 40, restless=True)
    assert 1000 < bytes_s <= 8192 and messages_s <= 6.1
    assert all(len(service(world, name).all()) == 40 for name in ("n000", "n033"))


@simulated
async def test_bytes_that_are_no_sample_hurt_nobody(world: World) -> None:
    await a_network(world, 2)
    alice = world.nodes["n000"].node
    world.expect("the handler of 'resources.told' failed")  # as it should: it refuses what does not fit
    stranger = [b"x" * 16, 1, [0, b"", *[0] * 13]]
    for bad in (None, [1], [[b"", 1, []]], [[b"a" * 16, -1, []]], [stranger]):
        await alice.cast("n001", "resources.told", bad)
    with pytest.raises(guthi.MalformedMessage):
        await alice.request("n001", "resources.told", [1], timeout_s=5.0)
    await world.sleep(5.0)
    assert {reading.node for reading in world.nodes["n001"].node.require(RESOURCES).all()} == {
        alice.id,
        world.nodes["n001"].node.id,
    }


@simulated
async def test_a_node_whose_goodbye_takes_long_samples_no_more_meanwhile(world: World) -> None:
    await a_network(world, 3, interval="500ms")
    world.network.cut(["n000"], ["n001", "n002"])
    await world.nodes["n000"].node.cast("n001", "nothing", 1)  # it waits for the acknowledgement
    await world.nodes["n000"].stop()  # whatever is logged as an error fails the world
    await world.sleep(1.0)
