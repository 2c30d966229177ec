"""Whether a datagram counter was seen before: a sliding window over the newest counters of one sender.

As in IPsec (RFC 4303, section 3.4.3): the window remembers which of the newest `size` counters were seen;
older ones count as seen. Bit i of the bitmap stands for the counter i below the highest. Counters below zero
are marked from the start: so the bitmap of a sender without gaps is always full, and admitting its next
counter touches nothing but the highest.
"""

from __future__ import annotations

__all__ = ["ReplayWindow"]


class ReplayWindow:
    """Counters from 0 upwards, each admitted once; `size` is how far behind the highest one may arrive."""

    __slots__ = ("_full", "_seen", "_size", "highest")

    def __init__(self, size: int = 1024) -> None:
        self._size = size
        self._full = (1 << size) - 1
        self._seen = self._full
        self.highest = -1  # of those admitted

    def admit(self, counter: int) -> bool:
        """Mark `counter` as seen; False when it was seen before, or is too old to tell."""
        ahead = counter - self.highest
        if ahead > 0:
            self.highest = counter
            if ahead > 1 or self._seen != self._full:
                self._seen = (self._seen << ahead | 1) & self._full if ahead < self._size else 1
            return True
        if ahead <= -self._size:
            return False
        bit = 1 << -ahead
        if self._seen & bit:
            return False
        self._seen |= bit
        return True

    def fresh(self, counter: int) -> bool:
        """What `admit` would say, without marking: for a datagram that is not yet proven authentic."""
        behind = self.highest - counter
        return behind < 0 or (behind < self._size and not self._seen >> behind & 1)

    def mark(self, counter: int) -> None:
        """Mark `counter` as seen, now that its datagram is proven authentic."""
        self.admit(counter)
