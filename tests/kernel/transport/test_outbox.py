"""What the next datagrams take along: order, credit, places, giving up, and that nobody starves."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi.api import Buffer
from guthi.errors import UsageError
from guthi.transport.outbox import (
    COUNTED_MESSAGE_BYTES,
    INITIAL_BULK_CREDIT,
    INITIAL_COUNTED_CREDIT_BYTES,
    MESSAGE_COST_BYTES,
    UNORDERED,
    UNORDERED_BULK,
    Carried,
    Outbox,
    Piece,
)
from guthi.transport.wire import Abandon, Fragment, Frame, Message, decode_frames

ROOM = 1171
BULK = COUNTED_MESSAGE_BYTES + 1


def datagram(outbox: Outbox, room: int = ROOM) -> tuple[list[Frame], list[Carried]]:
    """The frames of one datagram, and what they carry."""
    frames: list[Buffer] = []
    carried: list[Carried] = []
    outbox.fill(room, frames, carried)
    payload = b"".join(frames)
    assert len(payload) <= room
    return decode_frames(payload), carried


def drained(outbox: Outbox) -> tuple[list[Frame], list[Carried]]:
    """All datagrams until nothing may leave."""
    frames: list[Frame] = []
    carried: list[Carried] = []
    while outbox.ready:
        more, of_it = datagram(outbox)
        assert more, "ready, yet nothing came"
        frames += more
        carried += of_it
    return frames, carried


def names(frames: list[Frame]) -> list[tuple[str, int, int]]:
    return [
        (type(frame).__name__, frame.channel, frame.sequence)
        for frame in frames
        if isinstance(frame, Message | Fragment | Abandon)
    ]


def acknowledge(outbox: Outbox, carried: list[Carried]) -> None:
    for each in carried:
        outbox.acknowledged(each)


def lose(outbox: Outbox, carried: list[Carried]) -> None:
    for each in carried:
        outbox.lost(each)


# ---- pieces


def test_short_messages_share_a_datagram_in_order() -> None:
    outbox = Outbox()
    for body in (b"one", b"", b"three"):
        outbox.put([body], 2)
    frames, _ = datagram(outbox)
    assert [(frame.sequence, bytes(frame.body)) for frame in frames if isinstance(frame, Message)] == [
        (0, b"one"),
        (1, b""),
        (2, b"three"),
    ]
    assert outbox.empty and not outbox.ready


@pytest.mark.parametrize("size", [ROOM - 17, ROOM - 16, 5000, COUNTED_MESSAGE_BYTES, BULK, 200_000])
def test_pieces_make_the_message(size: int) -> None:
    outbox, body = Outbox(), bytes(range(251)) * (size // 251 + 1)
    body = body[:size]
    outbox.put([body[:7], memoryview(body)[7:100], body[100:]], 2)
    got = bytearray(size)
    frames, _ = drained(outbox)
    for frame in frames:
        assert isinstance(frame, Message | Fragment)
        offset = frame.offset if isinstance(frame, Fragment) else 0
        got[offset : offset + len(frame.body)] = frame.body
    assert got == body
    assert (len(frames) == 1) == (size <= ROOM - 17)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.data())
def test_any_piece_can_be_cut_out_of_any_parts(sizes: list[int], data: st.DataObject) -> None:
    body = bytes(range(sum(sizes)))
    stops = list(accumulate(sizes))
    parts = [body[stop - size : stop] for size, stop in zip(sizes, stops, strict=True)]
    message = Outbox().put(parts, 2)
    stop = data.draw(st.integers(0, len(body)))
    start = data.draw(st.integers(0, stop))
    assert b"".join(message.read(start, stop)) == body[start:stop]


class CountedParts(list[Buffer]):
    """Parts that count how often one is looked at."""

    looks = 0

    def __iter__(self) -> Iterator[Buffer]:
        for part in super().__iter__():
            self.looks += 1
            yield part

    def __getitem__(self, index: Any) -> Any:
        self.looks += 1
        return super().__getitem__(index)


def test_each_of_many_parts_is_looked_at_a_few_times_however_many_datagrams_they_take() -> None:
    parts = CountedParts([bytes(100)] * 10_000)
    outbox = Outbox()
    outbox.put(parts, 2)
    _, carried = drained(outbox)
    assert len(carried) > 500
    assert parts.looks < 4 * len(parts)


def test_what_was_lost_is_sent_again_before_what_is_new() -> None:
    outbox = Outbox()
    outbox.put([bytes(3000)], 2)
    _, first = datagram(outbox)
    lose(outbox, first)
    outbox.put([b"new"], 3)
    frames, _ = datagram(outbox)
    assert isinstance(frames[0], Fragment) and frames[0].offset == 0


def test_lost_pieces_that_lie_together_are_sent_together() -> None:
    outbox = Outbox()
    outbox.put([bytes(1000)], 2)
    carried: list[Carried] = []
    while outbox.ready:
        carried += datagram(outbox, 300)[1]
    assert len(carried) > 3
    lose(outbox, carried)
    frames, _ = datagram(outbox)
    assert names(frames) == [("Message", 2, 0)]


def test_what_is_lost_in_one_copy_and_has_arrived_in_another_is_not_sent_again() -> None:
    outbox = Outbox()
    outbox.put([bytes(3000)], 2)
    _, first = datagram(outbox)
    lose(outbox, first)  # as a probe does
    _, again = datagram(outbox)
    drained(outbox)
    acknowledge(outbox, [again[0]])
    lose(outbox, first)
    assert not outbox.ready and outbox.empty


def test_bytes_acknowledged_in_two_copies_count_once() -> None:
    outbox = Outbox()
    message = outbox.put([bytes(3000)], 2)
    _, first = datagram(outbox)
    lose(outbox, first)
    drained(outbox)
    acknowledge(outbox, first * 3)
    piece = first[0]
    assert isinstance(piece, Piece)
    assert outbox.buffered_bytes == message.unacknowledged_bytes == 3000 - (piece.stop - piece.start)
    outbox.abandon(message)
    assert names(datagram(outbox)[0]) == [("Abandon", 2, 0)]
    assert outbox.buffered_bytes == 0


def test_buffered_bytes_are_those_not_acknowledged() -> None:
    outbox = Outbox()
    outbox.put([bytes(10), bytes(20)], 2)
    outbox.put([bytes(70_000)], 0)
    assert outbox.buffered_bytes == 70_030
    _, carried = drained(outbox)
    assert outbox.buffered_bytes == 70_030
    acknowledge(outbox, carried)
    assert outbox.buffered_bytes == 0


def test_one_channel_too_many_is_refused_and_known_ones_still_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guthi.transport.outbox.MAX_CHANNELS", 10)
    outbox = Outbox()
    for channel in range(2, 12):
        outbox.put([], channel)
    with pytest.raises(UsageError, match="channels"):
        outbox.put([b"x"], 12)
    assert outbox.buffered_bytes == 0
    outbox.put([b"x"], 2)


# ---- starvation


def test_a_short_message_behind_a_long_one_leaves_with_the_next_or_next_but_one_datagram() -> None:
    outbox = Outbox()
    outbox.put([bytes(64 * 1024 * 1024)], UNORDERED)
    for turn in range(5):
        for _ in range(turn + 7):
            datagram(outbox)
        outbox.put([b"urgent"], 2)
        frames = datagram(outbox)[0] + datagram(outbox)[0]
        assert ("Message", 2, turn) in names(frames)


def test_bulk_is_not_starved_by_a_flood_of_short_messages() -> None:
    outbox = Outbox()
    outbox.put([bytes(10_000_000)], UNORDERED)
    bulk_bytes = 0
    for _ in range(100):
        for _ in range(20):
            outbox.put([bytes(100)], 2)
        bulk_bytes += sum(len(frame.body) for frame in datagram(outbox)[0] if isinstance(frame, Fragment))
    assert bulk_bytes > 40 * ROOM


def test_bulk_messages_take_turns() -> None:
    outbox = Outbox()
    for channel in (2, 3, 4):
        outbox.put([bytes(100_000)], channel)
    channels = [datagram(outbox)[0][0].channel for _ in range(6)]  # type: ignore[union-attr]
    assert channels == [2, 3, 4, 2, 3, 4]


def test_a_bulk_message_without_a_place_does_not_stop_those_that_have_one() -> None:
    outbox = Outbox()
    for _ in range(INITIAL_BULK_CREDIT):
        outbox.put([bytes(BULK)], UNORDERED)
    outbox.put([bytes(BULK)], UNORDERED)
    frames, _ = drained(outbox)
    sequences = {frame.sequence for frame in frames if isinstance(frame, Fragment)}
    assert sequences == set(range(INITIAL_BULK_CREDIT))
    assert sum(len(frame.body) for frame in frames if isinstance(frame, Fragment)) == INITIAL_BULK_CREDIT * BULK
    outbox.grant(0, INITIAL_BULK_CREDIT + 1)
    assert outbox.ready


# ---- credit


def test_counted_messages_leave_as_long_as_credit_lasts() -> None:
    outbox = Outbox()
    cost = 1000 + MESSAGE_COST_BYTES
    for _ in range(2 * INITIAL_COUNTED_CREDIT_BYTES // cost):
        outbox.put([bytes(1000)], 0)
    frames, _ = drained(outbox)
    assert len(frames) == INITIAL_COUNTED_CREDIT_BYTES // cost
    assert not outbox.empty
    outbox.grant(INITIAL_COUNTED_CREDIT_BYTES + cost, 0)
    assert len(drained(outbox)[0]) == 1


def test_empty_messages_cost_credit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guthi.transport.outbox.INITIAL_COUNTED_CREDIT_BYTES", 100 * MESSAGE_COST_BYTES)
    outbox = Outbox()
    for _ in range(105):
        outbox.put([], 0)
    assert len(drained(outbox)[0]) == 100


def test_retransmission_needs_no_credit() -> None:
    outbox = Outbox()
    for _ in range(5000):
        outbox.put([bytes(1000)], 0)
    _, carried = drained(outbox)
    assert not outbox.ready
    lose(outbox, carried[:3])
    assert len(drained(outbox)[0]) == 3


def test_credit_never_falls() -> None:
    outbox = Outbox()
    outbox.grant(0, 0)
    outbox.put([b"x"], 0)
    outbox.put([bytes(BULK)], 0)
    frames, _ = drained(outbox)
    assert sum(len(frame.body) for frame in frames if isinstance(frame, Message | Fragment)) == 1 + BULK


# ---- order behind bulk


def test_what_follows_a_bulk_message_on_its_channel_waits_until_it_has_left() -> None:
    outbox = Outbox()
    outbox.put([bytes(BULK)], 2)
    outbox.put([b"after"], 2)
    outbox.put([b"elsewhere"], 3)
    frames, _ = drained(outbox)
    order = names(frames)
    assert order.index(("Message", 3, 0)) < 2
    assert order.index(("Message", 2, 1)) > max(at for at, each in enumerate(order) if each == ("Fragment", 2, 0))


def test_unordered_bulk_holds_nobody_up() -> None:
    outbox = Outbox()
    outbox.put([bytes(BULK)], UNORDERED)
    outbox.put([b"short"], UNORDERED)
    outbox.put([bytes(BULK)], UNORDERED)
    order = names(datagram(outbox)[0] + datagram(outbox)[0] + datagram(outbox)[0])
    assert ("Message", UNORDERED, 0) in order
    assert {("Fragment", UNORDERED_BULK, 0), ("Fragment", UNORDERED_BULK, 1)} <= set(order)


# ---- giving up


def test_a_message_given_up_before_it_left_is_surrendered_without_credit() -> None:
    outbox = Outbox()
    outbox.abandon(outbox.put([bytes(500)], 2))
    frames, _ = drained(outbox)
    assert frames == [Abandon(2, 0, 0)]
    assert outbox.empty


def test_a_message_given_up_under_way_names_the_credit_it_took() -> None:
    outbox = Outbox()
    message = outbox.put([bytes(5000)], 2)
    _, carried = datagram(outbox)
    outbox.abandon(message)
    lose(outbox, carried)
    frames, _ = drained(outbox)
    assert frames == [Abandon(2, 0, 5000)]


def test_a_lost_surrender_is_repeated() -> None:
    outbox = Outbox()
    outbox.abandon(outbox.put([b"x"], 2))
    _, carried = drained(outbox)
    lose(outbox, carried)
    assert drained(outbox)[0] == [Abandon(2, 0, 0)]


def test_what_has_arrived_cannot_be_given_up() -> None:
    outbox = Outbox()
    message = outbox.put([b"x"], 2)
    acknowledge(outbox, drained(outbox)[1])
    outbox.abandon(message)
    outbox.abandon(message)
    assert outbox.empty


def test_giving_up_twice_says_so_once() -> None:
    outbox = Outbox()
    message = outbox.put([b"x"], 2)
    outbox.abandon(message)
    outbox.abandon(message)
    assert len(drained(outbox)[0]) == 1


def test_a_lost_message_that_was_given_up_leaves_nothing_ready() -> None:
    outbox = Outbox()
    message = outbox.put([b"x"], 2)
    lose(outbox, drained(outbox)[1])
    outbox.abandon(message)
    assert drained(outbox)[0] == [Abandon(2, 0, 1)]


@pytest.mark.parametrize("datagrams_before", [0, 3])
def test_giving_up_a_bulk_message_lets_its_channel_go_on(datagrams_before: int) -> None:
    outbox = Outbox()
    message = outbox.put([bytes(10 * BULK)], 2)
    outbox.put([b"a"], 2)
    second = outbox.put([bytes(BULK)], 2)
    outbox.put([b"b"], 2)
    for _ in range(datagrams_before):
        datagram(outbox)
    outbox.abandon(second)
    outbox.abandon(message)
    outbox.abandon(message)
    order = names(drained(outbox)[0])
    assert sorted(order) == [("Abandon", 2, 0), ("Abandon", 2, 2), ("Message", 2, 1), ("Message", 2, 3)]
    assert outbox.empty


def test_a_bulk_message_given_up_while_it_waits_for_a_place_frees_its_channel() -> None:
    outbox = Outbox()
    for _ in range(INITIAL_BULK_CREDIT):
        outbox.put([bytes(BULK)], UNORDERED)
    waiting = outbox.put([bytes(BULK)], 2)
    outbox.put([b"behind"], 2)
    assert ("Message", 2, 1) not in names(drained(outbox)[0])
    outbox.abandon(waiting)
    assert set(names(drained(outbox)[0])) == {("Abandon", 2, 0), ("Message", 2, 1)}
    assert outbox.empty


def test_giving_up_a_message_wholly_sent_leaves_later_bulk_of_its_channel_alone() -> None:
    outbox = Outbox()
    first = outbox.put([bytes(BULK)], 2)
    drained(outbox)
    outbox.put([bytes(BULK)], 2)
    outbox.put([b"behind"], 2)
    outbox.abandon(first)
    order = names(drained(outbox)[0])
    assert order[-1] == ("Message", 2, 2)
