"""Who is asked: who is idle, near and alive; and callers who know nothing of one another do not all ask the same."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from guthi.api import Address, NodeId
from guthi.membership.members import Member, MemberState, Role
from guthi.security.identity import node_id_of
from guthi_rpc import Run
from guthi_rpc.directory import Announcement, Directory
from guthi_rpc.dispatch import Dispatch
from guthi_rpc.functions import Description


def member(key: int, zone: str = "") -> Member:
    public_key = key.to_bytes(32)
    return Member(
        id=node_id_of(public_key),
        name=f"node-{key}",
        addresses=(Address("127.0.0.1", 1),),
        zone=zone,
        role=Role.PEER,
        incarnation=0,
        state=MemberState.ALIVE,
        public_key=public_key,
        protocol=1,
        plugins=(),
    )


class World:
    """Providers of `f` as one caller sees them; `members[0]` is the caller."""

    def __init__(self, members: list[Member], workers: int = 1) -> None:
        self.table = {each.id: each for each in members}
        self.running = 0
        self.directory = Directory(lambda: self.dispatch.changed())
        self.dispatch = Dispatch(members[0], self.directory, self.table.get, lambda: self.running, lambda: 0.0)
        for each in members:
            self.offer(each.id, workers)

    def offer(self, node: NodeId, workers: int = 1, *names: str) -> None:
        functions = tuple(Description(name, "()", "", Run.THREAD) for name in names or ("f",))
        self.directory.announced(node, Announcement(bytes(8), 1, workers, functions))

    def mark(self, node: NodeId, state: MemberState) -> None:
        self.table[node] = replace(self.table[node], state=state)
        self.dispatch.changed()

    def take(self) -> NodeId:
        chosen = self.dispatch.choose("f")
        assert chosen is not None
        self.dispatch.began(chosen)
        return chosen


@pytest.fixture
def world() -> World:
    return World([member(1, "here"), member(2, "there"), member(3, "there"), member(4, "here"), member(5, "there")])


def ids(world: World) -> list[NodeId]:
    return list(world.table)


def test_nobody_has_it(world: World) -> None:
    assert world.dispatch.choose("g") is None
    assert world.dispatch.usable("g") == []


def test_idle_ones_are_asked_this_node_first_then_its_zone(world: World) -> None:
    me, *_, neighbour, _ = ids(world)
    taken = [world.take() for _ in range(5)]
    assert taken[:2] == [me, neighbour]
    assert sorted(taken) == sorted(ids(world))
    assert world.dispatch.outstanding == 5


def test_then_the_least_loaded(world: World) -> None:
    for _ in range(5):
        world.take()
    done = ids(world)[2]
    world.dispatch.ended(done)
    assert world.take() == done
    for _ in range(10):
        world.take()
    assert {world.dispatch._outstanding[node] for node in ids(world)} == {3}


def test_load_is_by_workers() -> None:
    small, large = member(1), member(2)
    world = World([small, large])
    world.directory.announced(large.id, Announcement(bytes(8), 2, 3, world.directory.descriptions("f")[0][1:]))
    assert [world.take() for _ in range(8)].count(large.id) == 6


def test_a_node_that_works_for_others_is_not_idle(world: World) -> None:
    world.running = 1
    assert world.take() != ids(world)[0]


def test_a_suspect_is_asked_only_where_there_is_nobody_else(world: World) -> None:
    me, *others = ids(world)
    for node in (me, *others[:-1]):
        world.mark(node, MemberState.SUSPECT)
    assert {world.take() for _ in range(3)} == {others[-1]}
    world.mark(others[-1], MemberState.SUSPECT)
    assert world.dispatch.usable("f") == []
    assert world.dispatch.choose("f") is not None


def test_what_is_over_leaves_nothing(world: World) -> None:
    taken = [world.take() for _ in range(100)]
    for node in taken:
        world.dispatch.ended(node)
    assert world.dispatch.outstanding == 0
    assert not world.dispatch._outstanding


def test_a_change_of_the_store_is_seen(world: World) -> None:
    assert world.dispatch.usable("f")
    for node in ids(world):
        world.directory.forget(node)
    assert world.dispatch.choose("f") is None


def test_callers_spread_over_the_providers() -> None:
    """A hundred clients with one call each know nothing of one another."""
    keys = Random(7).sample(range(10_000), 110)
    providers, callers = [member(key) for key in keys[:10]], [member(key) for key in keys[10:]]
    asked = []
    for caller in callers:
        world = World([caller, *providers])
        world.directory.forget(caller.id)
        asked.append(world.dispatch.choose("f"))
        assert world.dispatch.choose("f") == asked[-1]
    assert len(set(asked)) >= 8
    assert max(asked.count(node) for node in asked) <= 40
