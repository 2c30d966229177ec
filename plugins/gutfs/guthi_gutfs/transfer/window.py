"""Decides how many chunks one holder is asked for at a time: as many as keep it busy, and hardly more.

As in TCP Vegas (Brakmo and Peterson, 1995): with `window` chunks asked for, a chunk that takes `taken` where the
fastest took `least` has waited behind `window * (1 - least / taken)` others. With less than `IDLE_BELOW` such, the
holder or the way to it is idle at times, and the window grows; with more than `CROWDED_ABOVE` it shrinks. A failure
halves it. Vegas has one and three; a chunk is more than a packet, and up to four are asked for together: a disk, a
thread and a hash are woken for them at both ends, and each of these is idle at times unless the next are there already.
As in Vegas a window doubles until chunks wait for the first time. Where a chunk takes longer than `LONGEST_S`, however
few wait, the window shrinks: on a slow line what is asked for must come before its time is up.

`least` is forgotten slowly, for a holder that was fast once may have become slow for good.
"""

from __future__ import annotations

__all__ = ["MOST_CHUNKS", "Window"]

FIRST_CHUNKS, MOST_CHUNKS = 4, 16
IDLE_BELOW, CROWDED_ABOVE = 7.0, 10.0
LONGEST_S = 2.0
FORGETTING = 1.001  # a chunk
SMOOTHING = 0.25


class Window:
    """How one holder does; times are in seconds."""

    def __init__(self) -> None:
        self.chunks = FIRST_CHUNKS
        self.smoothed_s: float | None = None
        """About how long a chunk takes; None before the first."""
        self._least_s = 0.0
        self._since_change = 0
        self._is_starting = True

    def arrived(self, taken_s: float) -> None:
        """A chunk has come, so long after it was asked for."""
        taken_s = max(taken_s, 1e-6)
        if self.smoothed_s is None:
            self.smoothed_s = self._least_s = taken_s
        self.smoothed_s += SMOOTHING * (taken_s - self.smoothed_s)
        self._least_s = min(self._least_s * FORGETTING, taken_s)
        self._since_change += 1
        if self._since_change >= self.chunks:  # once for all that were asked for together
            self._since_change = 0
            self._adapt(self.chunks * (1 - self._least_s / taken_s), is_slow=taken_s > LONGEST_S)

    def _adapt(self, waiting_chunks: float, *, is_slow: bool) -> None:
        self._is_starting &= waiting_chunks < IDLE_BELOW and not is_slow
        if is_slow or waiting_chunks > CROWDED_ABOVE:
            self.chunks = max(self.chunks - 1, min(self.chunks, FIRST_CHUNKS))
        elif waiting_chunks < IDLE_BELOW:
            self.chunks = min(self.chunks * 2 if self._is_starting else self.chunks + 1, MOST_CHUNKS)

    def failed(self) -> None:
        """A chunk did not come."""
        self.chunks = max(self.chunks // 2, 1)
        self._since_change = 0
        self._is_starting = False
