"""Broadcast messages: what is encoded is read again, and whatever else comes is refused by one error."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi.api import NodeId
from guthi.broadcast.messages import MOST_IDS, Graft, Message, MessageId, Note, Payload, Prune, decode, encode
from guthi.errors import MalformedMessage
from guthi.values.codec import Codec

ORIGINS = st.binary(min_size=16, max_size=16).map(NodeId)
NUMBERS = st.integers(0, 2**64 - 1)
IDS = st.builds(MessageId, ORIGINS, NUMBERS, st.integers(1, 2**64 - 1))
PAYLOADS = st.builds(
    lambda id, part, direct, topic, body: Payload(id, 1 + part % id.sequence, direct, topic, body),
    IDS,
    NUMBERS,
    st.booleans(),
    st.text("abc.é", min_size=1, max_size=50),
    st.binary(max_size=5000),
)
MANY = st.lists(IDS, max_size=20, unique=True).map(lambda ids: tuple(sorted(ids)))
MESSAGES = st.one_of(
    PAYLOADS,
    st.builds(Note, st.dictionaries(IDS, NUMBERS, max_size=20), MANY),
    st.builds(Graft, MANY),
    st.builds(Prune, MANY),
)
ONE = MessageId(NodeId(bytes(16)), 7, 3)


@given(MESSAGES)
def test_what_is_encoded_is_read_again(message: Message) -> None:
    codec = Codec()
    assert decode(codec.decode(b"".join(codec.encode(encode(message))))) == message


@given(
    st.recursive(st.one_of(st.integers(), st.binary(), st.text(), st.booleans(), st.none()), st.lists, max_leaves=30)
)
def test_anything_else_is_refused(value: Any) -> None:
    try:
        decode(value)
    except MalformedMessage:
        return
    assert type(value) is list and value[0] in (1, 2, 3, 4)


@pytest.mark.parametrize(
    "value",
    [
        [1, bytes(16), 7, 0, 1, True, "topic", b""],
        [1, bytes(15), 7, 3, 1, True, "topic", b""],
        [1, bytes(16), 7, 3, 4, True, "topic", b""],
        [1, bytes(16), 7, 3, 0, True, "topic", b""],
        [1, bytes(16), 7, 3, 1, 1, "topic", b""],
        [1, bytes(16), 7, 3, 1, True, "", b""],
        [1, bytes(16), 7, 3, 1, True, "t" * 256, b""],
        [1, bytes(16), 2**64, 3, 1, True, "topic", b""],
        [1, bytes(16), True, 3, 1, True, "topic", b""],
        [2, [[bytes(16), 7, [3]]], []],
        [2, [[bytes(16), 7, [3, -1]]], []],
        [3, [[bytes(16), 7, list(range(1, MOST_IDS + 2))]]],
        [3, [[bytes(16), 7, list(range(1, MOST_IDS)), 1]]],
        [4, [[bytes(16), 7, [0]]]],
        [4, {}],
        [5, []],
        [],
        None,
    ],
)
def test_bounds_are_kept(value: Any) -> None:
    with pytest.raises(MalformedMessage):
        decode(value)


def test_ids_of_one_life_are_told_together() -> None:
    prune = encode(Prune((ONE, ONE._replace(sequence=4), ONE._replace(life=8))))
    assert prune == [4, [[bytes(16), 7, [3, 4]], [bytes(16), 8, [3]]]]
