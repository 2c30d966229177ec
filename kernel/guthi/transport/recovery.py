"""Decides which sent packets are acknowledged, which are lost, and when silence calls for a probe.

Theory: RFC 9002, sections 5 and 6, for one packet-number space.

- The round-trip time is sampled when the newest packet that an ACK names is newly acknowledged; smoothed with gains
  1/8 and 1/4, the peer's own delay taken off when that leaves no less than the minimum seen.
- A packet is lost when a later one is acknowledged and it is either three packets older or was sent more than 9/8 of
  a round trip ago. Until the second condition can hold, `deadline` is the moment at which it will.
- Congestion is persistent (section 7.6) when packets that were sent longer apart than PERSISTENT_INTERVALS probe
  intervals are lost, and all between them.
- When nothing later is acknowledged, a probe timeout (smoothed + 4 x variation + the peer's ack delay, doubled each
  time it fires) asks for one; a probe timeout by itself declares nothing lost.

Numbers of lost packets are never used again: what they carried goes out in new packets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from guthi.errors import MalformedMessage

__all__ = ["AckOutcome", "Recovery", "RoundTrip", "SentPacket"]

PACKET_THRESHOLD = 3
TIME_THRESHOLD = 9 / 8
GRANULARITY_S = 0.001
INITIAL_ROUND_TRIP_S = 0.1
MAX_PROBE_INTERVAL_S = 2.0
PERSISTENT_INTERVALS = 3

Carried = TypeVar("Carried")


class SentPacket(Generic[Carried]):
    """One packet that asks for an acknowledgement, and what it carried; `marked` if it left with an ECN mark."""

    __slots__ = ("carried", "marked", "number", "sent_at", "size_bytes")

    def __init__(
        self, number: int, sent_at: float, size_bytes: int, carried: list[Carried], *, marked: bool = False
    ) -> None:
        self.number, self.sent_at, self.size_bytes = number, sent_at, size_bytes
        self.carried, self.marked = carried, marked


class AckOutcome(Generic[Carried]):
    """What one acknowledgement changed: packets newly acknowledged and packets now known to be lost, oldest first.

    `sampled` tells whether it gave a round trip, `persistent` whether the losses mean persistent congestion.
    """

    __slots__ = ("acknowledged", "lost", "persistent", "sampled")

    def __init__(self, acknowledged: list[SentPacket[Carried]]) -> None:
        self.acknowledged = acknowledged
        self.lost: list[SentPacket[Carried]] = []
        self.sampled = self.persistent = False


class RoundTrip:
    """The estimate of the round-trip time (RFC 9002, section 5)."""

    __slots__ = ("latest_s", "minimum_s", "sampled", "smoothed_s", "variation_s")

    def __init__(self, first_sample_s: float | None = None) -> None:
        self.sampled = False
        self.latest_s = self.minimum_s = self.smoothed_s = INITIAL_ROUND_TRIP_S
        self.variation_s = INITIAL_ROUND_TRIP_S / 2
        if first_sample_s is not None:
            self.sample(first_sample_s, 0.0)

    def sample(self, round_trip_s: float, ack_delay_s: float) -> None:
        """Take one measurement in."""
        self.latest_s = round_trip_s
        if not self.sampled:
            self.sampled = True
            self.minimum_s = self.smoothed_s = round_trip_s
            self.variation_s = round_trip_s / 2
            return
        if round_trip_s < self.minimum_s:
            self.minimum_s = round_trip_s
        adjusted = round_trip_s - ack_delay_s
        if adjusted < self.minimum_s:
            adjusted = round_trip_s
        error = adjusted - self.smoothed_s
        self.variation_s += ((error if error > 0 else -error) - self.variation_s) / 4
        self.smoothed_s += error / 8

    def probe_interval_s(self, peer_ack_delay_s: float) -> float:
        """How long to wait for an acknowledgement before a probe (RFC 9002, section 6.2.1)."""
        margin_s = 4 * self.variation_s
        return self.smoothed_s + (margin_s if margin_s > GRANULARITY_S else GRANULARITY_S) + peer_ack_delay_s

    def loss_delay_s(self) -> float:
        """How much older than an acknowledged packet a missing one may be."""
        return max(TIME_THRESHOLD * max(self.smoothed_s, self.latest_s), GRANULARITY_S)


class Recovery(Generic[Carried]):
    """The packets in flight on one session."""

    def __init__(self, peer_ack_delay_s: float, round_trip: RoundTrip | None = None) -> None:
        self.round_trip = round_trip or RoundTrip()
        self.in_flight_bytes = 0
        self.probes_in_a_row = 0
        self.next_number = 0
        self._peer_ack_delay_s = peer_ack_delay_s
        self._sent: dict[int, SentPacket[Carried]] = {}  # ordered by number, because numbers only grow
        self._largest_acknowledged = -1
        self._last_sent_at = 0.0
        self._loss_at: float | None = None
        self._sampled_since: float | None = None

    def __len__(self) -> int:
        return len(self._sent)

    @property
    def in_flight(self) -> Iterator[SentPacket[Carried]]:
        """The packets still waiting for an acknowledgement, oldest first."""
        return iter(self._sent.values())

    def sent(self, packet: SentPacket[Carried]) -> None:
        """A packet that asks for an acknowledgement has left."""
        self._sent[packet.number] = packet
        self._last_sent_at = packet.sent_at
        self.in_flight_bytes += packet.size_bytes

    def acknowledge(self, ranges: Sequence[tuple[int, int]], delay_s: float, now: float) -> AckOutcome[Carried]:
        """Take an ACK in; `ranges` are closed and highest first. Raises MalformedMessage for a packet never sent."""
        largest = ranges[0][1] if ranges else -1
        if largest >= self.next_number:
            raise MalformedMessage(f"packet {largest} was acknowledged but never sent")
        taken = self._take(ranges) if self._sent else []
        outcome = AckOutcome(taken)
        if taken:
            self.probes_in_a_row = 0
            newest = taken[-1]
            if newest.number == largest:  # else the delay is that of another packet
                self._sample(now - newest.sent_at, delay_s, now)
                outcome.sampled = True
        before = self._largest_acknowledged
        if largest > before:
            self._largest_acknowledged = largest
        if taken or largest > before:
            outcome.lost = self.detect_losses(now)
            outcome.persistent = bool(outcome.lost) and self._is_persistent(outcome, before)
        return outcome

    def _sample(self, round_trip_s: float, ack_delay_s: float, now: float) -> None:
        longest_s = self._peer_ack_delay_s
        self.round_trip.sample(round_trip_s, ack_delay_s if ack_delay_s < longest_s else longest_s)
        if self._sampled_since is None:
            self._sampled_since = now

    def _is_persistent(self, outcome: AckOutcome[Carried], acknowledged_before: int) -> bool:
        """Look at the lost packets between the last that was acknowledged before and the first that is now."""
        if self._sampled_since is None or not outcome.acknowledged:
            return False
        first = outcome.acknowledged[0].number
        sent_at = [
            packet.sent_at
            for packet in outcome.lost
            if acknowledged_before < packet.number < first and packet.sent_at > self._sampled_since
        ]
        interval_s = self.round_trip.probe_interval_s(self._peer_ack_delay_s)
        return bool(sent_at) and sent_at[-1] - sent_at[0] > PERSISTENT_INTERVALS * interval_s

    def _take(self, ranges: Sequence[tuple[int, int]]) -> list[SentPacket[Carried]]:
        """The packets in flight that are in the ranges, oldest first."""
        take, taken, taken_bytes = self._sent.pop, [], 0
        oldest = next(iter(self._sent))
        for lowest, highest in reversed(ranges):
            for number in range(lowest if lowest > oldest else oldest, highest + 1):
                packet = take(number, None)
                if packet is not None:
                    taken_bytes += packet.size_bytes
                    taken.append(packet)
        self.in_flight_bytes -= taken_bytes
        return taken

    def detect_losses(self, now: float) -> list[SentPacket[Carried]]:
        """Take out and return the packets that count as lost by now (RFC 9002, section 6.1)."""
        self._loss_at = None
        lost: list[SentPacket[Carried]] = []
        if not self._sent or next(iter(self._sent)) > self._largest_acknowledged:
            return lost
        delay = self.round_trip.loss_delay_s()
        for packet in self._sent.values():
            if packet.number > self._largest_acknowledged:
                break
            if self._largest_acknowledged - packet.number >= PACKET_THRESHOLD or packet.sent_at + delay <= now:
                lost.append(packet)
            else:
                self._loss_at = packet.sent_at + delay
                break  # numbers and send times grow together: the rest is younger
        self.forget(lost)
        return lost

    def forget(self, packets: Sequence[SentPacket[Carried]]) -> None:
        """Take packets out of the flight; what they carried is the caller's to send again."""
        for packet in packets:
            if self._sent.pop(packet.number, None) is not None:
                self.in_flight_bytes -= packet.size_bytes

    def restart(self, round_trip: RoundTrip) -> list[SentPacket[Carried]]:
        """Go on over another path: take out and return what is in flight on the old one, and forget its losses."""
        in_flight = list(self._sent.values())
        self._sent.clear()
        self.in_flight_bytes = self.probes_in_a_row = 0
        self._loss_at = self._sampled_since = None
        self.round_trip = round_trip
        return in_flight

    @property
    def deadline(self) -> float | None:
        """When `detect_losses` or, with no loss pending, a probe is due."""
        if not self._sent:
            return None
        if self._loss_at is not None:
            return self._loss_at
        interval_s = self.round_trip.probe_interval_s(self._peer_ack_delay_s)
        if self.probes_in_a_row:
            backed_off_s = min(interval_s * (1 << min(self.probes_in_a_row, 16)), MAX_PROBE_INTERVAL_S)
            interval_s = max(interval_s, backed_off_s)
        return self._last_sent_at + interval_s

    @property
    def loss_pending(self) -> bool:
        """True while a packet waits for its time threshold: the next deadline is a loss check, not a probe."""
        return self._loss_at is not None
