"""Records: SWIM's order, the wire form and its bounds, what a change means, and the table."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import permutations
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi.api import Address
from guthi.errors import MalformedMessage
from guthi.identity import node_id_of
from guthi.members import (
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
    Roster,
    changes,
    supersedes,
)

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


printable = st.text(st.characters(categories=("L", "N", "P", "S")), max_size=64)
hosts = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
members = st.builds(
    lambda key, **rest: Member(id=node_id_of(key), public_key=key, **rest),
    st.binary(min_size=32, max_size=32),
    name=printable.filter(bool),
    addresses=st.lists(st.builds(Address, hosts, st.integers(1, 65535)), min_size=1, max_size=16).map(tuple),
    zone=printable,
    role=st.sampled_from(Role),
    incarnation=st.integers(0, INCARNATION_LIMIT - 1),
    state=st.sampled_from(MemberState),
    protocol=st.integers(0, 65535),
    plugins=st.dictionaries(printable.filter(bool), printable, max_size=64).map(lambda d: tuple(sorted(d.items()))),
)
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=33),
    lambda inner: st.lists(inner, max_size=11) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)


@given(members)
def test_a_record_survives_the_wire(record: Member) -> None:
    assert Member.from_wire(cbor2.loads(cbor2.dumps(record.to_wire()))) == record


@given(anything)
def test_anything_else_is_malformed(wire: Any) -> None:
    with pytest.raises(MalformedMessage):
        Member.from_wire(wire)


@given(st.integers(0, 9), anything)
def test_a_record_with_one_part_exchanged_is_read_or_malformed(position: int, part: Any) -> None:
    wire = member().to_wire()
    wire[position] = part
    try:
        assert Member.from_wire(wire).to_wire() == wire
    except MalformedMessage:
        pass


@pytest.mark.parametrize(
    ("position", "part"),
    [
        (0, bytes(16)),
        (0, bytes(15)),
        (1, ""),
        (1, "n" * 65),
        (1, "two\nlines"),
        (1, b"bytes"),
        (2, []),
        (2, [["10.0.0.1", 1]] * 17),
        (2, [["10.0.0.1"]]),
        (2, [["example.org", 6969]]),
        (2, [["10.0.0.1", 0]]),
        (2, [["10.0.0.1", 65536]]),
        (2, [["10.0.0.1", True]]),
        (3, "z" * 65),
        (4, 2),
        (5, -1),
        (5, INCARNATION_LIMIT),
        (5, 1.0),
        (6, 4),
        (7, bytes(31)),
        (8, 65536),
        (9, [["rpc", "1"], ["mutex", "1"]]),
        (9, [["rpc", "1"], ["rpc", "2"]]),
        (9, [["", "1"]]),
        (9, [[f"p{n:02}", "1"] for n in range(65)]),
    ],
)
def test_each_bound_is_kept(position: int, part: Any) -> None:
    wire = member().to_wire()
    wire[position] = part
    with pytest.raises(MalformedMessage):
        Member.from_wire(wire)


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


def test_the_table_ends_the_same_in_whatever_order_records_come() -> None:
    records = [member(state=s, incarnation=i) for s, i in ((ALIVE, 0), (FAILED, 0), (ALIVE, 1), (SUSPECT, 1))]
    for order in permutations(records):
        roster = Roster(member(9))
        for record in order:
            old = roster.members.get(record.id)
            if old is None or supersedes(record, old):
                roster.put(record, 0.0)
        assert roster.members[records[0].id] == records[3]
        assert list(roster.present) == [records[0].id]


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(MemberState), st.sampled_from("ab")), max_size=30))
def test_the_indexes_agree_with_the_records(steps: list[tuple[int, MemberState, str]]) -> None:
    me = member(9, name="me")
    roster = Roster(me)
    seen_present = set()
    for now, (number, state, name) in enumerate(steps):
        record = member(number, name=name, state=state)
        roster.put(record, float(now))
        if record.is_present:
            seen_present.add(record.id)
    others = {id: record for id, record in roster.members.items() if id != me.id}
    assert list(roster.present) == sorted(id for id, record in others.items() if record.is_present)
    assert roster.failed() == sorted(id for id, record in others.items() if record.state is FAILED)
    assert roster.hearsay == set(others) - seen_present
    for name in "ab":
        assert {m.id for m in roster.named(name)} == {id for id, record in others.items() if record.name == name}
        presence = [m.is_present for m in roster.named(name)]
        assert presence == sorted(presence, reverse=True)
    gone = sorted(id for id, record in others.items() if not record.is_present)
    assert roster.forget(gone_before=1e9) == gone
    assert set(roster.members) == {me.id, *roster.present}
    assert [m.id for m in roster.named("me")] == [me.id]


def test_forgetting_counts_from_when_a_member_went() -> None:
    roster = Roster(member(9))
    roster.put(member(1), 0.0)
    roster.put(member(1, state=SUSPECT), 5.0)
    roster.put(member(1, state=FAILED), 10.0)
    roster.put(member(1, state=LEFT), 20.0)
    assert roster.forget(gone_before=10.0) == []
    assert roster.forget(gone_before=10.1) == [member(1).id]


def test_ids_do_not_depend_on_the_order_of_arrival() -> None:
    numbers = list(range(1, 20))
    random.Random(1).shuffle(numbers)
    roster = Roster(member(99))
    for number in numbers:
        roster.put(member(number), 0.0)
    assert list(roster.present) == sorted(member(number).id for number in numbers)
