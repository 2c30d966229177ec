"""The broadcast machines in bare worlds that lose, double, reorder, crash and cut: all live nodes are told, once."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from tests.kernel.broadcast.bare import BareWorld, a_member, an_id

from guthi.api import NodeId
from guthi.broadcast.messages import MessageId
from guthi.broadcast.settings import BroadcastSettings
from guthi.membership.members import MemberState

# What sessions repeat within milliseconds is left to the machines here, so they are given other figures.
TREE = BroadcastSettings(direct_limit=0, order_s=20.0, repeat_limit_s=2.0)
DIRECT = replace(TREE, direct_limit=1000)
BOTH = pytest.mark.parametrize("settings", [TREE, DIRECT], ids=["tree", "direct"])


def in_order(world: BareWorld) -> bool:
    """Whether every node was told each stream in its order."""
    for node in world.nodes.values():
        last: dict[tuple[NodeId, int], int] = {}
        for payload in node.told:
            if payload.id.sequence <= last.get(payload.id[:2], 0):
                return False
            last[payload.id[:2]] = payload.id.sequence
    return True


@BOTH
@pytest.mark.parametrize("block", range(5))
def test_all_are_told_once_and_in_order_whatever_the_links_do(settings: BroadcastSettings, block: int) -> None:
    for seed in range(block * 30, block * 30 + 30):
        random = Random(seed)
        world = BareWorld(
            seed,
            random.choice([2, 3, 7, 20]),
            settings,
            loss=random.choice([0, 0.1, 0.3]),
            duplicate=random.choice([0, 0.1, 0.3]),
            delay_s=random.choice([0.001, 0.05, 0.3]),
        )
        ids: list[MessageId] = []
        for _ in range(15):
            ids.append(world.broadcast(random.choice(list(world.nodes)), bytes(random.choice([0, 10, 100_000]))))
            world.run(random.choice([0, 0.01, 0.2]))
        world.run(25)
        world.check(ids)
        assert world.loss > 0.1 or in_order(world), seed
        assert not any(len(node.machine._missing) for node in world.nodes.values())


@BOTH
@pytest.mark.parametrize("block", range(5))
def test_crashes_returns_and_suspicion_lose_nothing(settings: BroadcastSettings, block: int) -> None:
    for seed in range(block * 12, block * 12 + 12):
        world = BareWorld(seed, 24, settings, loss=0.1, duplicate=0.05, delay_s=0.05)
        origin, *others = list(world.nodes)
        victims = world.random.sample(others, 4)
        ids = []
        for step in range(12):
            ids.append(world.broadcast(origin))
            world.run(world.random.uniform(0, 0.3))
            if step == 3:
                for victim in victims:
                    world.crash(victim)
            if step == 6:
                for victim in victims[:3]:
                    world.spread(world.suspected(victim), within_s=1.0)
            if step == 9:
                back = victims[0]
                world.start(back, [id for id in world.nodes if id != back])
                world.connect(back)
                world.spread(a_member(back, incarnation=1), within_s=1.0)
        world.run(28)
        world.check([])
        for node in world.nodes.values():
            wanted = ids[10:] if node.id == victims[0] else ids
            assert node.id == origin or set(wanted) <= set(node.told_ids), seed


@pytest.mark.parametrize("block", range(2))
def test_who_was_cut_off_is_told_when_the_network_is_whole_again(block: int) -> None:
    for seed in range(block * 10, block * 10 + 10):
        world = BareWorld(seed, 30, TREE, loss=0.05)
        ids = list(world.nodes)
        far = set(world.random.sample(ids, 10))
        messages = [world.broadcast(ids[0])]
        world.run(3)
        for id in far:
            world.side[id] = 1
        for observer in ids:
            for other in ids:
                if (observer in far) != (other in far):
                    world.see_later(observer, world.suspected(other), 3.0)
        messages += [world.broadcast(world.random.choice(ids)) for _ in range(10)]
        world.run(15)
        world.side.clear()
        for observer in ids:
            for other in ids:
                world.see_later(observer, a_member(other, incarnation=1), 1.0)
        world.run(14)
        world.check(messages)


def test_an_origin_that_crashes_midway_has_told_all_or_nobody() -> None:
    outcomes = set()
    for seed in range(60):
        world = BareWorld(seed, 12, DIRECT, loss=0.7, delay_s=0.02)
        origin = an_id(0)
        world.broadcast(origin)
        world.run(0.03)
        world.crash(origin)
        world.loss = 0.05
        world.run(2)
        world.spread(world.suspected(origin), within_s=1.0)
        world.run(20)
        told = {len(node.told) for node in world.nodes.values()}
        assert told in ({0}, {1}), seed
        outcomes |= told
    assert 1 in outcomes


def test_a_newcomer_is_told_what_is_still_kept_and_all_that_follows() -> None:
    world = BareWorld(1, 20, TREE)
    old = world.broadcast(an_id(0))
    world.run(5)
    world.start(an_id(100), list(world.nodes))
    world.spread(a_member(an_id(100)))
    world.run(5)
    world.check([old, world.broadcast(an_id(3))][:1])
    world.run(5)
    assert len(world.nodes[an_id(100)].told) == 2


def test_a_new_life_has_numbers_of_its_own() -> None:
    world = BareWorld(1, 10, TREE)
    ids = [world.broadcast(an_id(0)) for _ in range(3)]
    world.run(2)
    world.crash(an_id(0))
    world.start(an_id(0), [id for id in world.nodes if id != an_id(0)])
    ids.append(world.broadcast(an_id(0)))
    world.run(5)
    world.check(ids)
    assert ids[-1].sequence == 1


def test_a_settled_tree_brings_each_node_one_copy() -> None:
    world = BareWorld(3, 200, TREE)
    for origin in (0, 0, 50, 150):
        world.broadcast(an_id(origin))
        world.run(3)
    world.payload_copies.clear()
    messages = [world.broadcast(an_id(origin)) for origin in (0, 77, 123)]
    world.run(3)
    world.check(messages)
    assert sum(world.payload_copies.values()) / 199 / 3 <= 1.05


def test_broadcasters_at_one_time_share_a_tree() -> None:
    """Ten at once prune at once; what they cut too much is grafted, and it comes to rest."""
    world = BareWorld(4, 100, TREE)
    messages = []
    for _ in range(8):
        messages += [world.broadcast(an_id(origin)) for origin in range(0, 100, 10)]
        world.run(2)
    world.payload_copies.clear()
    messages += [world.broadcast(an_id(origin)) for origin in range(0, 100, 10)]
    world.run(5)
    world.check(messages)
    assert sum(world.payload_copies.values()) / 99 / 10 <= 1.3


def test_all_memory_is_given_back() -> None:
    world = BareWorld(5, 30, TREE, loss=0.2)
    for number in range(30):
        world.broadcast(an_id(number % 30), bytes(1000))
    world.crash(an_id(7))
    world.run(60)
    for node in world.nodes.values():
        machine = node.machine
        assert machine.deadline is None
        assert len(machine._store) == machine._store.size_bytes == len(machine._missing) == 0
        assert machine.under_way_bytes == 0 and not machine._under_way
        assert all(link.is_idle for link in machine._links._links.values())
        assert len(machine._links) <= 12


def test_a_member_that_never_answers_costs_little() -> None:
    world = BareWorld(6, 20, TREE)
    world.crash(an_id(3))
    world.broadcast(an_id(0))
    world.run(2)
    world.sent.clear()
    world.run(27)
    assert sum(world.sent.values()) <= 6 * 14  # six neighbours repeat, every two seconds here
    assert MemberState.SUSPECT not in {member.state for member in world.nodes[an_id(0)].sees.values()}
