"""Decides how many bytes may be in flight: the congestion window.

Theory: NewReno as RFC 9002, section 7 and appendix B, gives it. Slow start doubles the window each round trip until a
loss; a loss halves it, once a round trip; afterwards it grows by one datagram a round trip. The window is not grown
while the sender does not fill it. Another controller has only to offer the same five names.
"""

from __future__ import annotations

__all__ = ["Congestion"]

LOSS_FACTOR = 0.5


class Congestion:
    """The congestion window of one session, in bytes."""

    __slots__ = (
        "_acknowledged_bytes",
        "_datagram_bytes",
        "_recovery_started_at",
        "_slow_start_threshold",
        "window_bytes",
    )

    def __init__(self, datagram_bytes: int) -> None:
        self._datagram_bytes = datagram_bytes
        self.window_bytes = min(10 * datagram_bytes, max(14_720, 2 * datagram_bytes))
        self._acknowledged_bytes = 0  # since the window last grew, past slow start
        self._slow_start_threshold: float = float("inf")
        self._recovery_started_at = float("-inf")

    @property
    def in_slow_start(self) -> bool:
        """True until the first loss, and again while the window is below the threshold."""
        return self.window_bytes < self._slow_start_threshold

    def acknowledged(self, size_bytes: int, sent_at: float, in_flight_before_bytes: int) -> None:
        """A packet arrived; `in_flight_before_bytes` says how full the window was when the news came."""
        if sent_at <= self._recovery_started_at or in_flight_before_bytes * 2 < self.window_bytes:
            return
        if self.in_slow_start:
            self.window_bytes += size_bytes
            return
        self._acknowledged_bytes += size_bytes
        if self._acknowledged_bytes >= self.window_bytes:
            self._acknowledged_bytes -= self.window_bytes
            self.window_bytes += self._datagram_bytes

    def lost(self, newest_sent_at: float, now: float) -> None:
        """Packets were lost, the newest of them sent at `newest_sent_at`."""
        if newest_sent_at <= self._recovery_started_at:
            return
        self._recovery_started_at = now
        self.window_bytes = max(int(self.window_bytes * LOSS_FACTOR), 2 * self._datagram_bytes)
        self._slow_start_threshold = self.window_bytes
        self._acknowledged_bytes = 0
