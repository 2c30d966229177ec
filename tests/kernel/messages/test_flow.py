"""One direction of a stream: the sender never overruns, never waits for ever, and what is held stays bounded."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi.errors import MalformedMessage
from guthi.messages.flow import INITIAL_WINDOW_BYTES, Credit, Inflow, Outflow

WINDOW = 100_000
WAIT = -1


class Lane:
    """An Outflow and an Inflow with messages on their way, in order, each way."""

    def __init__(self, costs: list[int], window_bytes: int = WINDOW) -> None:
        self.out, self.into = Outflow(), Inflow(window_bytes)
        self.to_send = deque(costs)
        self.forth: deque[int] = deque()
        self.back: deque[Credit] = deque([self.into.credit()])
        self.held: deque[int] = deque()
        self.words = 0  # CREDITs and WAITs

    def send(self) -> bool:
        if not self.to_send:
            return False
        if not self.out.takes(self.to_send[0]):
            tells = self.out.waits()
            if tells:
                self.words += 1
                self.forth.append(WAIT)
            return tells
        self.out.sent(self.to_send[0])
        self.forth.append(self.to_send.popleft())
        return True

    def arrive(self) -> bool:
        if not self.forth:
            return False
        cost = self.forth.popleft()
        if cost == WAIT:
            self.told(self.into.waited_for())
        else:
            self.into.arrived(cost)
            self.held.append(cost)
        return True

    def consume(self) -> bool:
        if not self.held:
            return False
        self.told(self.into.consumed(self.held.popleft()))
        return True

    def hear(self) -> bool:
        if not self.back:
            return False
        self.out.granted(self.back.popleft())
        return True

    def told(self, credit: Credit | None) -> None:
        if credit is not None:
            self.words += 1
            self.back.append(Credit.unpack(credit.pack()))


COSTS = st.lists(
    st.one_of(st.integers(64, 2000), st.integers(20_000, 90_000), st.integers(90_000, 400_000)), max_size=60
)


@given(COSTS, st.lists(st.sampled_from(["send", "arrive", "consume", "hear"]), max_size=300))
def test_whatever_the_order_of_events_all_passes_within_the_bound(costs: list[int], events: list[str]) -> None:
    lane = Lane(costs)
    largest = max(costs, default=0)
    for event in events:
        getattr(lane, event)()
        assert lane.into.held_bytes == sum(lane.held) <= max(WINDOW, largest)
    while lane.send() | lane.arrive() | lane.consume() | lane.hear():
        assert sum(lane.held) <= max(WINDOW, largest)
    assert not lane.to_send  # no value waits for ever although all that came was consumed


def test_nothing_is_told_of_small_change() -> None:
    lane = Lane([1000] * 10_000)
    lane.hear()
    while lane.send() | lane.arrive() | lane.consume() | lane.hear():
        pass
    assert not lane.to_send
    assert lane.words <= 10_000 * 1000 // (WINDOW // 2)


def test_a_stalled_reader_stops_the_sender() -> None:
    lane = Lane([1000] * 1000)
    while lane.send() | lane.arrive() | lane.hear():
        pass
    assert sum(lane.held) == WINDOW
    assert lane.words == 1  # that a value waits


def test_a_value_larger_than_the_window_goes_alone() -> None:
    lane = Lane([10, 5 * WINDOW, 10])
    lane.hear()
    while lane.send() | lane.arrive():
        pass
    assert list(lane.held) == [10]
    lane.consume()
    assert lane.hear()
    while lane.send() | lane.arrive():
        pass
    assert list(lane.held) == [5 * WINDOW]


def test_before_the_first_credit_the_window_is_the_smallest_there_is() -> None:
    out = Outflow()
    out.sent(INITIAL_WINDOW_BYTES)
    assert not out.takes(1)
    out.granted(Credit(0, INITIAL_WINDOW_BYTES + 1))
    assert out.takes(1)


def test_an_overrun_is_a_breach() -> None:
    into = Inflow(WINDOW)
    into.arrived(WINDOW - 1)
    with pytest.raises(MalformedMessage, match="overran the window"):
        into.arrived(2)
    into.arrived(1)
    into.finished()
    with pytest.raises(MalformedMessage, match="after the end"):
        into.arrived(1)


@pytest.mark.parametrize("credit", [Credit(11, WINDOW), Credit(4, WINDOW), Credit(10, 100)])
def test_a_credit_that_cannot_be_is_a_breach(credit: Credit) -> None:
    out = Outflow()
    out.sent(5)
    out.granted(Credit(5, WINDOW))
    out.sent(5)
    with pytest.raises(MalformedMessage):
        out.granted(credit)


@given(st.binary(max_size=40).filter(lambda body: len(body) != 16))
def test_a_credit_of_another_length_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedMessage):
        Credit.unpack(body)
