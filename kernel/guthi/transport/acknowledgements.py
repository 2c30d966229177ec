"""Decides when received packets are acknowledged, and which ranges an ACK names.

Theory: RFC 9000, section 13.2. An acknowledgement waits up to MAX_ACK_DELAY_S for something to ride on; it is due at
the end of the loop turn once two packets wait for it, or one arrived out of order or marked by a congested router.
Where questions and answers follow one another within QUICK_S, an answer does not take the ACK of its question along:
the next question is there soon, and both are acknowledged together, as an ACK costs a tenth of a short call. An ACK
names what is above the largest number of TIMES_NAMED acknowledgements ago, and what came since: so a lost ACK costs
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
QUICK_S = 0.002
TIMES_NAMED = 8
_CE = Ecn.CE


class Acknowledgements:
    """The received packet numbers of one session.

    `waiting` is how many packets ask for an acknowledgement and have none yet. At `deadline` it has to leave, with or
    without company.
    """

    __slots__ = (
        "_asked_at",
        "_is_quick",
        "_largest_at",
        "_left_behind",
        "_marks",
        "_named_up_to",
        "_received",
        "deadline",
        "waiting",
    )

    def __init__(self) -> None:
        self._received = RangeSet()
        self._named_up_to: deque[int] = deque(maxlen=TIMES_NAMED)  # the largest number in each of the last ACKs
        self.waiting = 0
        self.deadline: float | None = None
        self._largest_at = 0.0
        self._asked_at = -QUICK_S  # when the last packet came that asks for an acknowledgement
        self._is_quick = False  # it came soon after the one before it
        self._left_behind = 0  # how many of those that wait could have been acknowledged already
        self._marks = [0, 0, 0, 0]  # how many packets came with each mark

    def received(self, number: int, asks: bool, now: float, mark: int = Ecn.NOT_ECT) -> None:
        """A packet was accepted; `asks` is False when it held acknowledgements only."""
        if mark:
            self._marks[mark] += 1
        is_next = self._received.extend(number)
        if is_next:
            self._largest_at = now
        else:
            self._out_of_order(number, now)
        if not asks:
            return
        self.waiting += 1
        if self.waiting - self._left_behind >= PACKETS_UNTIL_ACK or not is_next or mark == _CE:
            self.deadline = now
        elif self.deadline is None:
            self.deadline = now + MAX_ACK_DELAY_S
        self._is_quick, self._asked_at = now - self._asked_at < QUICK_S, now

    def _out_of_order(self, number: int, now: float) -> None:
        received = self._received
        if number >= received.next_expected():
            self._largest_at = now
        received.add(number, number + 1)
        received.keep_highest(MAX_ACK_RANGES)

    def rides(self, now: float) -> bool:
        """Whether a packet that departs now takes it along; otherwise the next one does."""
        if self.waiting != 1 or not self._is_quick or (self.deadline is not None and self.deadline <= now):
            return self.waiting > 0
        self._left_behind = 1
        return False

    def take(self, now: float) -> bytes:
        """The ACK frame for what was received of late; it counts as sent."""
        self.waiting, self._left_behind, self.deadline = 0, 0, None
        ranges = self._received.closed_descending()
        self._forget_well_known(ranges[0][1])
        delay_us = int((now - self._largest_at) * 1e6)
        _, ect1, ect0, ce = self._marks
        return encode_ack(ranges, delay_us, EcnCounts(ect0, ect1, ce) if ect0 or ect1 or ce else None)

    def _forget_well_known(self, largest: int) -> None:
        """Drop what all of the last ACKs named, except the largest number: it tells what is expected next."""
        named = self._named_up_to
        if len(named) == TIMES_NAMED - 1:
            oldest = named.popleft()
            self._received.forget_below(oldest + 1 if oldest < largest else largest)
        named.append(largest)
