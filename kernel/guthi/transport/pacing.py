"""Decides how soon the next datagram may leave, so that a window does not leave as one burst.

Theory: RFC 9002, section 7.7, by a token bucket. It fills at a little more than a window each round trip, and holds
BUCKET_S worth of that or BUCKET_DATAGRAMS, whichever is more: timers of event loops are about a millisecond coarse,
so what leaves in one turn is a batch. Where the round trip is shorter than the bucket, as on loopback, the bucket is
larger than the window and the acknowledgements alone set the pace.
"""

from __future__ import annotations

__all__ = ["Pacer"]

BUCKET_S = 0.002
BUCKET_DATAGRAMS = 10
SHORTEST_WAIT_S = 0.001
SHORTEST_ROUND_TRIP_S = 1e-6  # a simulated link may have no delay at all
SLOW_START_GAIN = 2.0  # the window is about to be twice as large
GAIN = 1.25


class Pacer:
    """The bucket of one session."""

    __slots__ = ("_filled_at", "_rate_bytes_s", "_tokens_bytes")

    def __init__(self, datagram_bytes: int, now: float) -> None:
        self._tokens_bytes = float(BUCKET_DATAGRAMS * datagram_bytes)
        self._rate_bytes_s = 0.0
        self._filled_at = now

    def fill(self, window_bytes: float, round_trip_s: float, datagram_bytes: int, now: float, gain: float) -> None:
        """Put in what the time since the last call has earned."""
        if round_trip_s < SHORTEST_ROUND_TRIP_S:
            round_trip_s = SHORTEST_ROUND_TRIP_S
        rate = self._rate_bytes_s = gain * window_bytes / round_trip_s
        capacity, least_capacity = BUCKET_S * rate, BUCKET_DATAGRAMS * datagram_bytes
        if capacity < least_capacity:
            capacity = least_capacity
        tokens = self._tokens_bytes + rate * (now - self._filled_at)
        self._tokens_bytes = tokens if tokens < capacity else capacity
        self._filled_at = now

    def suffices(self, size_bytes: int) -> bool:
        """Whether so much may leave without anything being put in."""
        return size_bytes < self._tokens_bytes

    def spend(self, size_bytes: int) -> None:
        """A datagram leaves; the last one may overdraw."""
        self._tokens_bytes -= size_bytes

    @property
    def allows(self) -> bool:
        """True when a datagram may leave."""
        return self._tokens_bytes > 0

    def next_at(self) -> float:
        """When to look again, once `allows` is False."""
        return self._filled_at + max(-self._tokens_bytes / self._rate_bytes_s, SHORTEST_WAIT_S)
