"""Decides when received packets are acknowledged, and which ranges an ACK names.

Theory: RFC 9000, section 13.2. An acknowledgement waits up to MAX_ACK_DELAY_S for something to ride on; it is due at
the end of the loop turn once two packets wait for it, or one arrived out of order or marked by a congested router. An
ACK names what is above the largest number of TIMES_NAMED acknowledgements ago, and what came since: so a lost ACK costs
nothing, and an ACK does not grow with the losses of a long life. Should all of them be lost, the peer sends again what
we know: no harm done. Once a packet came with a mark (RFC 3168), ACKs bring the counts of marks back.
"""

from __future__ import annotations

from collections import deque

from guthi.api import Ecn
from guthi.transport.ranges import RangeSet
from guthi.transport.wire import MAX_ACK_RANGES, EcnCounts, encode_ack

__all__ = ["MAX_ACK_DELAY_S", "Acknowledgements"]

MAX_ACK_DELAY_S = 0.005
PACKETS_UNTIL_ACK = 2
TIMES_NAMED = 8
_CE = Ecn.CE


class Acknowledgements:
    """The received packet numbers of one session."""

    __slots__ = ("_deadline", "_largest_at", "_marks", "_named_up_to", "_received", "_waiting")

    def __init__(self) -> None:
        self._received = RangeSet()
        self._named_up_to: deque[int] = deque(maxlen=TIMES_NAMED)  # the largest number in each of the last ACKs
        self._waiting = 0  # packets that ask for an acknowledgement and have none yet
        self._largest_at = 0.0
        self._deadline: float | None = None
        self._marks = [0, 0, 0, 0]  # how many packets came with each mark

    def received(self, number: int, asks: bool, now: float, mark: int = Ecn.NOT_ECT) -> None:
        """A packet was accepted; `asks` is False when it held acknowledgements only."""
        if mark:
            self._marks[mark] += 1
        expected = self._received.next_expected()
        self._received.add(number, number + 1)
        if number >= expected:
            self._largest_at = now
        if number != expected:
            self._received.keep_highest(MAX_ACK_RANGES)
        if not asks:
            return
        self._waiting += 1
        if self._waiting >= PACKETS_UNTIL_ACK or number != expected or mark == _CE:
            self._deadline = now
        elif self._deadline is None:
            self._deadline = now + MAX_ACK_DELAY_S

    @property
    def deadline(self) -> float | None:
        """When an acknowledgement has to leave, with or without company."""
        return self._deadline

    @property
    def wanted(self) -> bool:
        """True when an ACK would be news to the peer: any departing packet takes it along."""
        return self._waiting > 0

    def take(self, now: float) -> bytes:
        """The ACK frame for what was received of late; it counts as sent."""
        self._waiting = 0
        self._deadline = None
        ranges = self._received.closed_descending()
        self._forget_well_known()
        delay_us = int((now - self._largest_at) * 1e6)
        _, ect1, ect0, ce = self._marks
        return encode_ack(ranges, delay_us, EcnCounts(ect0, ect1, ce) if ect0 or ect1 or ce else None)

    def _forget_well_known(self) -> None:
        """Drop what all of the last ACKs named, except the largest number: it tells what is expected next."""
        largest = self._received.next_expected() - 1
        self._named_up_to.append(largest)
        if len(self._named_up_to) == TIMES_NAMED:
            self._received.forget_below(min(self._named_up_to[0] + 1, largest))
