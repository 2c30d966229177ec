"""From pieces to messages: once each, in order, and never more than was granted."""

from __future__ import annotations

import mmap
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi.errors import MalformedMessage
from guthi.transport.events import MessageReceived
from guthi.transport.inbox import WINDOW_BYTES, Inbox
from guthi.transport.outbox import (
    COUNTED_MESSAGE_BYTES,
    INITIAL_BULK_CREDIT,
    MAX_CHANNELS,
    MESSAGE_COST_BYTES,
    UNORDERED,
)
from guthi.transport.wire import Abandon, Credit, Fragment, Message, decode_frames

LIMIT = 1 << 20
BULK = COUNTED_MESSAGE_BYTES + 1


class Receiver:
    """An inbox and all that it delivered."""

    def __init__(self) -> None:
        self.inbox = Inbox(LIMIT)
        self.deliveries: list[MessageReceived] = []

    def message(self, channel: int, sequence: int, body: bytes) -> None:
        self.inbox.message(Message(channel, sequence, memoryview(body)), self.deliveries)

    def fragment(self, channel: int, sequence: int, total: int, offset: int, body: bytes) -> None:
        self.inbox.fragment(Fragment(channel, sequence, total, offset, memoryview(body)), self.deliveries)

    def abandoned(self, channel: int, sequence: int, total: int) -> None:
        self.inbox.abandoned(Abandon(channel, sequence, total), self.deliveries)

    @property
    def bodies(self) -> list[bytes]:
        return [bytes(body) for _, body in self.deliveries]

    def granted(self) -> Credit:
        (frame,) = decode_frames(self.inbox.credit_frame())
        assert isinstance(frame, Credit)
        return frame


# ---- once, in order


def test_an_ordered_channel_waits_for_what_is_missing() -> None:
    receiver = Receiver()
    for sequence in (2, 1):
        receiver.message(5, sequence, b"%d" % sequence)
    assert receiver.deliveries == []
    receiver.message(5, 0, b"0")
    assert receiver.bodies == [b"0", b"1", b"2"]


def test_an_unordered_channel_waits_for_nothing() -> None:
    receiver = Receiver()
    for sequence in (2, 0, 1):
        receiver.message(UNORDERED, sequence, b"%d" % sequence)
    assert receiver.bodies == [b"2", b"0", b"1"]


def test_channels_do_not_wait_for_one_another() -> None:
    receiver = Receiver()
    receiver.message(2, 1, b"late")
    receiver.message(3, 0, b"on time")
    assert receiver.bodies == [b"on time"]


@given(st.permutations(range(6)), st.lists(st.integers(0, 5), max_size=10), st.sampled_from([UNORDERED, 2]))
def test_each_message_is_delivered_once_whatever_comes_again(order: list[int], again: list[int], channel: int) -> None:
    receiver = Receiver()
    for sequence in [*order[:3], *again, *order, *again]:
        receiver.message(channel, sequence, b"%d" % sequence)
    assert sorted(receiver.bodies) == [b"%d" % sequence for sequence in range(6)]
    if channel:
        assert receiver.bodies == sorted(receiver.bodies)


@given(st.integers(1, 300), st.integers(0, 2**32), st.sampled_from([UNORDERED, 2]))
def test_fragments_that_overlap_and_repeat_make_the_message_once(size: int, seed: int, channel: int) -> None:
    body = Random(seed).randbytes(size)
    receiver, random = Receiver(), Random(seed)
    for _ in range(random.randrange(20)):
        start = random.randrange(size)
        receiver.fragment(channel, 0, size, start, body[start : start + 1 + random.randrange(50)])
    for start in range(0, size, 7):
        receiver.fragment(channel, 0, size, start, body[start : start + 9])
    assert receiver.bodies == [body]


def test_a_message_begun_in_fragments_may_come_whole() -> None:
    receiver = Receiver()
    receiver.fragment(2, 0, 6, 0, b"abc")
    receiver.message(2, 0, b"abcdef")
    receiver.fragment(2, 0, 6, 3, b"def")
    assert receiver.bodies == [b"abcdef"]
    assert receiver.granted().counted_bytes == WINDOW_BYTES + 6 + MESSAGE_COST_BYTES


def test_a_message_that_waits_does_not_keep_its_datagram_alive() -> None:
    receiver = Receiver()
    datagram = memoryview(bytearray(60_000))
    receiver.inbox.message(Message(2, 1, datagram[:1]), receiver.deliveries)
    (channel,) = receiver.inbox._channels.values()
    assert isinstance(channel.waiting[1], bytes)


# ---- given up


def test_those_behind_a_message_given_up_are_delivered() -> None:
    receiver = Receiver()
    receiver.message(2, 1, b"one")
    receiver.abandoned(2, 0, 0)
    receiver.abandoned(2, 3, 0)
    receiver.message(2, 2, b"two")
    receiver.message(2, 4, b"four")
    assert receiver.bodies == [b"one", b"two", b"four"]


def test_fragments_of_a_message_given_up_are_not_listened_to() -> None:
    receiver = Receiver()
    receiver.fragment(2, 0, 6, 0, b"abc")
    receiver.abandoned(2, 0, 6)
    receiver.fragment(2, 0, 6, 0, b"abcdef")
    assert receiver.bodies == []
    assert not receiver.inbox._partial


def test_giving_up_what_is_complete_but_waits_changes_nothing() -> None:
    receiver = Receiver()
    receiver.message(2, 1, b"one")
    receiver.abandoned(2, 1, 3)
    receiver.message(2, 0, b"zero")
    assert receiver.bodies == [b"zero", b"one"]


@pytest.mark.parametrize("channel", [UNORDERED, 2])
@pytest.mark.parametrize("size", [10, BULK])
@pytest.mark.parametrize("begun", [True, False])
def test_the_credit_of_what_is_given_up_comes_back(channel: int, size: int, begun: bool) -> None:
    receiver = Receiver()
    before = receiver.granted()
    for sequence in range(100):
        if begun:
            receiver.fragment(channel, sequence, size, 0, b"x")
        receiver.abandoned(channel, sequence, size)
        receiver.granted()
    gained = receiver.granted()
    if size == BULK:
        assert gained.bulk_messages - before.bulk_messages == 100
    else:
        assert gained.counted_bytes - before.counted_bytes == 100 * (size + MESSAGE_COST_BYTES)


def test_any_number_given_up_behind_a_missing_one_is_no_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guthi.transport.inbox.MAX_GAPS", 10)
    receiver = Receiver()
    for sequence in range(1, 1000):
        receiver.abandoned(2, sequence, 0)
    receiver.message(2, 0, b"at last")
    receiver.message(2, 1000, b"next")
    assert receiver.bodies == [b"at last", b"next"]


def test_any_number_delivered_beyond_a_missing_one_is_no_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guthi.transport.inbox.MAX_GAPS", 10)
    receiver = Receiver()
    for sequence in range(1, 1000):
        receiver.message(UNORDERED, sequence, b"")
    assert len(receiver.deliveries) == 999


def test_too_many_gaps_are_a_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guthi.transport.inbox.MAX_GAPS", 10)
    receiver = Receiver()
    with pytest.raises(MalformedMessage, match="gaps"):
        for sequence in range(1, 24, 2):
            receiver.message(UNORDERED, sequence, b"")


def test_gaps_are_counted_over_all_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guthi.transport.inbox.MAX_GAPS", 10)
    receiver = Receiver()
    with pytest.raises(MalformedMessage, match="gaps"):
        for channel in range(2, 14):
            receiver.abandoned(channel, 1, 0)  # which costs no credit


def test_gaps_that_close_make_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guthi.transport.inbox.MAX_GAPS", 10)
    receiver = Receiver()
    for channel in range(2, 100):
        receiver.abandoned(channel, 1, 0)
        receiver.message(channel, 0, b"")
    assert len(receiver.deliveries) == 98


def test_scattered_pieces_are_a_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guthi.transport.inbox.MAX_PIECES", 10)
    receiver = Receiver()
    with pytest.raises(MalformedMessage, match="pieces"):
        for number in range(11):
            receiver.fragment(2, number % 3, 100, 2 * number, b"x")


@pytest.mark.parametrize("end", ["fragments", "message", "abandoned"])
def test_pieces_of_what_is_over_do_not_count(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    monkeypatch.setattr("guthi.transport.inbox.MAX_PIECES", 10)
    receiver = Receiver()
    for sequence in range(20):
        for start in range(0, 20, 2):
            receiver.fragment(2, sequence, 20, start, b"x")
        if end == "fragments":
            receiver.fragment(2, sequence, 20, 0, bytes(20))
        elif end == "message":
            receiver.message(2, sequence, bytes(20))
        else:
            receiver.abandoned(2, sequence, 20)
    receiver.message(2, 20, b"next")
    assert receiver.bodies[-1] == b"next"


# ---- memory


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_a_length_that_is_only_claimed_takes_no_memory() -> None:
    receiver = Receiver()
    receiver.inbox = Inbox(1 << 30)
    before_bytes = resident_bytes()
    for sequence in range(INITIAL_BULK_CREDIT):
        receiver.fragment(2, sequence, 1 << 30, 0, b"x")
    assert resident_bytes() - before_bytes < 64 << 20


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


@pytest.mark.parametrize("total", [1 << 62, (1 << 64) - 1])
def test_a_message_that_no_memory_can_hold_is_a_breach(total: int) -> None:
    receiver = Receiver()
    receiver.inbox = Inbox(1 << 64)
    with pytest.raises(MalformedMessage, match="memory"):
        receiver.fragment(2, 0, total, 0, b"x")


# ---- credit


def test_credit_is_announced_when_half_a_window_is_used_up() -> None:
    receiver = Receiver()
    body = bytes(COUNTED_MESSAGE_BYTES)
    announced_after = 0
    for sequence in range(100):
        receiver.message(2, sequence, body)
        if receiver.inbox.credit_is_due:
            receiver.inbox.credit_frame()
            announced_after = sequence + 1
            break
    assert announced_after == WINDOW_BYTES // 2 // (COUNTED_MESSAGE_BYTES + MESSAGE_COST_BYTES) + 1
    assert not receiver.inbox.credit_is_due


def test_a_place_is_announced_as_soon_as_it_is_free() -> None:
    receiver = Receiver()
    receiver.fragment(2, 0, BULK, 0, bytes(BULK))
    assert receiver.inbox.credit_is_due
    assert decode_frames(receiver.inbox.credit_frame()) == [Credit(WINDOW_BYTES, INITIAL_BULK_CREDIT + 1)]


def test_what_waits_for_its_turn_keeps_its_credit() -> None:
    receiver = Receiver()
    receiver.message(2, 1, bytes(1000))
    assert receiver.granted().counted_bytes == WINDOW_BYTES


def test_a_peer_that_takes_more_bytes_than_granted_is_in_breach() -> None:
    receiver = Receiver()
    cost = COUNTED_MESSAGE_BYTES + MESSAGE_COST_BYTES
    for sequence in range(1, WINDOW_BYTES // cost + 1):
        receiver.fragment(2, sequence, COUNTED_MESSAGE_BYTES, 0, b"x")
    with pytest.raises(MalformedMessage, match="credit"):
        receiver.fragment(2, 10_000, COUNTED_MESSAGE_BYTES, 0, b"x")


def test_a_peer_that_takes_more_places_than_granted_is_in_breach() -> None:
    receiver = Receiver()
    for sequence in range(INITIAL_BULK_CREDIT):
        receiver.fragment(2, sequence, BULK, 0, b"x")
    with pytest.raises(MalformedMessage, match="credit"):
        receiver.fragment(3, 0, BULK, 0, b"x")


def test_empty_messages_that_wait_are_bounded() -> None:
    receiver = Receiver()
    with pytest.raises(MalformedMessage, match="credit"):
        for sequence in range(1, WINDOW_BYTES // MESSAGE_COST_BYTES + 2):
            receiver.message(2, sequence, b"")


# ---- breaches


def test_a_message_over_the_limit_is_a_breach() -> None:
    with pytest.raises(MalformedMessage, match="limit"):
        Receiver().fragment(2, 0, LIMIT + 1, 0, b"x")
    small = Receiver()
    small.inbox = Inbox(10)
    with pytest.raises(MalformedMessage, match="limit"):
        small.message(2, 0, bytes(11))


def test_fragments_that_disagree_are_a_breach() -> None:
    receiver = Receiver()
    receiver.fragment(2, 0, 10, 0, b"x")
    with pytest.raises(MalformedMessage, match="disagree"):
        receiver.fragment(2, 0, 11, 0, b"x")
    with pytest.raises(MalformedMessage, match="disagree"):
        receiver.message(2, 0, b"x")


def test_a_surrender_that_disagrees_is_a_breach() -> None:
    receiver = Receiver()
    receiver.fragment(2, 0, 10, 0, b"x")
    with pytest.raises(MalformedMessage, match="disagree"):
        receiver.abandoned(2, 0, 0)


def test_too_many_channels_are_a_breach() -> None:
    receiver = Receiver()
    for channel in range(MAX_CHANNELS):
        receiver.abandoned(channel, 0, 0)
    with pytest.raises(MalformedMessage, match="channels"):
        receiver.abandoned(MAX_CHANNELS, 0, 0)
