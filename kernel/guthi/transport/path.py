"""Decides how much may leave to one address of the peer, and when: all that is known of one path through the network.

A path has a round-trip time, a congestion window, a pacer and a datagram size of its own. Where a peer moves to another
host they begin anew; where only its port changed, it sits behind a NAT that forgot it, and they go on (RFC 9000,
section 9.4).

Validation (RFC 9000, sections 8 and 9.3). What a packet claims of its source is not authenticated: whoever copies a
packet can send the copy from elsewhere, and so make us send there. So a new path is *on trial*: BUDGET times what came
from there may go back in data, and a probe at each timeout, until a packet that was sent to it is acknowledged. If none
is in time, the *former* path holds again, with all that was known of it.

| path     | data                   | path-MTU probes | leaves by                                                     |
|----------|------------------------|-----------------|---------------------------------------------------------------|
| on trial | BUDGET x what came     | none            | an acknowledgement -> holds; TRIAL_PROBES intervals -> former |
| holds    | what the window allows | yes             | the newest packet came from elsewhere                         |
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from guthi.api import Address, Ecn
from guthi.transport.acknowledgements import MAX_ACK_DELAY_S
from guthi.transport.congestion import Congestion
from guthi.transport.ecn import Marking
from guthi.transport.outbox import Carried
from guthi.transport.pacing import GAIN, SLOW_START_GAIN, Pacer
from guthi.transport.pathmtu import PathMtu
from guthi.transport.recovery import AckOutcome, RoundTrip, SentPacket
from guthi.transport.wire import Ack

__all__ = ["Path"]

BUDGET = 3
TRIAL_PROBES = 3
SPARE_DATAGRAMS = 2  # for what messages cost beyond their bytes
_NOT_ECT = Ecn.NOT_ECT


class Path:
    """The path to `address`; `largest_bytes` is the largest datagram to try, `former` the path to go back to.

    `held_back` tells whether more would have been sent in the last turn, had window and pacer allowed it, and `pace_at`
    when the pacer will.
    """

    __slots__ = (
        "_budget_bytes",
        "_first_number",
        "_largest_bytes",
        "_pacer",
        "address",
        "congestion",
        "former",
        "gives_up_at",
        "held_back",
        "marking",
        "mtu",
        "pace_at",
        "round_trip",
    )

    def __init__(
        self,
        largest_bytes: int,
        now: float,
        first_round_trip_s: float | None = None,
        address: Address | None = None,
        marking: Marking | None = None,
    ) -> None:
        self.address = address
        self.round_trip = RoundTrip(first_round_trip_s)
        self.mtu = PathMtu(largest_bytes)
        self.congestion = Congestion(self.mtu.datagram_bytes)
        self.marking = marking or Marking()
        self._pacer = Pacer(self.mtu.datagram_bytes, now)
        self._largest_bytes = largest_bytes
        self.held_back = False
        self.pace_at: float | None = None
        self.former: Path | None = None
        self.gives_up_at: float | None = None
        self._budget_bytes = 0
        self._first_number = 0

    # ---- trial

    def moved_to(self, address: Address, next_number: int, now: float) -> Path:
        """The path to where the peer is now; on trial, unless it is the one that was left on trial."""
        former = self.former or self
        if former.address == address:
            return former
        is_rebinding = former.address is not None and former.address.host == address.host
        path = copy.copy(former) if is_rebinding else Path(self._largest_bytes, now, marking=self.marking)
        path.address, path.former = address, former
        path._first_number, path._budget_bytes = next_number, 0
        intervals = (each.round_trip.probe_interval_s(MAX_ACK_DELAY_S) for each in (former, path))
        path.gives_up_at = now + TRIAL_PROBES * max(intervals)
        return path

    def heard(self, size_bytes: int) -> None:
        """So much came from there, while the path is on trial."""
        self._budget_bytes += BUDGET * size_bytes

    # ---- sending

    def begin_turn(self, in_flight_bytes: int, waiting_bytes: int, now: float) -> Ecn:
        """Data waits: count what time has earned the pacer; returns the mark for the datagrams of the turn.

        Where the pacer would let all leave as it is, which is so with short messages now and then, nothing is counted.
        """
        congestion = self.congestion
        if not self._pacer.suffices(waiting_bytes + SPARE_DATAGRAMS * congestion.datagram_bytes):
            self._fill_pacer(now)
        return self.marking.mark if 2 * in_flight_bytes >= congestion.window_bytes else _NOT_ECT

    def _fill_pacer(self, now: float) -> bool:
        """Count what time has earned; whether that is anything."""
        congestion, pacer = self.congestion, self._pacer
        gain = SLOW_START_GAIN if congestion.in_slow_start else GAIN
        pacer.fill(congestion.window_bytes, self.round_trip.smoothed_s, congestion.datagram_bytes, now, gain)
        return pacer.allows

    def admits(self, in_flight_bytes: int, now: float) -> bool:
        """Whether one more datagram of data may leave."""
        if self.former is not None and self._budget_bytes <= 0:
            return False
        if in_flight_bytes >= self.congestion.window_bytes:
            return False
        return self._pacer.allows or self._fill_pacer(now)

    @property
    def _has_budget(self) -> bool:
        return self.former is None or self._budget_bytes > 0

    def end_turn(self, in_flight_bytes: int, more_waits: bool) -> None:
        """All has left that may; `more_waits` tells whether that was all there is."""
        self.held_back = more_waits
        self.pace_at = None
        if more_waits and in_flight_bytes < self.congestion.window_bytes and self._has_budget:
            self.pace_at = self._pacer.next_at()

    def sent(self, packet: SentPacket[Carried]) -> None:
        """A packet that asks for an acknowledgement leaves."""
        self._pacer.spend(packet.size_bytes)
        if packet.marked:
            self.marking.sent()
        if self.former is not None:
            self._budget_bytes -= packet.size_bytes

    def probe_bytes(self, now: float) -> int | None:
        """The size of a path-MTU probe that may go out now, if there is any."""
        return self.mtu.probe_bytes(now) if self.former is None else None

    # ---- what became of it

    def acknowledged(self, frame: Ack, outcome: AckOutcome[Carried], next_number: int, now: float) -> None:
        """An ACK came; what it shows to be lost is told by `lost`."""
        packets, congestion, mtu = outcome.acknowledged, self.congestion, self.mtu
        if not packets:
            return
        newest = packets[-1]
        if self.former is not None and newest.number >= self._first_number:
            self.former = self.gives_up_at = None
        round_trip_s = self.round_trip.smoothed_s
        if outcome.sampled and self.held_back:
            congestion.sampled(self.round_trip.latest_s, newest.number, next_number)
        size_bytes = marked = 0
        for packet in packets:
            size_bytes += packet.size_bytes
            marked += packet.marked
        congestion.acknowledged(size_bytes, packets[0].sent_at, now, round_trip_s, is_full=self.held_back)
        if mtu.probe_number is not None and any(packet.number == mtu.probe_number for packet in packets):
            mtu.probe_arrived()
            congestion.resized(mtu.datagram_bytes)
        if mtu.large_losses:
            mtu.arrived(max(packet.size_bytes for packet in packets))
        if self.marking.is_used and self.marking.acknowledged(marked, frame.counts):
            congestion.lost(newest.sent_at, now)

    def lost(self, packets: Sequence[SentPacket[Carried]], now: float) -> list[SentPacket[Carried]]:
        """Packets were lost; returns those that were no probes, so that it matters."""
        data = [packet for packet in packets if packet.number != self.mtu.probe_number]
        if len(data) < len(packets):
            self.mtu.probe_lost()
        if data:
            self.congestion.lost(data[-1].sent_at, now)
            self.marking.lost(sum(packet.marked for packet in data))
            for packet in data:
                self.mtu.lost(packet.size_bytes)
            self.congestion.resized(self.mtu.datagram_bytes)
        return data

    def timed_out(self, times_in_a_row: int) -> None:
        """Nothing was acknowledged for so many probe timeouts."""
        self.mtu.timed_out(times_in_a_row)
        self.congestion.resized(self.mtu.datagram_bytes)

    def left(self) -> None:
        """Another path is used from now on: what is on its way here will not be told of."""
        self.held_back, self.pace_at = False, None
        self.mtu.probe_forgotten()
