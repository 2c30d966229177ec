"""The clock filter: the true offset lies within the bound, whatever the paths do; a clock that was set is noticed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi_health.clock import ClockFilter, ClockSample

delays = st.floats(0.0, 2.0)


def echo(at: float, offset_s: float, there_s: float, back_s: float) -> ClockSample:
    """What both clocks show when the ways take so long."""
    return ClockSample(at, at + there_s + offset_s, at + there_s + offset_s, at + there_s + back_s)


@given(st.floats(-3600, 3600), st.lists(st.tuples(delays, delays), min_size=1, max_size=30))
def test_the_true_offset_is_within_the_bound(offset_s: float, ways: list[tuple[float, float]]) -> None:
    clock = ClockFilter()
    for number, (there_s, back_s) in enumerate(ways):
        clock.add(echo(1e9 + number, offset_s, there_s, back_s), float(number))
    found = clock.offset(float(len(ways)))
    assert found is not None
    assert abs(found.offset_s - offset_s) <= found.bound_s


def test_the_shortest_delay_of_the_last_eight_counts() -> None:
    clock = ClockFilter()
    clock.add(echo(0.0, 5.0, 0.001, 0.001), 0.0)
    for number in range(1, 9):
        clock.add(echo(number, 5.0, 0.5 + number / 100, 0.1), number)
    found = clock.offset(8.0)
    assert found is not None and found.bound_s == pytest.approx((0.51 + 0.1) / 2, abs=1e-3)


def test_the_bound_grows_with_age() -> None:
    clock = ClockFilter()
    clock.add(echo(0.0, 0.0, 0.01, 0.01), 0.0)
    early, late = clock.offset(0.0), clock.offset(1000.0)
    assert early is not None and late is not None
    assert late.bound_s - early.bound_s == pytest.approx(0.03)


def test_a_clock_that_was_set_is_believed_anew() -> None:
    clock = ClockFilter()
    for number in range(5):
        clock.add(echo(number, 0.0, 0.001, 0.001), number)
    clock.add(echo(5.0, 60.0, 0.01, 0.01), 5.0)
    found = clock.offset(5.0)
    assert found is not None and found.offset_s == pytest.approx(60.0)


def test_without_samples_nothing_is_known() -> None:
    clock = ClockFilter()
    clock.add(ClockSample(10.0, 0.0, 5.0, 10.1), 0.0)  # the answer took longer than the whole echo: a clock was set
    assert clock.offset(0.0) is None
