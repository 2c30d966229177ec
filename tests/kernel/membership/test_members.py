"""Records: SWIM's order, and what a change means."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from guthi.api import Address
from guthi.membership.members import (
    INCARNATION_LIMIT,
    Member,
    MemberEvent,
    MemberFailed,
    MemberJoined,
    MemberLeft,
    MemberRecovered,
    MemberState,
    MemberSuspected,
    MemberUpdated,
    Role,
    changes,
    supersedes,
)
from guthi.security.identity import node_id_of

ALIVE, SUSPECT, FAILED, LEFT = MemberState


def member(number: int = 1, *, name: str | None = None, state: MemberState = ALIVE, incarnation: int = 0) -> Member:
    key = number.to_bytes(32, "big")
    return Member(
        id=node_id_of(key),
        name=name or f"node{number}",
        addresses=(Address("10.0.0.1", 6969),),
        zone="lab",
        role=Role.PEER,
        incarnation=incarnation,
        state=state,
        public_key=key,
        protocol=1,
        plugins=(("mutex", "1.0"), ("rpc", "0.1")),
    )


def test_a_higher_incarnation_wins_whatever_the_states() -> None:
    for old in MemberState:
        for new in MemberState:
            assert supersedes(member(state=new, incarnation=1), member(state=old, incarnation=0))
            assert not supersedes(member(state=new, incarnation=0), member(state=old, incarnation=1))


def test_within_an_incarnation_the_graver_state_wins() -> None:
    for rank, old in enumerate((ALIVE, SUSPECT, FAILED, LEFT)):
        for other_rank, new in enumerate((ALIVE, SUSPECT, FAILED, LEFT)):
            assert supersedes(member(state=new), member(state=old)) == (other_rank > rank)


@pytest.mark.parametrize(
    ("old", "new", "events"),
    [
        (None, ALIVE, [MemberJoined]),
        (None, SUSPECT, [MemberJoined, MemberSuspected]),
        (None, FAILED, []),
        (None, LEFT, []),
        (ALIVE, SUSPECT, [MemberSuspected]),
        (ALIVE, FAILED, [MemberFailed]),
        (ALIVE, LEFT, [MemberLeft]),
        (SUSPECT, ALIVE, [MemberRecovered]),
        (SUSPECT, FAILED, [MemberFailed]),
        (SUSPECT, LEFT, [MemberLeft]),
        (FAILED, ALIVE, [MemberRecovered]),
        (FAILED, SUSPECT, [MemberRecovered, MemberSuspected]),
        (FAILED, LEFT, [MemberLeft]),
        (LEFT, ALIVE, [MemberJoined]),
        (LEFT, FAILED, []),
        (ALIVE, ALIVE, []),
    ],
)
def test_what_a_change_of_state_means(
    old: MemberState | None, new: MemberState, events: list[type[MemberEvent]]
) -> None:
    before = None if old is None else member(state=old)
    after = member(state=new, incarnation=1)
    assert changes(before, after) == [event(after) for event in events]


def test_new_plugins_are_an_update_but_not_of_one_that_is_gone() -> None:
    after = replace(member(incarnation=1), plugins=())
    assert changes(member(), after) == [MemberUpdated(after)]
    assert changes(member(state=FAILED), replace(after, state=FAILED)) == []


def test_versions_as_bytes_are_in_swims_order() -> None:
    incarnations = (0, 1, 255, 256, 2**32, INCARNATION_LIMIT - 1)
    records = [member(state=state, incarnation=number) for number, state in product(incarnations, MemberState)]
    assert [record.version for record in records] == sorted({record.version for record in records})


def test_the_fingerprint_follows_the_id_and_the_version_only() -> None:
    assert member(1).fingerprint == member(1, name="other").fingerprint
    different = {member(1), member(2), member(1, incarnation=1), member(1, state=SUSPECT)}
    assert len({record.fingerprint for record in different}) == 4
    assert replace(member(1), incarnation=1).fingerprint == member(1, incarnation=1).fingerprint
