"""Gossip messages and their bounds; the rumour queue's order, budget and retransmit bound."""

from __future__ import annotations

from random import Random
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi.api import Address
from guthi.errors import MalformedMessage, UsageError
from guthi.membership.gossip import (
    HEAD_BYTES,
    MESSAGE_LIMIT_BYTES,
    Comparison,
    Gossip,
    Hello,
    Message,
    Refusal,
    Welcome,
    decode_message,
    encode_comparison,
    encode_message,
    encode_refusal,
)
from guthi.membership.members import Member, MemberState, Role
from guthi.membership.records import encode_record
from guthi.membership.rumours import RumourQueue, transmissions
from guthi.membership.settings import GossipSettings
from guthi.security.identity import node_id_of


def member(number: int, *, incarnation: int = 0, zone: str = "lab") -> Member:
    key = number.to_bytes(32, "big")
    addresses = (Address("10.0.0.1", 6969),)
    return Member(
        node_id_of(key), f"node{number}", addresses, zone, Role.PEER, incarnation, MemberState.ALIVE, key, 1, ()
    )


def encoded(message: Message) -> bytes:
    assert not isinstance(message, Comparison | Refusal)
    return encode_message(type(message), [encode_record(record) for record in message.records])


@pytest.mark.parametrize("more", [0, 1, 22, 23, 300])
def test_messages_survive_the_wire(more: int) -> None:
    others = tuple(member(number) for number in range(2, 2 + more))
    for message in (Hello(member(1), others), Welcome(member(1), others), Gossip((member(1), *others))):
        assert decode_message(encoded(message)) == message


def test_a_comparison_survives_the_wire() -> None:
    assert decode_message(encode_comparison(member(1), 2**127 + 5)) == Comparison(member(1), 2**127 + 5)


@pytest.mark.parametrize(
    "tail",
    [[], [bytes(16)], [bytes(15)], [encode_record(member(1))], [5], [bytes(16), bytes(16)]],
    ids=["no fingerprint", "no record", "too short", "a record for it", "a number", "two"],
)
def test_comparisons_of_another_shape_are_malformed(tail: list[Any]) -> None:
    record = [] if tail == [bytes(16)] else [encode_record(member(1))]
    with pytest.raises(MalformedMessage):
        decode_message(cbor2.dumps([4, *record, *tail]))


def test_a_refusal_survives_the_wire_and_is_cut_to_its_length() -> None:
    assert decode_message(encode_refusal(member(1), "too old")) == Refusal(member(1), "too old")
    assert decode_message(encode_refusal(member(1), 1000 * "a")) == Refusal(member(1), 300 * "a")


@pytest.mark.parametrize("tail", [[], [5], ["a\nb"], [301 * "a"], ["a", "b"], [b"a"]])
def test_refusals_of_another_shape_are_malformed(tail: list[Any]) -> None:
    with pytest.raises(MalformedMessage):
        decode_message(cbor2.dumps([5, encode_record(member(1)), *tail]))


def test_a_record_that_was_seen_before_is_the_same_object() -> None:
    first, second = decode_message(encoded(Gossip((member(1),)))), decode_message(encoded(Hello(member(1))))
    assert first.records[0] is second.records[0]


@given(st.binary(max_size=200))
def test_bytes_that_are_no_message_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_message(data)


@given(st.data())
def test_a_damaged_message_is_read_or_malformed(data: st.DataObject) -> None:
    whole = bytearray(encoded(Hello(member(1), (member(2),))))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    kept = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        decode_message(kept)
    except MalformedMessage:
        pass


@pytest.mark.parametrize(
    "value",
    [
        [],
        [1],
        [5, encode_record(member(1))],
        [1, cbor2.loads(encode_record(member(1)))],
        [True, encode_record(member(1))],
        ["1", encode_record(member(1))],
        [[1], encode_record(member(1))],
        [1.0, encode_record(member(1))],
        {1: encode_record(member(1))},
        [1, {}],
        [1, cbor2.CBORTag(28, [])],
        [cbor2.CBORTag(2, b"\x01"), encode_record(member(1))],
        cbor2.CBORTag(55799, [1, encode_record(member(1))]),
    ],
)
def test_other_cbor_is_malformed(value: Any) -> None:
    with pytest.raises(MalformedMessage):
        decode_message(cbor2.dumps(value))


@pytest.mark.parametrize(
    "data",
    [
        encoded(Hello(member(1))) + b"\x00",
        encoded(Hello(member(1)))[:-1],
        b"\x9f" + encoded(Hello(member(1)))[1:] + b"\xff",
        b"\x9b" + b"\xff" * 8,
        b"\x5b\x0f" + b"\xff" * 7,
        b"\x81" * 60000,
        b"\xd8\x23\x61\x28",
        encoded(Gossip((member(1),) * 1000)),
    ],
    ids=["trailing", "cut", "indefinite", "huge list", "huge bytes", "deep", "regex tag", "too long"],
)
def test_bounds_on_the_bytes(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_message(data)


def test_the_longest_message_allowed_is_read() -> None:
    size_bytes = len(encode_record(member(1)))
    records = (member(1),) * ((MESSAGE_LIMIT_BYTES - 4) // (size_bytes + 2))
    assert decode_message(encoded(Gossip(records))) == Gossip(records)


@pytest.mark.parametrize(("members", "times"), [(1, 5), (2, 5), (3, 9), (10, 12), (50, 15), (100, 16), (1000, 19)])
def test_news_is_sent_more_often_among_more(members: int, times: int) -> None:
    assert transmissions(members, 0.25, 0.001) == times


@pytest.mark.parametrize(("members", "loss"), [(20, 0.25), (99, 0.25), (100, 0.0), (200, 0.4)])
def test_so_often_that_hardly_anybody_is_left_out(members: int, loss: float) -> None:
    """A bare epidemic: of 300 changes three may leave somebody out; fifteen would say that the figure is wrong."""
    rng, times = Random(f"spread {members} {loss}"), transmissions(members, loss, 0.01)
    assert sum(reached(members, times, loss, rng) < members for _ in range(300)) <= 15


def test_and_not_much_more_often_than_it_takes() -> None:
    rng, times = Random("too seldom"), transmissions(100, 0.25, 0.01) // 2
    assert sum(reached(100, times, 0.25, rng) < 100 for _ in range(100)) > 50


def reached(members: int, times: int, loss: float, rng: Random, fanout: int = 3) -> int:
    """How many hear of a change, where each who has heard sends it that often, in rounds."""
    left, heard = {0: times}, {0}
    while left:
        for node in list(left):
            for other in rng.sample(range(members - 1), min(fanout, left[node], members - 1)):
                left[node] -= 1
                peer = other + (other >= node)
                if peer not in heard and rng.random() >= loss:
                    heard.add(peer)
                    left[peer] = times
            if not left[node]:
                del left[node]
    return len(heard)


def test_news_is_sent_that_often_and_no_more() -> None:
    queue = RumourQueue(lambda count: count // 5)
    queue.add(member(1))
    for _ in range(6):
        assert queue.take(1100, 30) == [encode_record(member(1))]
    assert not queue
    assert queue.take(1100, 30) == []


def test_the_least_sent_then_the_newest_goes_first() -> None:
    queue = RumourQueue(lambda _: 4)
    room = HEAD_BYTES + len(encode_record(member(1)))
    queue.add(member(1))
    assert queue.take(room, 30) == [encode_record(member(1))]
    queue.add(member(2))
    queue.add(member(3))
    order = [queue.take(room, 30)[0] for _ in range(4)]
    assert order == [encode_record(member(number)) for number in (3, 2, 3, 2)]


def test_a_newer_record_replaces_the_older_and_starts_anew() -> None:
    queue = RumourQueue(lambda _: 4)
    queue.add(member(1))
    queue.take(1100, 1)
    queue.add(member(1, incarnation=1))
    assert len(queue) == 1
    for _ in range(4):
        assert queue.take(1100, 1) == [encode_record(member(1, incarnation=1))]
    assert not queue


def test_a_record_longer_than_the_budget_travels_alone_when_it_must() -> None:
    queue = RumourQueue(lambda _: 1)
    queue.add(member(1))
    queue.add(member(2, zone="z" * 60))
    assert queue.take(50, 1) == []
    assert queue.take(50, 1, at_least=1) == [encode_record(member(2, zone="z" * 60))]
    assert queue.take(1100, 1) == [encode_record(member(1))]


def test_a_forgotten_member_is_no_longer_news() -> None:
    queue = RumourQueue(lambda _: 4)
    queue.add(member(1))
    queue.add(member(2))
    queue.drop(member(2).id)
    queue.drop(member(3).id)
    assert queue.take(1100, 1) == [encode_record(member(1))]
    assert len(queue) == 1


def test_nobody_is_sent_news_of_itself() -> None:
    queue = RumourQueue(lambda _: 1)
    queue.add(member(1))
    queue.add(member(2))
    assert queue.take(1100, 1, but_of=member(2).id) == [encode_record(member(1))]
    assert queue.take(1100, 1) == [encode_record(member(2))]


@given(st.lists(st.integers(1, 8) | st.none(), max_size=60), st.integers(100, 600))
def test_the_budget_holds_and_each_record_is_sent_up_to_the_bound(steps: list[int | None], budget: int) -> None:
    queue = RumourQueue(lambda _: 4)
    sent: dict[bytes, int] = {}
    incarnations: dict[int, int] = {}
    for step in [*steps, *[None] * 40]:
        if step is None:
            taken = queue.take(budget, 1)
            assert sum(map(len, taken)) <= budget
            assert len(set(taken)) == len(taken)
            for record in taken:
                sent[record] = sent.get(record, 0) + 1
        else:
            incarnations[step] = incarnations.get(step, -1) + 1
            queue.add(member(step, incarnation=incarnations[step]))
    assert not queue
    assert all(count <= 4 for count in sent.values())
    for number, incarnation in incarnations.items():
        assert sent[encode_record(member(number, incarnation=incarnation))] == 4


def test_settings_that_would_stop_or_spin_the_machine_are_refused() -> None:
    with pytest.raises(UsageError, match="fanout is 0"):
        GossipSettings(fanout=0)
    with pytest.raises(UsageError, match="interval_s"):
        GossipSettings(interval_s=float("nan"))
