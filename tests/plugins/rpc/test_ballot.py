"""A call with a key begins when enough electors know nothing of it, and no two calls that do not know of each other."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from guthi.api import NodeId
from guthi_rpc.ballot import Ballot, Home

A, B, C, D, E = NODES = [NodeId(bytes([number]) * 16) for number in range(1, 6)]
FIRST, SECOND = b"1" * 8, b"2" * 8
STRANGER = (NodeId(b"x" * 16), FIRST)


def seats_of(nodes: list[NodeId], restarted: frozenset[NodeId] = frozenset()) -> list[Home]:
    """As those see them who know that some were restarted: the lost life holds the seat."""
    return [(node, FIRST if node in restarted else SECOND) for node in nodes]


def ballot(me: Home, answers: list[NodeId], seats: list[Home], told: list[Home] | None = None) -> Ballot:
    """Of one node, after these answered in their second life; `told` are the seats as they see them."""
    made = Ballot(seats, me, [node for node, _ in seats if node != me[0]])
    for node in answers:
        made.answered((node, SECOND), seats if told is None else told)
    return made


def test_a_majority_is_enough() -> None:
    seats = seats_of(NODES)
    assert not ballot(STRANGER, [A, B], seats).is_enough
    assert ballot(STRANGER, [A, B, C], seats).is_enough
    assert ballot((A, SECOND), [B, C], seats).is_enough
    assert ballot((A, SECOND), [], seats_of([A])).is_enough


def test_who_was_restarted_does_not_vouch_for_what_was_before() -> None:
    """Of five two were restarted and one does not answer: the one who knows may be among those three."""
    seats = seats_of(NODES, frozenset([A, B]))
    assert not ballot(STRANGER, [A, B, D, E], seats).is_enough
    assert ballot(STRANGER, [C, D, E], seats).is_enough


def test_that_somebody_was_restarted_others_may_know() -> None:
    told = seats_of(NODES, frozenset([A]))
    assert not ballot(STRANGER, [A, D, E], seats_of(NODES), told).is_enough
    assert not ballot((A, SECOND), [D, E], seats_of(NODES), told).is_enough  # even of oneself
    assert ballot((A, SECOND), [C, D, E], seats_of(NODES), told).is_enough


def test_who_was_restarted_counts_as_a_witness_of_what_is_to_come() -> None:
    seats = seats_of([A, B], frozenset([B]))
    assert not ballot((A, SECOND), [], seats).is_enough
    assert ballot((A, SECOND), [B], seats).is_enough


def test_others_may_see_more_seats() -> None:
    assert not ballot(STRANGER, [A, B], seats_of([A, B, C]), seats_of(NODES)).is_enough


def groups(nodes: list[NodeId]) -> list[frozenset[NodeId]]:
    return [frozenset(each) for count in range(len(nodes) + 1) for each in combinations(nodes, count)]


@pytest.mark.parametrize("count", range(1, 6))
def test_two_calls_have_an_elector_in_common_that_remembers(count: int) -> None:
    """Whoever was restarted in between remembers nothing of the first."""
    nodes = NODES[:count]
    firsts = [each for each in groups(nodes) if ballot(STRANGER, sorted(each), seats_of(nodes)).is_enough]
    assert firsts
    for restarted, second in product(groups(nodes), repeat=2):
        if ballot(STRANGER, sorted(second), seats_of(nodes, restarted)).is_enough:
            assert all(first & (second - restarted) for first in firsts)
