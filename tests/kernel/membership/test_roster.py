"""The table of members: its indexes, its fingerprint, and forgetting."""

from __future__ import annotations

import random
from functools import reduce
from itertools import permutations
from operator import xor

from hypothesis import given
from hypothesis import strategies as st

from guthi.api import Address
from guthi.membership.members import Member, MemberState, Role, supersedes
from guthi.membership.roster import Roster
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
    told = [record for id, record in sorted(roster.members.items()) if id not in roster.hearsay]
    assert list(roster.passed_on()) == told
    assert roster.fingerprint == reduce(xor, (record.fingerprint for record in told))
    for name in "ab":
        assert {m.id for m in roster.named(name)} == {id for id, record in others.items() if record.name == name}
        presence = [m.is_present for m in roster.named(name)]
        assert presence == sorted(presence, reverse=True)
    gone = sorted(id for id, record in others.items() if not record.is_present)
    assert roster.forget(gone_before=1e9) == gone
    assert set(roster.members) == {me.id, *roster.present}
    assert roster.fingerprint == reduce(xor, (record.fingerprint for record in roster.members.values()))
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


def test_the_fingerprint_follows_ones_own_record() -> None:
    roster = Roster(member(9))
    roster.put(member(1), 0.0)
    roster.put_me(member(9, incarnation=1))
    assert roster.fingerprint == member(9, incarnation=1).fingerprint ^ member(1).fingerprint
