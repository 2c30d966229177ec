"""The congestion window against CUBIC (RFC 9438), with numbers worked out by hand, and RFC 9002, section 7."""

from __future__ import annotations

from math import cbrt

import pytest

from guthi.transport.congestion import BETA, C, Congestion

ROUND_TRIP_S = 0.1


def after_a_loss(window_bytes: int, datagram_bytes: int = 1000) -> Congestion:
    """A controller that had this window when the first loss came, at 1.0."""
    congestion = Congestion(datagram_bytes)
    congestion.window_bytes = window_bytes
    congestion.lost(newest_sent_at=0.5, now=1.0)
    assert congestion.window_bytes == pytest.approx(BETA * window_bytes)
    return congestion


def one_round_trip(congestion: Congestion, now: float, *, is_full: bool = True) -> None:
    """A window of datagrams is acknowledged, all but at once."""
    for _ in range(max(int(congestion.window_bytes) // congestion.datagram_bytes, 1)):
        congestion.acknowledged(congestion.datagram_bytes, now - ROUND_TRIP_S, now, ROUND_TRIP_S, is_full=is_full)


@pytest.mark.parametrize(("datagram_bytes", "window_bytes"), [(1200, 12_000), (1472, 14_720), (60_000, 120_000)])
def test_the_first_window(datagram_bytes: int, window_bytes: int) -> None:
    assert Congestion(datagram_bytes).window_bytes == window_bytes


def test_slow_start_doubles_the_window_each_round_trip() -> None:
    congestion = Congestion(1200)
    one_round_trip(congestion, 1.0)
    assert congestion.window_bytes == 24_000


def test_a_window_that_is_not_filled_does_not_grow() -> None:
    congestion = Congestion(1200)
    one_round_trip(congestion, 1.0, is_full=False)
    assert congestion.window_bytes == 12_000


def test_a_loss_takes_three_tenths_of_the_window_once_a_round_trip() -> None:
    congestion = Congestion(1200)
    congestion.lost(newest_sent_at=1.0, now=2.0)
    assert congestion.window_bytes == pytest.approx(8400)
    congestion.lost(newest_sent_at=1.9, now=2.1)  # sent before the window was cut
    assert congestion.window_bytes == pytest.approx(8400)
    congestion.lost(newest_sent_at=2.05, now=3.0)
    assert congestion.window_bytes == pytest.approx(5880)


def test_the_window_never_falls_below_two_datagrams() -> None:
    congestion = Congestion(1200)
    for moment in range(1, 20):
        congestion.lost(newest_sent_at=moment - 0.5, now=moment)
    assert congestion.window_bytes == 2400


def test_packets_sent_before_the_loss_do_not_grow_the_window() -> None:
    congestion = after_a_loss(20_000)
    for _ in range(100):
        congestion.acknowledged(1000, sent_at=1.0, now=1.2, round_trip_s=0.1, is_full=True)
    assert congestion.window_bytes == pytest.approx(14_000)


def test_the_curve_is_back_at_the_last_top_after_k_seconds_and_flat_there() -> None:
    congestion = after_a_loss(1_000_000)  # a thousand datagrams: far above what Reno would have
    k_s = cbrt(300 / C)
    now = 1.2
    seen: dict[float, float] = {}
    while now < 1.2 + 2 * k_s:
        one_round_trip(congestion, now)
        seen[now - 1.2] = congestion.window_bytes
        now += ROUND_TRIP_S
    nearest = min(seen, key=lambda age: abs(age - k_s))
    assert seen[nearest] == pytest.approx(1_000_000, rel=0.01)
    for age_s, window in seen.items():
        assert window == pytest.approx((C * (age_s + ROUND_TRIP_S - k_s) ** 3 + 1000) * 1000, rel=0.02), age_s


def test_small_windows_grow_as_renos_do() -> None:
    congestion = after_a_loss(10_000)
    before = congestion.window_bytes
    for step in range(4):
        one_round_trip(congestion, 1.2 + step * 0.001)  # so fast that the curve has not moved
    grown_datagrams = (congestion.window_bytes - before) / 1000
    assert grown_datagrams == pytest.approx(4 * 3 * 0.3 / 1.7, rel=0.15)


def test_a_second_loss_below_the_last_top_leaves_room_for_others() -> None:
    congestion = after_a_loss(1_000_000)
    congestion.lost(newest_sent_at=1.5, now=2.0)  # at 700,000
    for step in range(300):
        one_round_trip(congestion, 2.2 + step * ROUND_TRIP_S)
        if congestion.window_bytes > 590_000:
            break
    expected_s = cbrt((595 - 490) / C) - cbrt((595 - 590) / C)  # its top is 0.85 x 700,000
    assert step * ROUND_TRIP_S == pytest.approx(expected_s, abs=2 * ROUND_TRIP_S)


def test_while_the_app_holds_back_the_curve_stands_still() -> None:
    steady, paused = after_a_loss(1_000_000), after_a_loss(1_000_000)
    for congestion, pause_s in ((steady, 0.0), (paused, 60.0)):
        one_round_trip(congestion, 1.2)
        if pause_s:
            one_round_trip(congestion, 1.3, is_full=False)
        one_round_trip(congestion, 1.3 + pause_s)
    assert paused.window_bytes == pytest.approx(steady.window_bytes, rel=0.01)


def test_the_window_grows_by_half_at_most_in_a_round_trip() -> None:
    congestion = after_a_loss(100_000)
    one_round_trip(congestion, 1.2)
    before = congestion.window_bytes
    one_round_trip(congestion, 100.0)  # the curve is out of sight
    assert congestion.window_bytes <= 1.7 * before


def test_persistent_congestion_starts_anew() -> None:
    congestion = after_a_loss(1_000_000)
    congestion.collapsed()
    assert congestion.window_bytes == 2000
    assert congestion.in_slow_start
    one_round_trip(congestion, 1.05)
    assert congestion.window_bytes == 4000
