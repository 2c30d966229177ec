"""What is new and in which order it is told: once, in order, and never waiting for ever."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.broadcast.bare import an_id

from guthi.broadcast import arrivals as module
from guthi.broadcast.arrivals import Arrivals
from guthi.broadcast.messages import MessageId, Payload


def a_payload(sequence: int, floor: int = 1, *, life: int = 1, origin: int = 0, size_bytes: int = 0) -> Payload:
    return Payload(MessageId(an_id(origin), life, sequence), floor, False, "topic", bytes(size_bytes))


def some_arrivals(order_s: float = 5.0, idle_s: float = 600.0, held_bytes: int = 10_000) -> Arrivals:
    return Arrivals(order_s, idle_s, held_bytes)


def numbers(payloads: list[Payload]) -> list[int]:
    return [payload.id.sequence for payload in payloads]


@given(st.permutations(range(1, 12)))
def test_all_are_told_in_order_however_they_come(order: list[int]) -> None:
    arrivals, told = some_arrivals(), []
    for sequence in order:
        assert not arrivals.has(a_payload(sequence).id)
        told += numbers(arrivals.take(a_payload(sequence), 0.0))
        assert arrivals.has(a_payload(sequence).id)
    assert told == sorted(order)
    assert arrivals.deadline is None


def test_after_a_while_it_goes_on_and_tells_the_missing_one_when_it_comes() -> None:
    arrivals = some_arrivals()
    assert numbers(arrivals.take(a_payload(1), 0.0)) == [1]
    assert arrivals.take(a_payload(3), 1.0) == arrivals.take(a_payload(4), 2.0) == []
    assert arrivals.deadline == 6.0
    assert arrivals.on_deadline(5.9) == []
    assert numbers(arrivals.on_deadline(6.0)) == [3, 4]
    assert not arrivals.has(a_payload(2).id)
    assert numbers(arrivals.take(a_payload(2), 7.0)) == [2]
    assert arrivals.has(a_payload(2).id)


def test_nobody_waits_for_what_the_origin_has_no_more() -> None:
    arrivals = some_arrivals()
    assert numbers(arrivals.take(a_payload(57, floor=57), 0.0)) == [57]
    assert arrivals.has(a_payload(56).id)
    arrivals.take(a_payload(59, floor=57), 1.0)
    assert numbers(arrivals.take(a_payload(61, floor=60), 2.0)) == [59]
    assert arrivals.has(a_payload(58).id) and not arrivals.has(a_payload(60).id)
    assert numbers(arrivals.take(a_payload(60, floor=58), 2.0)) == [60, 61]


def test_each_life_is_a_stream_of_its_own() -> None:
    arrivals = some_arrivals()
    assert arrivals.take(a_payload(1), 0.0)
    assert not arrivals.has(a_payload(1, life=2).id) and not arrivals.has(a_payload(1, origin=1).id)
    assert arrivals.take(a_payload(1, life=2), 0.0)


def test_too_much_does_not_wait() -> None:
    arrivals = some_arrivals(held_bytes=1000)
    assert arrivals.take(a_payload(2, size_bytes=600), 0.0) == []
    assert numbers(arrivals.take(a_payload(4, size_bytes=600), 0.0)) == [2]
    assert numbers(arrivals.take(a_payload(1), 0.0)) == [1]
    assert numbers(arrivals.take(a_payload(3), 0.0)) == [3, 4]


def test_a_number_far_ahead_costs_no_memory() -> None:
    arrivals = some_arrivals()
    arrivals.take(a_payload(2**63), 0.0)
    assert numbers(arrivals.on_deadline(5.0)) == [2**63]
    stream = next(iter(arrivals._streams.values()))
    assert len(stream.late) == 1
    arrivals.take(a_payload(2**64 - 1), 5.0)
    arrivals.on_deadline(10.0)
    assert len(stream.late) == 2


def test_many_gaps_cost_bounded_memory() -> None:
    arrivals = some_arrivals(order_s=0.0)
    for sequence in range(3, 10 * module.MOST_GAPS, 2):
        arrivals.take(a_payload(sequence), 0.0)
        arrivals.on_deadline(0.0)
    (stream,) = arrivals._streams.values()
    assert len(stream.late) == module.MOST_GAPS
    for late in (10 * module.MOST_GAPS - 2, 10 * module.MOST_GAPS - 4):
        assert numbers(arrivals.take(a_payload(late), 0.0)) == [late]


def test_what_waits_is_bounded_over_all_streams_together() -> None:
    arrivals = some_arrivals(held_bytes=1000)
    for origin in range(10):
        told = arrivals.take(a_payload(2, origin=origin, size_bytes=300), 0.0)
        assert numbers(told) == ([] if origin < 3 else [2])
    assert sum(stream.held_bytes for stream in arrivals._streams.values()) == 900
    assert numbers(arrivals.on_deadline(5.0)) == [2, 2, 2]
    assert arrivals.take(a_payload(2, origin=10, size_bytes=300), 6.0) == []


def test_the_number_of_those_that_wait_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_HELD", 3)
    arrivals = some_arrivals()
    told = [numbers(arrivals.take(a_payload(2, origin=origin), 0.0)) for origin in range(5)]
    assert told == [[], [], [], [2], [2]]


def test_unused_streams_are_forgotten_and_their_number_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_STREAMS", 10)
    arrivals = some_arrivals(idle_s=100.0)
    for origin in range(20):
        arrivals.take(a_payload(1, origin=origin), float(origin))
    assert len(arrivals) == 10
    assert not arrivals.has(a_payload(1, origin=0).id) and arrivals.has(a_payload(1, origin=19).id)
    for _ in range(10):
        arrivals.take(a_payload(1, origin=50), 1000.0)
    assert len(arrivals) == 1


@given(st.randoms(use_true_random=False), st.integers(1, 60))
def test_once_each_and_all_in_the_end_whatever_is_doubled_and_late(random: Random, count: int) -> None:
    arrivals, told, now = some_arrivals(order_s=1.0), [], 0.0
    coming = random.choices(range(1, count + 1), k=2 * count) + list(range(1, count + 1))
    for sequence in coming:
        now += random.uniform(0, 0.3)
        told += numbers(arrivals.on_deadline(now))
        if not arrivals.has(a_payload(sequence).id):
            told += numbers(arrivals.take(a_payload(sequence), now))
    assert sorted(told) == list(range(1, count + 1))
    gap = sum(second < first for first, second in pairwise(told))
    assert gap == 0 or arrivals.deadline is None
