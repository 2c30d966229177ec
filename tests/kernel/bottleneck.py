"""A world of several senders behind one narrow link: virtual time, a queue that drops or marks, loss from one seed."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from random import Random

from tests.kernel.pipe import QUIET

from guthi.api import Ecn
from guthi.security.handshake import TransportKeys
from guthi.transport.session import MessageReceived, Session

CHUNK_BYTES = 60_000


@dataclass(slots=True)
class Flow:
    """One sender that always has something to send, its receiver, and what has arrived."""

    sender: Session
    receiver: Session
    begins_at: float
    delivered_bytes: int = 0
    sent_marked: int = 0

    def top_up(self) -> None:
        while self.sender.buffered_bytes < 50 * CHUNK_BYTES:
            self.sender.send([bytes(CHUNK_BYTES)])


class Bottleneck:
    """Flows that share `bandwidth_bytes_s` one way; acknowledgements come back unhindered.

    Where `mark_bytes` or more wait, what heeds marks gets one. A bad network `clears_marks`, or `drops_marks`.
    """

    def __init__(
        self,
        *,
        begin_at: tuple[float, ...] = (0.0,),
        bandwidth_bytes_s: float = 12_500_000.0,
        round_trip_s: float = 0.02,
        queue_bytes: float = 250_000.0,
        loss: float = 0.0,
        mark_bytes: float | None = None,
        clears_marks: bool = False,
        drops_marks: bool = False,
        datagram_bytes: int = 1200,
        seed: int = 0,
    ) -> None:
        self.now = 0.0
        self.dropped = self.marked = 0
        self._mark_bytes, self._clears_marks, self._drops_marks = mark_bytes, clears_marks, drops_marks
        self._bandwidth_bytes_s, self._round_trip_s, self._queue_bytes = bandwidth_bytes_s, round_trip_s, queue_bytes
        self._loss, self._random, self._order = loss, Random(seed), count()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._drains_at = 0.0
        self._queue_integral = self._queue_noted_at = 0.0
        forth, back = bytes([1]) * 32, bytes([2]) * 32
        self.flows = [
            Flow(
                Session(
                    TransportKeys(forth, back, b""),
                    remote_index=1,
                    datagram_bytes=datagram_bytes,
                    settings=QUIET,
                    now=moment,
                    first_round_trip_s=round_trip_s,
                ),
                Session(
                    TransportKeys(back, forth, b""),
                    remote_index=2,
                    datagram_bytes=datagram_bytes,
                    settings=QUIET,
                    now=moment,
                ),
                moment,
            )
            for moment in begin_at
        ]

    def run(self, until: float) -> None:
        """Let time pass."""
        while True:
            for flow in self.flows:
                if flow.begins_at <= self.now:
                    self._flush(flow)
            moment = self._upcoming()
            if moment > until:
                self.now = until
                return
            self.now = max(self.now, moment)
            while self._agenda and self._agenda[0][0] <= self.now:
                heapq.heappop(self._agenda)[2]()
            for flow in self.flows:
                for session in (flow.sender, flow.receiver):
                    deadline = session.deadline  # asked once: it is dear, and this the innermost loop
                    if deadline is not None and deadline <= self.now:
                        session.on_deadline(self.now)

    def _upcoming(self) -> float:
        moments = [flow.begins_at for flow in self.flows if flow.begins_at > self.now]
        for flow in self.flows:
            if flow.begins_at <= self.now:
                moments += [each for each in (flow.sender.deadline, flow.receiver.deadline) if each is not None]
        return min(moments + [moment for moment, _, _ in self._agenda[:1]])

    def _flush(self, flow: Flow) -> None:
        flow.top_up()
        for datagram in flow.sender.datagrams(self.now):
            self._squeeze(flow, datagram, flow.sender.mark)
        for datagram in flow.receiver.datagrams(self.now):
            self._at(self.now + self._round_trip_s / 2, partial(self._answered, flow, datagram))

    def _at(self, moment: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (moment, next(self._order), action))

    def _squeeze(self, flow: Flow, datagram: bytes, mark: Ecn) -> None:
        waiting_bytes = max(self._drains_at - self.now, 0.0) * self._bandwidth_bytes_s
        flow.sent_marked += mark is not Ecn.NOT_ECT
        is_lost = self._random.random() < self._loss or (self._drops_marks and mark is not Ecn.NOT_ECT)
        if waiting_bytes + len(datagram) > self._queue_bytes or is_lost:
            self.dropped += 1
            return
        if mark and self._mark_bytes is not None and waiting_bytes >= self._mark_bytes:
            mark, self.marked = Ecn.CE, self.marked + 1
        elif self._clears_marks:
            mark = Ecn.NOT_ECT
        self._note_queue()
        self._drains_at = max(self._drains_at, self.now) + len(datagram) / self._bandwidth_bytes_s
        self._at(self._drains_at + self._round_trip_s / 2, partial(self._arrived, flow, datagram, mark))

    def _note_queue(self) -> None:
        """Add up waiting time x time since the last call; the queue falls steadily in between."""
        full_s = max(self._drains_at - self._queue_noted_at, 0.0)
        passed_s = self.now - self._queue_noted_at
        left_s = max(full_s - passed_s, 0.0)
        self._queue_integral += (full_s + left_s) / 2 * min(passed_s, full_s)
        self._queue_noted_at = self.now

    @property
    def mean_queue_bytes(self) -> float:
        """What has stood before the link, on average over time."""
        self._note_queue()
        return self._queue_integral / self.now * self._bandwidth_bytes_s

    def _arrived(self, flow: Flow, datagram: bytes, mark: Ecn) -> None:
        for event in flow.receiver.receive(datagram, self.now, mark=mark) or ():
            assert isinstance(event, MessageReceived)
            flow.delivered_bytes += len(event.body)

    def _answered(self, flow: Flow, datagram: bytes) -> None:
        flow.sender.receive(datagram, self.now)


def fairness(shares: list[float]) -> float:
    """Jain's index: 1 where all have the same, 1/n where one has everything."""
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))
