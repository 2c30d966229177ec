"""Whole nodes in simulated worlds: never two valid holders, no older fence, and every live requester is served.

The worlds lose, double and reorder datagrams, crash nodes, wipe their disks, restart, pause and slow them, cut and clog
links, and let clocks drift and jump; their seeds choose. For more:
`pytest tests/plugins/mutex/test_worlds.py --guthi-seeds 2000`.
"""

from __future__ import annotations

import pytest
from tests.plugins.mutex.workers import NAMES, ROUGH, TRANSPORT, a_network, a_worker, all_are_served, keeper_of

from guthi.testing import World, simulated
from guthi.testing.swarm import draw
from guthi_mutex import MUTEX, NoQuorum

ALGORITHMS = ["suzuki-kasami", "ricart-agrawala", "raymond", "naimi-trehel", "maekawa"]
TURNS = ["1ms", "0s", "2s"]


@pytest.mark.guthi_seeds(5)
@simulated
async def test_never_two_holders_whatever_happens(world: World) -> None:
    world.network.set_link(ROUGH)
    algorithm, turn = ALGORITHMS[world.seed % len(ALGORITHMS)], TURNS[world.seed % len(TURNS)]
    book = await a_network(world, algorithm=algorithm, turn=turn, lease="1s")
    faults = draw(world.random, NAMES, 15.0, spare=["alice"], drift=True)
    await world.play(str(faults).replace("wipe", "crash"))  # a disk lost for good is another test's
    await world.until(lambda: len(world.running()) == len(NAMES))
    await all_are_served(world, book)


@pytest.mark.guthi_seeds(2)
@simulated
async def test_who_comes_back_without_its_disk_is_taken_in(world: World) -> None:
    world.network.set_link(ROUGH)
    book = await a_network(world, lease="1s")
    lost = world.random.choice(NAMES[1:])
    await world.play(f"1s wipe {lost}; {world.random.uniform(1.1, 6):.2f}s restart {lost}")
    await world.until(lambda: len(world.running()) == len(NAMES))
    await all_are_served(world, book)


@pytest.mark.guthi_seeds(2)
@simulated
async def test_all_restart_and_fences_go_on_growing(world: World) -> None:
    book = await a_network(world, lease="1s")
    for name in NAMES:
        world.nodes[name].crash()
        world.nodes[name].machine.clock.wall_offset_s -= 86_400  # and the wall clocks are wrong now
    await world.sleep(1.0)
    for name in sorted(NAMES, key=lambda name: name != "alice"):
        world.background(world.nodes[name].start_until_joined())
    await world.until(lambda: len(world.running()) == len(NAMES))
    await all_are_served(world, book)


@simulated
async def test_an_old_majority_that_is_not_back_grants_nothing(world: World) -> None:
    book = await a_network(world, lease="1s")
    for name in NAMES:
        world.nodes[name].crash()
    await world.nodes["alice"].restart()
    await world.nodes["bob"].restart()
    book.entries.clear()
    await world.sleep(20.0)
    assert not book.entries
    await world.nodes["carol"].restart()
    await all_are_served(world, book)


def members(world: World) -> list[int]:
    """How many are in the view, as each running node knows it."""
    views = [keeper_of(node).participant.agreement.view for node in world.running()]
    return [len(view.members) for view in views if view is not None]


@pytest.mark.guthi_seeds(2)
@simulated
async def test_newcomers_are_taken_in_while_locks_are_in_use(world: World) -> None:
    world.network.set_link(ROUGH)
    book = await a_network(world, NAMES[:2], lease="1s")
    for name in NAMES[2:]:
        await a_worker(world, book, name, lease="1s")
        await world.sleep(world.random.uniform(0, 1))
    await all_are_served(world, book)
    await world.until(lambda: members(world) == [len(NAMES)] * len(NAMES))


@pytest.mark.guthi_seeds(2)
@simulated
async def test_a_minority_acquires_nothing_and_its_holder_loses(world: World) -> None:
    book = await a_network(world, lease="1s")
    alone = world.random.sample(NAMES, 2)
    world.network.partition(alone, [name for name in NAMES if name not in alone])
    await world.sleep(2.0)
    book.entries.clear()
    await world.sleep(10.0)
    assert set(book.entries) == set(NAMES) - set(alone)
    world.network.heal()
    await all_are_served(world, book)


@pytest.mark.guthi_seeds(3)
@simulated
async def test_two_halves_that_meet_become_one(world: World) -> None:
    for name in ("alice", "bob"):
        await world.start(name, plugins=["mutex"], join=[], mutex={"lease": "1s"}, transport=TRANSPORT)
    grants = {}
    for name, moment in (("alice", 0.0), ("bob", 3.0)):
        await world.sleep(moment)
        grants[name] = await world.nodes[name].run(lambda node: node.require(MUTEX).acquire("render"))
    assert grants["bob"].fence > grants["alice"].fence
    await world.start("carol", plugins=["mutex"], join=["alice", "bob"], mutex={"lease": "1s"}, transport=TRANSPORT)
    await world.until(lambda: grants["alice"].lost.is_set())
    assert grants["bob"].is_valid


@simulated
async def test_quorum_keeps_halves_from_beginning(world: World) -> None:
    mutex = {"lease": "1s", "quorum": 2}
    alice = await world.start("alice", plugins=["mutex"], mutex=mutex, transport=TRANSPORT)
    with pytest.raises(NoQuorum, match="alice does not reach a majority"):
        await alice.run(lambda node: node.require(MUTEX).acquire("render", wait_for_majority=False))
    waiting = world.loop.create_task(alice.run(lambda node: node.require(MUTEX).acquire("render")))
    await world.sleep(5.0)
    assert not waiting.done()
    await world.start("bob", plugins=["mutex"], join=["alice"], mutex=mutex, transport=TRANSPORT)
    assert (await waiting).is_valid


def test_a_seed_decides_everything() -> None:
    def digest() -> str:
        world = World(5, link=ROUGH)

        async def scenario(world: World) -> None:
            await a_network(world, NAMES[:3], lease="1s")
            await world.swarm(5.0, spare=["alice"])

        world.run(scenario)
        return world.trace.digest

    assert digest() == digest()
