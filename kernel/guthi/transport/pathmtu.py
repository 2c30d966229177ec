"""Decides how large the datagrams to one peer may be: packetization-layer path-MTU discovery (RFC 8899).

Every session starts with BASE_BYTES. When more waits than fits one datagram, a *probe* goes out beside the data: a PING
padded to a larger size, which is no loss of data and no sign of congestion if it vanishes. The largest size that is
allowed is tried first (it holds on loopback, and wherever the path is known), then RUNGS are halved down to the largest
that passes. A size has failed when PROBES_A_SIZE probes of it were lost.

| state    | meaning                | leaves by                                                  |
|----------|------------------------|------------------------------------------------------------|
| SEARCH   | a larger size may pass | the largest passed, or the next rung failed -> COMPLETE    |
| COMPLETE | nothing larger passes  | RAISE_AFTER_S, if data still waits; a black hole -> SEARCH |

Black hole (section 4.3): the path has shrunk when BLACK_HOLE_LOSSES datagrams over the base size are lost and none of
them arrives meanwhile, or when BLACK_HOLE_TIMEOUTS probe timeouts pass in a row. Then the base size holds again, what
was lost is sent again in pieces that fit, and the search starts anew.
"""

from __future__ import annotations

from enum import Enum, auto

__all__ = ["BASE_BYTES", "PathMtu", "PathState"]

BASE_BYTES = 1200
RUNGS = (1232, 1332, 1372, 1412, 1452, 2800, 4400, 8952, 16_384, 32_768)  # of UDP payload: links that there are
PROBES_A_SIZE = 3
RAISE_AFTER_S = 600.0
BLACK_HOLE_LOSSES = 6
BLACK_HOLE_TIMEOUTS = 2


class PathState(Enum):
    """Whether larger datagrams are being tried."""

    SEARCH = auto()
    COMPLETE = auto()


class PathMtu:
    """The path to one peer; `largest_bytes` is what the socket and the configuration allow.

    `probe_number` is that of the packet which is the probe on its way. While `large_losses` counts any, it has to be
    told what arrives.
    """

    __slots__ = (
        "_failed",
        "_passed",
        "_retry_at",
        "_sizes",
        "_tries",
        "_trying",
        "datagram_bytes",
        "large_losses",
        "probe_number",
        "state",
    )

    def __init__(self, largest_bytes: int) -> None:
        base_bytes = min(BASE_BYTES, largest_bytes)
        self._sizes = [base_bytes, *(rung for rung in RUNGS if base_bytes < rung < largest_bytes)]
        if largest_bytes > base_bytes:
            self._sizes.append(largest_bytes)
        self._retry_at = 0.0
        self.large_losses = 0
        self._search()

    def _search(self) -> None:
        self.probe_number: int | None = None
        self._passed, self._failed = 0, len(self._sizes)  # indices into the sizes
        self._trying, self._tries = len(self._sizes) - 1, 0
        self.datagram_bytes = self._sizes[0]
        self.state = PathState.SEARCH
        self._settle()

    def _settle(self) -> None:
        if self._failed - self._passed <= 1:
            self.state = PathState.COMPLETE

    def probe_bytes(self, now: float) -> int | None:
        """The size of a probe that may go out now, if there is any."""
        if self.probe_number is not None:
            return None
        if self.state is PathState.COMPLETE:
            if self._passed == len(self._sizes) - 1 or now < self._retry_at:
                return None
            self.state, self._failed = PathState.SEARCH, len(self._sizes)
            self._trying, self._tries = len(self._sizes) - 1, 0
        return self._sizes[self._trying]

    def probe_sent(self, number: int, now: float) -> None:
        """Packet `number` is a probe."""
        self.probe_number = number
        self._tries += 1
        self._retry_at = now + RAISE_AFTER_S

    def probe_arrived(self) -> None:
        """The size has passed."""
        self.probe_number = None
        self._passed = self._trying
        self.datagram_bytes = self._sizes[self._passed]
        self._next_size()

    def probe_lost(self) -> None:
        """Try again, or take the size for too large."""
        self.probe_number = None
        if self._tries >= PROBES_A_SIZE:
            self._failed = self._trying
            self._next_size()

    def probe_forgotten(self) -> None:
        """What became of the probe on its way will not be known: datagrams go to another address meanwhile."""
        if self.probe_number is not None:
            self.probe_number = None
            self._tries -= 1

    def _next_size(self) -> None:
        self._trying, self._tries = (self._passed + self._failed) // 2, 0
        self._settle()

    def arrived(self, size_bytes: int) -> None:
        """A datagram of this size was acknowledged."""
        if size_bytes > self._sizes[0]:
            self.large_losses = 0

    def lost(self, size_bytes: int) -> None:
        """A datagram of this size was lost."""
        if size_bytes > self._sizes[0]:
            self.large_losses += 1
            if self.large_losses >= BLACK_HOLE_LOSSES:
                self._fall_back()

    def timed_out(self, times_in_a_row: int) -> None:
        """Nothing was acknowledged for so many probe timeouts."""
        if times_in_a_row >= BLACK_HOLE_TIMEOUTS:
            self._fall_back()

    def _fall_back(self) -> None:
        self.large_losses = 0
        if self.datagram_bytes > self._sizes[0]:
            self._search()
