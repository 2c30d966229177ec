"""The congestion window against RFC 9002, section 7."""

from __future__ import annotations

import pytest

from guthi.transport.congestion import Congestion


def in_avoidance(window_bytes: int) -> Congestion:
    """A controller past slow start, with this window."""
    congestion = Congestion(1200)
    congestion.window_bytes = 2 * window_bytes
    congestion.lost(newest_sent_at=0.5, now=1.0)
    assert congestion.window_bytes == window_bytes
    return congestion


@pytest.mark.parametrize(("datagram_bytes", "window_bytes"), [(1200, 12_000), (1472, 14_720), (60_000, 120_000)])
def test_the_first_window(datagram_bytes: int, window_bytes: int) -> None:
    assert Congestion(datagram_bytes).window_bytes == window_bytes


def test_slow_start_doubles_the_window_each_round_trip() -> None:
    congestion = Congestion(1200)
    for _ in range(10):
        congestion.acknowledged(1200, sent_at=1.0, in_flight_before_bytes=12_000)
    assert congestion.window_bytes == 24_000


def test_a_window_that_is_not_filled_does_not_grow() -> None:
    congestion = Congestion(1200)
    congestion.acknowledged(1200, sent_at=1.0, in_flight_before_bytes=5_999)
    assert congestion.window_bytes == 12_000


def test_a_loss_halves_the_window_once_a_round_trip() -> None:
    congestion = Congestion(1200)
    congestion.lost(newest_sent_at=1.0, now=2.0)
    assert congestion.window_bytes == 6000
    congestion.lost(newest_sent_at=1.9, now=2.1)  # sent before the window was halved
    assert congestion.window_bytes == 6000
    congestion.lost(newest_sent_at=2.05, now=3.0)
    assert congestion.window_bytes == 3000


def test_the_window_never_falls_below_two_datagrams() -> None:
    congestion = Congestion(1200)
    for moment in range(1, 20):
        congestion.lost(newest_sent_at=moment - 0.5, now=moment)
    assert congestion.window_bytes == 2400


def test_packets_sent_before_the_loss_do_not_grow_the_window() -> None:
    congestion = in_avoidance(12_000)
    for _ in range(100):
        congestion.acknowledged(1200, sent_at=1.0, in_flight_before_bytes=12_000)
    assert congestion.window_bytes == 12_000


@pytest.mark.parametrize("size_bytes", [50, 1200])
@pytest.mark.parametrize("window_bytes", [12_000, 6_000_000])
def test_past_slow_start_a_round_trip_adds_one_datagram(size_bytes: int, window_bytes: int) -> None:
    congestion = in_avoidance(window_bytes)
    assert not congestion.in_slow_start
    for _ in range(window_bytes // size_bytes):
        congestion.acknowledged(size_bytes, sent_at=2.0, in_flight_before_bytes=window_bytes)
    assert congestion.window_bytes == window_bytes + 1200
