"""A call with a key begins when enough electors know nothing of it, and no two calls that do not know of each other."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations, product

import pytest

from guthi.api import NodeId
from guthi_rpc.ballot import Ballot, Home

A, B, C, D, E, F = NODES = [NodeId(bytes([number]) * 16) for number in range(1, 7)]
FIVE = NODES[:5]
LIFE, LATER = b"1" * 8, b"2" * 8
STRANGER = (NodeId(b"x" * 16), LIFE)


def seats_of(nodes: Iterable[NodeId], restarted: frozenset[NodeId] = frozenset()) -> list[Home]:
    return [(node, LATER if node in restarted else LIFE) for node in nodes]


def ballot(
    me: Home,
    answers: Iterable[NodeId],
    seats: list[Home],
    told: list[Home] | None = None,
    newcomers: Iterable[NodeId] = (),
) -> Ballot:
    """After these answered; `told` are the seats as they see them, and `newcomers` do not vouch."""
    made = Ballot(me, seats, vouches=me[0] not in newcomers)
    for node in answers:
        made.answered((node, LIFE), vouches=node not in newcomers, seats=seats if told is None else told)
    return made


def test_a_majority_is_enough() -> None:
    seats = seats_of(FIVE)
    assert not ballot(STRANGER, [A, B], seats).is_enough
    assert ballot(STRANGER, [A, B, C], seats).is_enough
    assert ballot((A, LIFE), [B, C], seats).is_enough
    assert ballot((A, LIFE), [], seats_of([A])).is_enough


def test_a_newcomer_does_not_vouch_for_what_was_before() -> None:
    """Of five two were restarted and one does not answer: the one who knows may be among those three."""
    seats = seats_of(FIVE)
    assert not ballot(STRANGER, [A, B, D, E], seats, newcomers=[A, B]).is_enough
    assert ballot(STRANGER, [C, D, E], seats, newcomers=[A, B]).is_enough
    assert not ballot((A, LIFE), [D, E], seats, newcomers=[A]).is_enough
    assert ballot((A, LIFE), [C, D, E], seats, newcomers=[A]).is_enough


def test_a_newcomer_counts_as_a_witness_of_what_is_to_come() -> None:
    seats = seats_of([A, B])
    assert not ballot((A, LIFE), [], seats).is_enough
    assert ballot((A, LIFE), [B], seats, newcomers=[B]).is_enough


def test_it_is_said_whether_newcomers_are_what_is_missing() -> None:
    seats = seats_of(FIVE)
    waiting = ballot(STRANGER, [A, B, C], seats, newcomers=[A, B])
    assert waiting.waits_for_newcomers and waiting.newcomers == {A, B}
    assert not ballot(STRANGER, [A, B], seats, newcomers=[A, B]).waits_for_newcomers
    for node in (A, B):
        waiting.answered((node, LIFE), vouches=True, seats=seats)
    assert waiting.is_enough and not waiting.newcomers


def test_who_answered_in_a_life_that_is_over_does_not_vouch() -> None:
    told = seats_of(FIVE, restarted=frozenset([A]))
    assert not ballot(STRANGER, [A, D, E], seats_of(FIVE), told).is_enough
    assert not ballot((A, LIFE), [D, E], seats_of(FIVE), told).is_enough
    assert ballot((A, LIFE), [C, D, E], seats_of(FIVE), told).is_enough


def test_a_life_that_nobody_knows_yet_is_any() -> None:
    assert ballot(STRANGER, [A], [(A, b"")]).is_enough
    unknown = Ballot(STRANGER, seats_of([A]), vouches=True)
    unknown.answered((A, b""), vouches=True)
    assert unknown.is_enough


def test_every_view_has_to_be_satisfied() -> None:
    assert not ballot(STRANGER, [A, B], seats_of([A, B, C]), seats_of(FIVE)).is_enough
    without_a = seats_of([B, C, D, E, F])  # as A sees it, which is about to leave
    leaving = Ballot(STRANGER, seats_of(FIVE), vouches=True)
    leaving.answered((A, LIFE), vouches=True, seats=without_a)
    for node in (B, C):
        leaving.answered((node, LIFE), vouches=True, seats=seats_of(FIVE))
    assert not leaving.is_enough
    assert leaving.electors == [A, B, C, D, E, F]
    leaving.answered((F, LIFE), vouches=True, seats=seats_of(FIVE))
    assert leaving.is_enough


def groups(nodes: list[NodeId]) -> list[frozenset[NodeId]]:
    return [frozenset(each) for count in range(len(nodes) + 1) for each in combinations(nodes, count)]


@pytest.mark.parametrize("count", range(1, 6))
def test_two_calls_have_an_elector_in_common_that_remembers(count: int) -> None:
    """Whoever was restarted in between remembers nothing of the first."""
    nodes = NODES[:count]
    seats = seats_of(nodes)
    firsts = [each for each in groups(nodes) if ballot(STRANGER, sorted(each), seats).is_enough]
    assert firsts
    for restarted, second in product(groups(nodes), repeat=2):
        if ballot(STRANGER, sorted(second), seats, newcomers=restarted).is_enough:
            assert all(first & (second - restarted) for first in firsts)


@pytest.mark.parametrize("count", range(2, 7))
def test_so_have_calls_before_and_after_an_elector_that_has_handed_over(count: int) -> None:
    """Whoever is not the leaver has taken over from it, if more than half of those who have seats then did."""
    before, after = NODES[:count][:5], NODES[1:count][:5]
    firsts = [each for each in groups(before) if ballot(STRANGER, sorted(each), seats_of(before)).is_enough]
    seconds = [each for each in groups(after) if ballot(STRANGER, sorted(each), seats_of(after)).is_enough]
    for first, second, took in product(firsts, seconds, groups(after)):
        if A in first and 2 * len(took) > len(after):
            assert second & (first | took)
        elif A not in first:
            assert second & first
