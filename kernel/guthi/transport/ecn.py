"""Decides whether datagrams are marked as ECN-capable (RFC 3168), and what the peer's counts of marks mean.

A router that knows ECN marks a datagram of ECT(0) as *congestion experienced* (CE) instead of dropping it. The receiver
counts the marks that arrive, ACKs bring the counts back, and the sender takes a growing CE count for a loss, without
losing anything. Whether path and peer can be relied on for that is tested first (RFC 9000, section 13.4.2):

| state   | marks sent                  | leaves by                                                             |
|---------|-----------------------------|-----------------------------------------------------------------------|
| TESTING | yes, TEST_DATAGRAMS of them | they are sent -> WAITING; counts, as below                            |
| WAITING | none                        | counts: fitting -> CAPABLE, else -> FAILED; all marked lost -> FAILED |
| CAPABLE | yes                         | counts that do not fit -> FAILED; a new path -> TESTING               |
| FAILED  | none                        | a new path -> TESTING                                                 |

Counts fit when those of ECT(0) and CE grew by at least the marked packets that were newly acknowledged, are no more
than were ever marked, and there is none of ECT(1). An ACK that was overtaken by a later one says nothing.

A mark helps only a sender whose window is in use: one small datagram now and then cannot slow down, and is not marked.
"""

from __future__ import annotations

from enum import Enum, auto

from guthi.api import Ecn
from guthi.transport.wire import EcnCounts

__all__ = ["Marking", "MarkingState"]

TEST_DATAGRAMS = 10


class MarkingState(Enum):
    """Whether marks are sent, and believed."""

    TESTING = auto()
    WAITING = auto()
    CAPABLE = auto()
    FAILED = auto()


class Marking:
    """The marks of one session, on whatever path it uses."""

    __slots__ = ("_believed", "_sent", "_test_lost", "_test_sent", "is_used", "state")

    def __init__(self) -> None:
        self.state = MarkingState.TESTING
        self.is_used = False  # marked packets were sent, so that ACKs have something to say of them
        self._sent = 0
        self._test_sent = self._test_lost = 0
        self._believed = EcnCounts(0, 0, 0)  # the latest counts

    def new_path(self) -> None:
        """Nothing is known any more of who is on the way."""
        self.state = MarkingState.TESTING
        self._test_sent = self._test_lost = 0

    @property
    def mark(self) -> Ecn:
        """What the next datagrams should have."""
        return Ecn.ECT0 if self.state in (MarkingState.TESTING, MarkingState.CAPABLE) else Ecn.NOT_ECT

    def sent(self) -> None:
        """A marked packet leaves."""
        self._sent += 1
        self.is_used = True
        if self.state is MarkingState.TESTING:
            self._test_sent += 1
            if self._test_sent >= TEST_DATAGRAMS:
                self.state = MarkingState.WAITING

    def lost(self, marked: int) -> None:
        """So many marked packets were lost: if they are all of the test, something drops what is marked."""
        self._test_lost += marked
        if self.state is MarkingState.WAITING and self._test_lost >= TEST_DATAGRAMS:
            self.state = MarkingState.FAILED

    def acknowledged(self, marked: int, counts: EcnCounts | None) -> bool:
        """An ACK came for `marked` marked packets, with `counts`; True when congestion was met since the last one."""
        if self.state is MarkingState.FAILED:
            return False
        if counts is None:
            self.state = MarkingState.FAILED if marked else self.state
            return False
        before, total = self._believed, counts.ect0 + counts.ce
        growth = total - before.ect0 - before.ce
        if growth < 0 or (growth == 0 and not marked):
            return False  # it was overtaken, or has no news
        if growth < marked or total > self._sent or counts.ect1 or counts.ce < before.ce:
            self.state = MarkingState.FAILED
            return False
        self._believed = counts
        if marked:
            self.state = MarkingState.CAPABLE
        return counts.ce > before.ce
