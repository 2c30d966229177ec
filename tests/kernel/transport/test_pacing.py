"""The token bucket: its rate, its depth, and when it lets the next datagram go."""

from __future__ import annotations

import pytest

from guthi.transport.pacing import BUCKET_DATAGRAMS, SHORTEST_WAIT_S, Pacer

WINDOW_BYTES, ROUND_TRIP_S = 120_000, 0.1


def sent_until(seconds: float) -> int:
    """How many datagrams of 1,000 bytes leave of more than enough."""
    pacer, now, sent = Pacer(1000, 0.0), 0.0, 0
    while now <= seconds:
        pacer.fill(WINDOW_BYTES, ROUND_TRIP_S, 1000, now, gain=1.0)
        while pacer.allows:
            pacer.spend(1000)
            sent += 1
        assert pacer.next_at() >= now + SHORTEST_WAIT_S
        now = pacer.next_at()
    return sent


def test_at_first_ten_datagrams_may_leave_at_once() -> None:
    assert sent_until(0.0) == BUCKET_DATAGRAMS


def test_then_a_window_each_round_trip() -> None:
    assert sent_until(1.0) == pytest.approx(BUCKET_DATAGRAMS + 1200, rel=0.01)


def test_a_pause_earns_no_more_than_the_bucket_holds() -> None:
    pacer = Pacer(1000, 0.0)
    pacer.fill(WINDOW_BYTES, ROUND_TRIP_S, 1000, 3600.0, gain=1.0)
    pacer.spend(BUCKET_DATAGRAMS * 1000)
    assert not pacer.allows


def test_on_loopback_the_bucket_is_larger_than_the_window() -> None:
    pacer = Pacer(60_000, 0.0)
    for moment in (1.0, 2.0):
        pacer.fill(4_000_000, 0.0005, 60_000, moment, gain=1.25)
    pacer.spend(4_000_000)
    assert pacer.allows


def test_a_link_without_delay_does_no_harm() -> None:
    pacer = Pacer(1000, 0.0)
    pacer.fill(WINDOW_BYTES, 0.0, 1000, 1.0, gain=1.0)
    assert pacer.allows
