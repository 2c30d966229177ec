"""Digests, what two tables differ in, and the budget of an answer."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi.api import Address, NodeId
from guthi.errors import MalformedMessage
from guthi.membership.members import INCARNATION_LIMIT, Member, MemberState, Role, supersedes
from guthi.membership.records import decode_records, encode_record
from guthi.membership.sync import ENTRY_BYTES, difference, digest, fitting, read_ids
from guthi.security.identity import node_id_of


def member(number: int, incarnation: int = 0, state: MemberState = MemberState.ALIVE) -> Member:
    key = number.to_bytes(32, "big")
    addresses = (Address("10.0.0.1", 6969),)
    return Member(node_id_of(key), f"node{number}", addresses, "lab", Role.PEER, incarnation, state, key, 1, ())


def by_id(*records: Member) -> dict[NodeId, Member]:
    return {record.id: record for record in sorted(records, key=lambda each: each.id)}


tables = st.dictionaries(st.integers(1, 8), st.tuples(st.integers(0, 3), st.sampled_from(MemberState)), max_size=8).map(
    lambda rows: by_id(*(member(number, *version) for number, version in rows.items()))
)


@given(tables, tables)
def test_two_trips_make_both_tables_the_union_of_the_newest(
    ours: dict[NodeId, Member], theirs: dict[NodeId, Member]
) -> None:
    newest = dict(ours)
    for id, record in theirs.items():
        if id not in newest or supersedes(record, newest[id]):
            newest[id] = record
    found = difference(ours, ours.values(), digest(theirs.values()))
    assert theirs | by_id(*found.newer) == newest
    assert ours | {id: theirs[id] for id in found.wanted} == newest


@given(tables)
def test_equal_tables_have_nothing_to_say(table: dict[NodeId, Member]) -> None:
    found = difference(table, table.values(), digest(table.values()))
    assert (found.newer, found.wanted) == ((), ())


def test_what_is_known_but_not_passed_on_is_neither_sent_nor_wanted() -> None:
    hearsay = member(1, state=MemberState.FAILED)
    assert difference(by_id(hearsay), [], digest([hearsay])).wanted == ()
    assert difference(by_id(hearsay), [], b"").newer == ()


def test_a_newcomer_gets_all_in_the_first_answer() -> None:
    table = by_id(*(member(number) for number in range(1, 100)))
    newcomer = member(100)
    found = difference(table, table.values(), digest([newcomer]))
    assert (found.newer, found.wanted) == (tuple(table.values()), (newcomer.id,))


FIRST, SECOND = sorted((member(1), member(2)), key=lambda record: record.id)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "text",
        bytes(ENTRY_BYTES - 1),
        digest([FIRST]) + b"\x00",
        digest([SECOND, FIRST]),
        digest([FIRST, FIRST]),
        FIRST.id + INCARNATION_LIMIT.to_bytes(8, "big") + b"\x00",
        FIRST.id + bytes(8) + b"\x04",
    ],
)
def test_what_is_no_digest_is_malformed(data: object) -> None:
    with pytest.raises(MalformedMessage):
        difference({}, [], data)


@pytest.mark.parametrize("data", [None, [bytes(16)], bytes(17), "0123456789abcdef"])
def test_what_is_no_list_of_ids_is_malformed(data: object) -> None:
    with pytest.raises(MalformedMessage):
        read_ids(data)


@given(st.binary(max_size=4 * ENTRY_BYTES))
def test_any_bytes_are_a_digest_or_malformed(data: bytes) -> None:
    try:
        wanted = difference({}, [], data).wanted
        assert b"".join(wanted) == b"".join(data[i : i + 16] for i in range(0, len(data), ENTRY_BYTES))
        assert read_ids(b"".join(wanted)) == list(wanted)
    except MalformedMessage:
        pass


def test_what_exceeds_the_budget_is_left_to_chance_so_that_nothing_is_left_out_for_ever() -> None:
    records = [member(number) for number in range(1, 101)]
    assert decode_records(fitting(records, 1_000_000, random.Random(1))) == records
    budget = 10 * len(encode_record(member(100)))
    rng = random.Random(1)
    answers = [decode_records(fitting(records, budget, rng)) for _ in range(100)]
    assert all(10 <= len(answer) <= 11 for answer in answers)
    assert {record for answer in answers for record in answer} == set(records)


def test_a_record_longer_than_the_budget_travels_alone() -> None:
    assert len(decode_records(fitting([member(1), member(2)], 1, random.Random(1)))) == 1
    assert decode_records(fitting([], 1, random.Random(1))) == []
