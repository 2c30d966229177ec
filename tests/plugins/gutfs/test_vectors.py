"""Version vectors: an order that is one, joins that are least, a bound, and nothing believed of a peer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guthi import MalformedMessage, NodeId
from guthi_gutfs.vectors import MOST_WRITERS, Order, VersionVector

NODES = [NodeId(bytes([number]) * 16) for number in range(4)]
VECTORS = st.dictionaries(st.sampled_from(NODES), st.integers(1, 4)).map(
    lambda d: VersionVector(tuple(sorted(d.items())))
)
NOT_NEWER = (Order.OLDER, Order.EQUAL)
MIRROR = {
    Order.OLDER: Order.NEWER,
    Order.NEWER: Order.OLDER,
    Order.EQUAL: Order.EQUAL,
    Order.CONCURRENT: Order.CONCURRENT,
}


@settings(deadline=None)
@given(VECTORS, VECTORS, VECTORS)
def test_it_is_a_partial_order(a: VersionVector, b: VersionVector, c: VersionVector) -> None:
    assert b.compared(a) is MIRROR[a.compared(b)]
    assert (a.compared(b) is Order.EQUAL) is (a == b)
    if a.compared(b) in NOT_NEWER and b.compared(c) in NOT_NEWER:
        assert a.compared(c) in NOT_NEWER


@settings(deadline=None)
@given(VECTORS, VECTORS, VECTORS)
def test_the_merged_one_is_the_least_that_is_as_new_as_both(
    a: VersionVector, b: VersionVector, c: VersionVector
) -> None:
    merged = a.merged(b)
    assert merged == b.merged(a)
    assert a.compared(merged) in NOT_NEWER and b.compared(merged) in NOT_NEWER
    if a.compared(c) in NOT_NEWER and b.compared(c) in NOT_NEWER:
        assert merged.compared(c) in NOT_NEWER


@settings(deadline=None)
@given(VECTORS, st.sampled_from(NODES), st.integers(0, 10))
def test_who_changes_it_makes_it_newer(a: VersionVector, node: NodeId, at_s: int) -> None:
    assert a.bumped(node, at_s).compared(a) is Order.NEWER
    assert dict(a.bumped(node, at_s).counts)[node] >= at_s


def test_a_change_of_a_node_that_forgot_all_is_not_older() -> None:
    known = VersionVector().bumped(NODES[0], 1000).bumped(NODES[0], 1000)
    assert VersionVector().bumped(NODES[0], 2000).compared(known) is Order.NEWER


def test_there_are_so_many_writers_at_most_and_the_latest_stay() -> None:
    vector = VersionVector()
    for number in range(MOST_WRITERS + 10):
        vector = vector.bumped(NodeId(number.to_bytes(16, "big")), number + 1)
    assert len(vector.counts) == MOST_WRITERS
    assert min(count for _, count in vector.counts) == 11
    assert VersionVector.from_wire(vector.to_wire()) == vector


@settings(deadline=None)
@given(VECTORS)
def test_it_travels(a: VersionVector) -> None:
    assert VersionVector.from_wire(a.to_wire()) == a


@pytest.mark.parametrize(
    "wire",
    [
        None,
        [b"x" * 16],
        [b"short", 1],
        [b"x" * 16, 0],
        [b"x" * 16, True],
        [b"x" * 16, 1, b"a" * 16, 1],
        [b"x" * 16, 1, b"x" * 16, 2],
        [each for number in range(MOST_WRITERS + 1) for each in (number.to_bytes(16, "big"), 1)],
    ],
)
def test_what_is_none_is_refused(wire: object) -> None:
    with pytest.raises(MalformedMessage):
        VersionVector.from_wire(wire)
