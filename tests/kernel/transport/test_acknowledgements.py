"""When an ACK is due, and what it names."""

from __future__ import annotations

import pytest

from guthi.transport.acknowledgements import MAX_ACK_DELAY_S, QUICK_S, TIMES_NAMED, Acknowledgements
from guthi.transport.wire import MAX_ACK_RANGES, Ack, decode_frames


def taken(acknowledgements: Acknowledgements, now: float = 1.0) -> Ack:
    (frame,) = decode_frames(acknowledgements.take(now))
    assert isinstance(frame, Ack)
    return frame


def with_received(*numbers: int) -> Acknowledgements:
    acknowledgements = Acknowledgements()
    for number in numbers:
        acknowledgements.received(number, True, 1.0)
    return acknowledgements


def test_a_single_packet_may_wait_for_something_to_ride_on() -> None:
    acknowledgements = with_received(0)
    assert acknowledgements.waiting
    assert acknowledgements.deadline == 1.0 + MAX_ACK_DELAY_S


def test_the_second_packet_makes_it_due() -> None:
    acknowledgements = with_received(0)
    acknowledgements.received(1, True, 1.002)
    assert acknowledgements.deadline == 1.002


def test_in_a_quick_exchange_the_second_answer_takes_it_along() -> None:
    acknowledgements = Acknowledgements()
    rode = []
    for number in range(6):
        now = 1.0 + number * QUICK_S / 4
        acknowledgements.received(number, True, now)
        assert acknowledgements.deadline is not None and acknowledgements.deadline > now, "an answer may be near"
        rode.append(acknowledgements.rides(now))
        if rode[-1]:
            acknowledgements.take(now)
    assert rode == [True, False, True, False, True, False]
    assert acknowledgements.deadline == pytest.approx(1.0 + 5 * QUICK_S / 4 + MAX_ACK_DELAY_S)
    assert acknowledgements.rides(acknowledgements.deadline)
    acknowledgements.take(1.1)
    acknowledgements.received(6, True, 1.0 + 3 * QUICK_S)
    assert acknowledgements.rides(1.0 + 3 * QUICK_S), "the exchange has become slow"


def test_what_was_left_behind_does_not_hold_up_the_second_of_a_burst() -> None:
    acknowledgements = with_received(0)
    acknowledgements.take(1.0)
    acknowledgements.received(1, True, 1.0)
    assert not acknowledgements.rides(1.0)
    acknowledgements.received(2, True, 1.0)
    assert acknowledgements.deadline == 1.0 + MAX_ACK_DELAY_S
    acknowledgements.received(3, True, 1.001)
    assert acknowledgements.deadline == 1.001


@pytest.mark.parametrize("number", [0, 5])
def test_a_packet_out_of_order_makes_it_due(number: int) -> None:
    acknowledgements = with_received(3)
    acknowledgements.take(1.0)
    acknowledgements.received(number, True, 2.0)
    assert acknowledgements.deadline == 2.0


def test_a_packet_that_held_acknowledgements_only_asks_for_none_but_is_named() -> None:
    acknowledgements = with_received(0)
    acknowledgements.take(1.0)
    acknowledgements.received(1, False, 1.0)
    assert not acknowledgements.waiting
    assert acknowledgements.deadline is None
    acknowledgements.received(2, True, 1.0)
    assert taken(acknowledgements).ranges == ((0, 2),)


def test_once_taken_nothing_is_due() -> None:
    acknowledgements = with_received(0, 1)
    acknowledgements.take(1.0)
    assert acknowledgements.deadline is None
    assert not acknowledgements.waiting


def test_ranges_are_named_highest_first() -> None:
    assert taken(with_received(0, 1, 5, 3, 9, 4)).ranges == ((9, 9), (3, 5), (0, 1))


def test_the_delay_is_that_of_the_largest_packet() -> None:
    acknowledgements = Acknowledgements()
    acknowledgements.received(1, True, 1.000)
    acknowledgements.received(0, True, 1.003)
    assert taken(acknowledgements, 1.004).delay_us == pytest.approx(4000, abs=1)


def test_of_too_many_ranges_the_highest_are_named() -> None:
    ack = taken(with_received(*range(0, 400, 2)))
    assert len(ack.ranges) == MAX_ACK_RANGES
    assert ack.ranges[0] == (398, 398)


def test_memory_is_bounded_although_nothing_is_ever_acknowledged() -> None:
    acknowledgements = Acknowledgements()
    for number in range(0, 10_000, 2):
        acknowledgements.received(number, False, 1.0)
    assert len(acknowledgements._received) <= MAX_ACK_RANGES


def test_a_packet_is_named_again_and_again_and_then_no_more() -> None:
    acknowledgements = with_received(0)
    naming = 0
    for number in range(2, 60, 2):  # every other packet is lost
        naming += any(lowest <= 0 <= highest for lowest, highest in taken(acknowledgements).ranges)
        acknowledgements.received(number, True, 1.0)
    assert naming == TIMES_NAMED
    assert len(taken(acknowledgements).ranges) == TIMES_NAMED


def test_a_very_late_packet_is_named_at_least_once() -> None:
    acknowledgements = Acknowledgements()
    for number in range(1, 30):
        acknowledgements.received(number, True, 1.0)
        acknowledgements.take(1.0)
    acknowledgements.received(0, True, 1.0)
    assert taken(acknowledgements).ranges[-1] == (0, 0)


def test_late_packets_alone_never_empty_an_ack() -> None:
    acknowledgements = with_received(1000)
    for number in range(100):
        acknowledgements.received(number, True, 1.0)
        assert taken(acknowledgements).ranges[0] == (1000, 1000)
