"""A node vouches for a key when it would know of a call with it: when it has heard enough of the others."""

from __future__ import annotations

from itertools import combinations

import pytest

from guthi.api import NodeId
from guthi_rpc.directory import Directory
from guthi_rpc.electors import ELECTORS, Electors
from guthi_rpc.standing import Standing

RETENTION_S = 10.0
ME = NodeId(b"m" * 16)
OTHERS = [NodeId(bytes([number]) * 16) for number in range(1, 10)]
KEYS = [f"k{number}" for number in range(20)]


class World:
    """What one node sees: so many others, of whom none has been heard."""

    def __init__(self, others: int, *, is_new: bool = False, begins: bool = True) -> None:
        self.now, self.is_alone = 0.0, False
        self.others = OTHERS[:others]
        self.electors = Electors(ME, Directory(lambda: None), lambda: [ME, *self.others], lambda: self.now, RETENTION_S)
        self.standing = Standing(
            self.electors,
            lambda: self.others,
            lambda: self.now,
            RETENTION_S,
            lambda: self.is_alone,
            is_new=is_new,
        )
        if begins:
            self.standing.begin()

    def hear(self, *nodes: NodeId, is_settled: bool = True) -> None:
        for node in nodes:
            self.standing.heard(node, is_settled=is_settled)

    def lose(self, node: NodeId) -> None:
        self.others = [each for each in self.others if each != node]
        self.electors.lost(node, b"1" * 8)


def test_who_has_not_joined_vouches_for_nothing() -> None:
    world = World(0, begins=False)
    assert not world.standing.vouches("k")
    world.standing.begin()
    assert world.standing.vouches("k")


def test_who_looks_for_others_and_has_met_none_vouches_for_nothing() -> None:
    world = World(0, begins=False)
    world.is_alone = True
    world.standing.begin()
    world.now = 2 * RETENTION_S
    assert not world.standing.is_settled
    world.is_alone = False
    assert world.standing.is_settled


def test_who_has_heard_all_vouches_whether_they_did_or_not() -> None:
    """Of a network that has just been started nobody remembers anything."""
    world = World(4)
    world.hear(*OTHERS[:3], is_settled=False)
    assert not world.standing.is_settled and world.standing.unheard() == OTHERS[:4]
    world.hear(OTHERS[3], is_settled=False)
    assert world.standing.is_settled


def test_but_not_where_somebody_is_gone() -> None:
    world = World(4)
    world.lose(OTHERS[0])
    world.hear(*OTHERS[1:4], is_settled=False)
    assert not world.standing.is_settled
    world.now = RETENTION_S
    assert world.standing.is_settled


@pytest.mark.parametrize("others", range(1, 10))
@pytest.mark.parametrize("is_new", [True, False])
def test_nobody_who_vouches_can_be_one_whom_a_majority_left_out(others: int, is_new: bool) -> None:
    """Whichever nodes it has heard: no majority of a key's seats consists of such as it has not heard, and itself."""
    keys = KEYS[:5]
    for count in range(others):
        for heard in combinations(OTHERS[:others], count):
            world = World(others, is_new=is_new)
            world.hear(*heard)
            for key in keys:
                seats = [node for node, _ in world.electors.of(key, but_me=is_new)]
                unheard = [node for node in seats if node not in heard]
                assert world.standing.vouches(key) == (2 * len(unheard) <= len(seats))
            if world.standing.is_settled:
                unheard_at_most = others - count + (not is_new)
                assert 2 * unheard_at_most <= min(ELECTORS, others + (not is_new))


def test_whom_it_heard_before_they_were_settled_do_not_count() -> None:
    world = World(4)
    world.hear(*OTHERS[:3], is_settled=False)
    assert not any(map(world.standing.vouches, KEYS))
    world.hear(*OTHERS[:3])
    assert all(map(world.standing.vouches, KEYS)) and not world.standing.unheard()


def test_who_was_heard_and_is_gone_since_is_no_loss() -> None:
    world = World(4)
    world.hear(*OTHERS[:3])
    world.lose(OTHERS[0])
    assert world.standing.is_settled


def test_once_settled_it_remains_so() -> None:
    world = World(1)
    world.hear(OTHERS[0])
    assert world.standing.is_settled
    world.others = OTHERS[:9]
    world.hear(*OTHERS[1:], is_settled=False)
    assert world.standing.is_settled and world.standing.vouches("k")
    assert not world.standing._heard  # it would grow with every node that ever comes
