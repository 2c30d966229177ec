"""Surroundings: who counts as there, as gone, as joining, and who is still to be asked."""

from __future__ import annotations

import pytest
from tests.plugins.mutex.test_view import a_view, node

from guthi import MemberState
from guthi_mutex.messages import Presence
from guthi_mutex.surroundings import Surroundings
from guthi_mutex.view import Policy, ViewId

ALIVE, SUSPECT, FAILED, LEFT = MemberState.ALIVE, MemberState.SUSPECT, MemberState.FAILED, MemberState.LEFT


def presence(life: int = 0, *, is_blank: bool = False) -> Presence:
    return Presence(life, Policy("maekawa"), ViewId(0 if is_blank else 7, node(0)), is_blank, asks=False)


def seen(me: int, **states: MemberState) -> Surroundings:
    """What node `me` sees; the others by name: n0, n1, ..."""
    surroundings = Surroundings(node(me))
    surroundings.see({node(int(name[1:])): state for name, state in states.items()})
    return surroundings


@pytest.mark.parametrize(
    ("states", "majority"),
    [
        ({}, 1),
        ({"n1": ALIVE}, 2),
        ({"n1": ALIVE, "n2": ALIVE}, 2),
        ({"n1": ALIVE, "n2": SUSPECT, "n3": FAILED}, 3),
        ({"n1": LEFT, "n2": LEFT}, 1),
    ],
)
def test_who_failed_counts_for_the_majority_and_who_left_does_not(
    states: dict[str, MemberState], majority: int
) -> None:
    assert seen(0, **states).majority == majority


def test_gone_is_who_failed_or_left_and_not_who_is_not_known() -> None:
    surroundings = seen(0, n1=FAILED, n2=SUSPECT, n3=LEFT)
    assert surroundings.gone(a_view(5)) == {node(1), node(3)}


def test_joining_is_who_is_new_or_in_a_new_life() -> None:
    surroundings = seen(0, n1=ALIVE, n2=ALIVE, n8=ALIVE, n9=FAILED)
    for number, life in ((1, 1), (2, 3), (8, 0), (9, 0)):
        surroundings.heard(node(number), presence(life))
    assert surroundings.joining(a_view(3)) == {node(2), node(8)}  # voter n has the life n there
    surroundings.ask_again()
    assert surroundings.joining(a_view(3)) == set()


def test_who_has_failed_has_to_say_again_who_it_is() -> None:
    surroundings = seen(0, n1=ALIVE)
    surroundings.heard(node(1), presence(is_blank=True))
    assert surroundings.blank() == [node(1)] and surroundings.strangers(None) == []
    for state in (FAILED, ALIVE):
        surroundings.see({node(1): state})
    assert surroundings.blank() == [] and surroundings.strangers(None) == [node(1)]


def test_a_stranger_is_asked_now_and_then() -> None:
    surroundings = seen(0, n1=ALIVE, n2=SUSPECT, n8=ALIVE)
    strangers = surroundings.strangers(a_view(2))
    assert strangers == [node(8)]
    assert surroundings.to_be_asked(strangers, 10.0, pause_s=1.0) == [node(8)]
    assert surroundings.to_be_asked(strangers, 10.9, pause_s=1.0) == []
    assert surroundings.to_be_asked(strangers, 11.0, pause_s=1.0) == [node(8)]


def test_only_the_first_voters_that_are_there_ask() -> None:
    states = {f"n{number}": ALIVE for number in range(6)}
    asking = [number for number in range(6) if seen(number, **states).is_asker(a_view(6))]
    assert asking == [0, 1, 2]
    assert seen(3, **{**states, "n1": FAILED}).is_asker(a_view(6))


def test_rank_is_by_id_among_who_is_there() -> None:
    assert seen(3, n0=ALIVE, n1=FAILED, n2=SUSPECT, n5=ALIVE).rank == 2
