"""Records on the wire: the round trip, and every bound."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi.api import Address, NodeId
from guthi.errors import MalformedMessage
from guthi.membership import records
from guthi.membership.members import INCARNATION_LIMIT, Member, MemberState, Role
from guthi.membership.records import (
    OWN_RECORD_LIMIT_BYTES,
    RECORD_LIMIT_BYTES,
    decode_record,
    decode_records,
    encode_record,
    encode_records,
)
from guthi.membership.verdict import EVIDENCE_LIMIT_CHARACTERS, PATH_LIMIT_CHARACTERS, Verdict
from guthi.security.identity import node_id_of


def member() -> Member:
    key = bytes(range(32))
    addresses = (Address("10.0.0.1", 6969),)
    plugins = (("mutex", "1.0"), ("rpc", "0.1"))
    return Member(node_id_of(key), "node", addresses, "lab", Role.PEER, 0, MemberState.ALIVE, key, 1, plugins)


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
    plugins=st.dictionaries(printable.filter(bool), printable, max_size=5).map(lambda d: tuple(sorted(d.items()))),
)
verdicts = st.builds(
    Verdict.given,
    st.binary(min_size=16, max_size=16).map(NodeId),
    st.text(max_size=300),
    st.text(max_size=300),
    st.integers(),
)
accused = st.sampled_from([MemberState.SUSPECT, MemberState.FAILED])
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=33),
    lambda inner: st.lists(inner, max_size=11) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)


@given(members)
def test_a_record_survives_the_wire(record: Member) -> None:
    assert decode_record(encode_record(record)) == record


@given(members, accused, verdicts)
def test_so_does_the_verdict_on_one_that_is_accused(record: Member, state: MemberState, verdict: Verdict) -> None:
    record = replace(record, state=state, verdict=verdict)
    assert decode_record(encode_record(record)) == record


@given(st.sampled_from([MemberState.ALIVE, MemberState.LEFT]), verdicts)
def test_nobody_else_has_a_verdict(state: MemberState, verdict: Verdict) -> None:
    with pytest.raises(MalformedMessage):
        decode_record(encode_record(replace(member(), state=state, verdict=verdict)))


@given(st.integers(0, 3), anything)
def test_a_verdict_with_one_part_exchanged_is_read_or_malformed(position: int, part: Any) -> None:
    verdict = Verdict(NodeId(bytes(16)), "via bob", "no echo within 10 s", 2)
    wire = cbor2.loads(encode_record(replace(member(), state=MemberState.FAILED, verdict=verdict)))
    wire[9][position] = part
    try:
        assert cbor2.loads(encode_record(decode_record(cbor2.dumps(wire)))) == wire
    except MalformedMessage:
        pass


@given(st.lists(members, max_size=3))
def test_several_records_survive_the_wire(records: list[Member]) -> None:
    assert decode_records(encode_records(records)) == records


@given(anything)
def test_anything_else_is_malformed(wire: Any) -> None:
    with pytest.raises(MalformedMessage):
        decode_record(cbor2.dumps(wire))
    with pytest.raises(MalformedMessage):
        decode_records(wire)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_record_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_record(data)


@given(st.integers(0, 8), anything)
def test_a_record_with_one_part_exchanged_is_read_or_malformed(position: int, part: Any) -> None:
    wire = cbor2.loads(encode_record(member()))
    wire[position] = part
    try:
        assert cbor2.loads(encode_record(decode_record(cbor2.dumps(wire)))) == wire
    except MalformedMessage:
        pass


def test_a_record_that_somebody_has_is_not_decoded_again() -> None:
    assert decode_record(encode_record(member())) is decode_record(bytes(bytearray(encode_record(member()))))


def test_a_record_that_nobody_has_any_more_takes_no_memory() -> None:
    """Found by `make soak` (docs/bugs-found.md): the records of a member that is suspected now and then piled up."""
    gc.collect()
    decoded_before, encoded_before = len(records._decoded), len(records._encoded)
    for incarnation in range(100):
        decode_record(encode_record(replace(member(), incarnation=1000 + incarnation)))
    assert len(records._decoded) <= decoded_before
    assert len(records._encoded) <= encoded_before


@pytest.mark.parametrize(
    "data",
    [
        encode_record(member()) + b"\x00",
        encode_record(member())[:-1],
        b"\x9f" + encode_record(member())[1:] + b"\xff",
        b"\x9b" + b"\xff" * 8,
        b"\x5b\x0f" + b"\xff" * 7,
        b"\x81" * 60000,
        b"\xd8\x23\x61\x28",
        b"\x89" + b"\x60" * 70000,
    ],
    ids=["trailing", "cut", "indefinite", "huge list", "huge bytes", "deep", "regex tag", "too long"],
)
def test_bounds_on_the_bytes(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_record(data)


@pytest.mark.parametrize(
    ("position", "part"),
    [
        (6, bytes(31)),
        (6, "text"),
        (0, ""),
        (0, "n" * 65),
        (0, "two\nlines"),
        (0, b"bytes"),
        (1, []),
        (1, [["10.0.0.1", 1]] * 17),
        (1, [["10.0.0.1"]]),
        (1, [["example.org", 6969]]),
        (1, [["10.0.0.1", 0]]),
        (1, [["10.0.0.1", 65536]]),
        (1, [["10.0.0.1", True]]),
        (2, "z" * 65),
        (3, 2),
        (4, -1),
        (4, INCARNATION_LIMIT),
        (4, 1.0),
        (5, 4),
        (7, 65536),
        (8, [["rpc", "1"], ["mutex", "1"]]),
        (8, [["rpc", "1"], ["rpc", "2"]]),
        (8, [["", "1"]]),
        (8, [[f"p{n:02}", "1"] for n in range(65)]),
    ],
)
def test_each_bound_is_kept(position: int, part: Any) -> None:
    wire = cbor2.loads(encode_record(member()))
    wire[position] = part
    with pytest.raises(MalformedMessage):
        decode_record(cbor2.dumps(wire))


def test_a_record_at_its_longest_bears_the_longest_verdict_and_no_more() -> None:
    plugins = [(f"{number:02}" + "n" * 60, "") for number in range(60)]
    while len(encode_record(longest := replace(member(), plugins=tuple(plugins)))) > OWN_RECORD_LIMIT_BYTES:
        plugins.pop()
    verdict = Verdict(member().id, "\U0001f9ff" * PATH_LIMIT_CHARACTERS, "\U0001f9ff" * EVIDENCE_LIMIT_CHARACTERS, 255)
    accused = replace(longest, state=MemberState.FAILED, verdict=verdict)
    assert decode_record(encode_record(accused)) == accused
    with pytest.raises(MalformedMessage, match=f"longer than {RECORD_LIMIT_BYTES} bytes"):
        decode_record(bytes(RECORD_LIMIT_BYTES + 1))
