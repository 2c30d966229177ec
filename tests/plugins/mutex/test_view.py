"""Views: which sets of voters decide, and that what comes from a peer is a view or MalformedMessage."""

from __future__ import annotations

from itertools import combinations
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from guthi import MalformedMessage, NodeId
from guthi_mutex.memory import Memory
from guthi_mutex.messages import (
    Accepted,
    Ballot,
    Carried,
    Installed,
    Message,
    Prepare,
    Presence,
    Promise,
    Propose,
    Received,
    Refused,
    Renew,
    Renewed,
    Vote,
    decode,
    encode,
)
from guthi_mutex.view import Held, Policy, View, ViewId, Voter

POLICY = Policy("suzuki-kasami", (("render", "raymond"),))


def node(number: int) -> NodeId:
    return NodeId(bytes([number]) * NodeId.SIZE)


def a_view(count: int = 3, epoch: int = 7) -> View:
    voters = tuple(Voter(node(number), number, POLICY if number % 2 else Policy("maekawa")) for number in range(count))
    return View(ViewId(epoch, node(0)), voters, (Held("backup", node(1), 5), Held("render", node(0), 9)))


@pytest.mark.parametrize("count", range(1, 8))
def test_two_quorums_have_a_voter_in_common(count: int) -> None:
    view = a_view(max(count, 2)) if count > 1 else View(ViewId(1, node(0)), (Voter(node(0), 0, POLICY),))
    sets = [set(each) for size in range(count + 1) for each in combinations(view.members, size)]
    quorums = [each for each in sets if view.is_quorum(each)]
    assert quorums
    assert all(one & other for one in quorums for other in quorums)


def test_of_two_the_first_goes_on_alone() -> None:
    view = a_view(2)
    assert view.is_quorum({node(0)})
    assert not view.is_quorum({node(1)})


def test_strangers_do_not_count() -> None:
    assert not a_view(3).is_quorum({node(0), node(8), node(9)})


BALLOT = Ballot(3, node(2))
MESSAGES: list[Message] = [
    Presence(4, POLICY, a_view().id, is_blank=False, asks=True),
    Prepare(None, BALLOT),
    Prepare(a_view(), BALLOT),
    Promise(a_view().id, BALLOT, 4, POLICY, 12, Vote(BALLOT, a_view()), (("render", 9),)),
    Promise(a_view().id, BALLOT, 4, POLICY, 12, None, ()),
    Propose(a_view().id, BALLOT, a_view(5)),
    Accepted(a_view().id, BALLOT),
    Refused(a_view().id, BALLOT, BALLOT, 1500),
    Installed(a_view()),
    Renew(a_view().id, 12.5),
    Renewed(a_view().id, 12.5),
    Carried(a_view().id, 3, 2, "render", [0, 1]),
    Received(a_view().id, 3),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_arrives_as_it_was(message: Message) -> None:
    assert decode(encode(message)) == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_whatever_is_changed_is_a_message_or_refused(message: Message) -> None:
    random = Random(1)
    junk: list[Any] = [None, -1, 1 << 70, "x" * 300, b"", [], True, 1.5, [[]], {}]
    for _ in range(200):
        wire = encode(message)
        _change(wire, random, junk)
        try:
            decode(wire)
        except MalformedMessage:
            pass


def _change(wire: list[Any], random: Random, junk: list[Any]) -> None:
    place = random.randrange(len(wire))
    if isinstance(wire[place], list) and wire[place] and random.random() < 0.8:
        _change(wire[place], random, junk)
    elif random.random() < 0.2:
        del wire[place]
    else:
        wire[place] = random.choice(junk)


ANYTHING = some.recursive(
    some.none() | some.booleans() | some.integers() | some.binary() | some.text() | some.floats(),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=4), inner, max_size=2),
    max_leaves=12,
)


@settings(max_examples=50)
@given(ANYTHING)
def test_anything_is_refused_by_malformed_message(wire: object) -> None:
    for read in (decode, View.from_wire, Memory.from_wire):
        try:
            read(wire)
        except MalformedMessage:
            pass


@settings(max_examples=50)
@given(some.integers(0, 12), some.lists(ANYTHING, max_size=8))
def test_a_code_with_anything_behind_it(code: int, values: list[Any]) -> None:
    try:
        decode([code, *values])
    except MalformedMessage:
        pass


def test_an_unsorted_view_is_refused() -> None:
    wire = a_view().to_wire()
    wire[2].reverse()
    with pytest.raises(MalformedMessage, match="not sorted"):
        View.from_wire(wire)


def test_a_memory_comes_back() -> None:
    memory = Memory(3, 12, a_view(), None, BALLOT, Vote(BALLOT, a_view(5, 8)))
    assert Memory.from_wire(memory.to_wire()) == memory
    outsider = Memory(3, 12, None, a_view())
    assert Memory.from_wire(outsider.to_wire()) == outsider
