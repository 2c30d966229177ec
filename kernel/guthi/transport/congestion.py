"""Decides how many bytes may be in flight: the congestion window.

Theory: CUBIC (RFC 9438). A loss, once a round trip, leaves BETA of the window. From there the window follows
    W(t) = C (t - K)^3 + W_max        (in datagrams and seconds; K: when it is back at W_max)
steep at first, flat around the W_max at which the last loss came, then steep again: so it depends on time, not on the
length of the round trip. Where that is less than what Reno would have by now (short round trips, small windows),
Reno's estimate holds instead. Before the first loss `slowstart` governs. Persistent congestion (RFC 9002, section 7.6:
nothing got through for several probe intervals) starts anew with the smallest window. While the app, not the window,
holds the sender back, the window does not grow and the curve's time stands still (RFC 9438, section 5.8).

Sizes are in bytes; a datagram's size is the unit in which the curve is given, and may change on the way.
"""

from __future__ import annotations

from math import cbrt

from guthi.transport.slowstart import SlowStart, SlowStartPhase

__all__ = ["Congestion"]

C = 0.4  # datagrams / s^3
BETA = 0.7
RENO_GROWTH = 3 * (1 - BETA) / (1 + BETA)  # datagrams a round trip that make Reno with BETA as fast as with 1/2
FASTEST_GROWTH = 1.5  # times the window, in a round trip
SMALLEST_WINDOW_DATAGRAMS = 2
_OVER = SlowStartPhase.OVER


class Congestion:
    """The congestion window of one session, in bytes."""

    __slots__ = (
        "_before_loss_bytes",
        "_curve_began_at",
        "_idle_since",
        "_recovery_started_at",
        "_reno_bytes",
        "_return_s",
        "_slow_start",
        "_top_bytes",
        "datagram_bytes",
        "window_bytes",
    )

    def __init__(self, datagram_bytes: int) -> None:
        self.datagram_bytes = datagram_bytes
        self.window_bytes = float(_first_window_bytes(datagram_bytes))
        self._slow_start = SlowStart()
        self._recovery_started_at = float("-inf")
        self._before_loss_bytes = 0.0  # the window when the last loss came
        self._top_bytes = 0.0  # W_max
        self._return_s = 0.0  # K
        self._curve_began_at: float | None = None
        self._reno_bytes = 0.0
        self._idle_since: float | None = None

    def resized(self, datagram_bytes: int) -> None:
        """Datagrams are of this size from now on; a window before its first loss is at least the first window of it."""
        if datagram_bytes == self.datagram_bytes:
            return
        self.datagram_bytes = datagram_bytes
        least_bytes = _first_window_bytes(datagram_bytes) if self.in_slow_start else self._smallest_bytes
        self.window_bytes = max(self.window_bytes, least_bytes)

    @property
    def in_slow_start(self) -> bool:
        """True until a loss or a growing queue ends it."""
        return self._slow_start.phase is not _OVER

    def sampled(self, round_trip_s: float, number: int, next_number: int) -> None:
        """A round trip was measured with packet `number`; the next packet is `next_number`."""
        if self.in_slow_start:
            self._slow_start.sampled(round_trip_s, number, next_number)

    def acknowledged(self, size_bytes: int, sent_at: float, now: float, round_trip_s: float, *, is_full: bool) -> None:
        """Packets arrived, the oldest of them sent at `sent_at`.

        `is_full` tells whether more would have been sent, had the window allowed it.
        """
        if not is_full:
            if self._idle_since is None:
                self._idle_since = now
            return
        if self._idle_since is not None:
            if self._curve_began_at is not None:
                self._curve_began_at += now - self._idle_since
            self._idle_since = None
        if sent_at <= self._recovery_started_at:
            return
        if self.in_slow_start:
            self.window_bytes += self._slow_start.growth_bytes(size_bytes)
        else:
            self._follow_curve(size_bytes, now, round_trip_s)

    def _follow_curve(self, size_bytes: int, now: float, round_trip_s: float) -> None:
        if self._curve_began_at is None:
            self._begin_curve(now)
        assert self._curve_began_at is not None
        window = self.window_bytes
        age_s = now - self._curve_began_at
        target = min(max(self._curve_bytes(age_s + round_trip_s), window), FASTEST_GROWTH * window)
        growth = RENO_GROWTH if self._reno_bytes < self._before_loss_bytes else 1.0
        self._reno_bytes += growth * self.datagram_bytes * size_bytes / window
        if self._curve_bytes(age_s) < self._reno_bytes:
            self.window_bytes = max(window, self._reno_bytes)
        else:
            self.window_bytes = window + (target - window) * size_bytes / window

    def _begin_curve(self, now: float) -> None:
        self._curve_began_at = now
        self._reno_bytes = self.window_bytes
        self._top_bytes = max(self._top_bytes, self.window_bytes)
        self._return_s = cbrt((self._top_bytes - self.window_bytes) / self.datagram_bytes / C)

    def _curve_bytes(self, age_s: float) -> float:
        return float(C * (age_s - self._return_s) ** 3 * self.datagram_bytes + self._top_bytes)

    def lost(self, newest_sent_at: float, now: float) -> None:
        """Packets were lost, the newest of them sent at `newest_sent_at`."""
        if newest_sent_at <= self._recovery_started_at:
            return
        self._recovery_started_at = now
        window = self.window_bytes
        # A top lower than the last one means that others want their share: leave them some (fast convergence).
        self._top_bytes = window * (1 + BETA) / 2 if window < self._top_bytes else window
        self._before_loss_bytes = window
        self._slow_start.end()
        self._curve_began_at = self._idle_since = None
        self.window_bytes = max(window * BETA, self._smallest_bytes)

    def collapsed(self) -> None:
        """Congestion is persistent: nothing got through for so long that what was known of the path is void."""
        self.window_bytes = float(self._smallest_bytes)
        self._recovery_started_at = float("-inf")
        self._slow_start = SlowStart()
        self._top_bytes = 0.0
        self._curve_began_at = self._idle_since = None

    @property
    def _smallest_bytes(self) -> int:
        return SMALLEST_WINDOW_DATAGRAMS * self.datagram_bytes


def _first_window_bytes(datagram_bytes: int) -> int:
    """RFC 9002, section 7.2."""
    return min(10 * datagram_bytes, max(14_720, 2 * datagram_bytes))
