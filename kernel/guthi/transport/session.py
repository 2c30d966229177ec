"""Decides what one session sends and when: reliable, encrypted messages between two nodes over datagrams.

Invariants: every message is delivered once, or the session ends with SessionLost or SessionClosed and the fate of
what was not acknowledged is unknown. A packet number is used for one packet only, and so is its nonce. Packets are
accepted once, in any order. Under which key is decided in `keys`, how much may leave to which address in `path`, how a
session ends in `closing`, what silence means in `liveness`.

Sources: RFC 9000 and 9002 for acknowledgement and recovery; WireGuard for the index in the header. Who speaks to a
session: `receive` for each datagram, `datagrams` at the end of a loop turn (so that all frames of the turn share
datagrams), `on_deadline` when `deadline` has come.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

from guthi.api import Address, Buffer, Ecn
from guthi.errors import MalformedMessage, UsageError
from guthi.security.handshake import TransportKeys
from guthi.transport.acknowledgements import MAX_ACK_DELAY_S, Acknowledgements
from guthi.transport.closing import Closing, SessionState
from guthi.transport.events import (
    MessageReceived,
    SessionClosed,
    SessionEvent,
    SessionLost,
    SessionMoved,
    SessionSettings,
)
from guthi.transport.inbox import Inbox
from guthi.transport.keys import Opening, Sealing
from guthi.transport.liveness import Liveness
from guthi.transport.outbox import (
    COUNTED_MESSAGE_BYTES,
    UNORDERED,
    UNORDERED_BULK,
    Carried,
    Outbox,
    Outgoing,
)
from guthi.transport.path import Path
from guthi.transport.recovery import Recovery, SentPacket
from guthi.transport.wire import (
    HEADER,
    MESSAGE_OVERHEAD_BYTES,
    PING,
    TAG_BYTES,
    Abandon,
    Ack,
    Close,
    CloseCode,
    Credit,
    Fragment,
    Message,
    Ping,
    decode_frames,
    encode_padding,
)

__all__ = [
    "MessageReceived",
    "Session",
    "SessionClosed",
    "SessionEvent",
    "SessionLost",
    "SessionMoved",
    "SessionSettings",
    "SessionState",
]

MAX_CHANNEL = 0xFFFFFFFF
_NOT_ECT = Ecn.NOT_ECT
_OPEN = SessionState.OPEN
OVERHEAD_BYTES = HEADER.size + TAG_BYTES
COMPANY_BYTES = 64  # an ordinary ACK with counts, or CREDIT, that a datagram takes along
LATE_PROBE_INTERVALS = 3  # for so long a packet of an older key may be on its way (RFC 9001, section 6.5)


class Session:
    """One side of a session; it lives from the end of the handshake to the close.

    `remote_index` stands in the header of what we send, `datagram_bytes` is the largest datagram that may be tried on
    the path, `peer_max_message_bytes` the largest message that the peer accepts.
    """

    def __init__(
        self,
        keys: TransportKeys,
        *,
        remote_index: int,
        datagram_bytes: int,
        settings: SessionSettings,
        now: float,
        peer_max_message_bytes: int | None = None,
        first_round_trip_s: float | None = None,
    ) -> None:
        self._closing = Closing()
        self._liveness = Liveness(
            keepalive_s=settings.keepalive_s, timeout_s=settings.timeout_s, idle_s=settings.idle_s, now=now
        )
        self._sealing = Sealing(
            keys.send, remote_index, now, epoch_packets=settings.epoch_packets, epoch_s=settings.epoch_s
        )
        self._opening = Opening(keys.receive, self._late_s)
        self._path = Path(datagram_bytes, now, first_round_trip_s)
        self.mark = Ecn.NOT_ECT  # what the datagram that was made last should have
        self._turn_mark = Ecn.NOT_ECT
        self._settings = settings
        self._outbox = Outbox(settings.max_message_bytes if peer_max_message_bytes is None else peer_max_message_bytes)
        self._inbox = Inbox(settings.max_message_bytes)
        self._recovery: Recovery[Carried] = Recovery(MAX_ACK_DELAY_S, self._path.round_trip)
        self._acknowledgements = Acknowledgements()
        self._probes_due = 0
        self._ping_due = False
        self._epoch_due = False  # the next datagram begins a key epoch
        self._credit_packet: int | None = None  # the packet that carried our newest CREDIT, until acknowledged
        self._credit_due = False

    # ---- what the node asks for

    def send(self, parts: Sequence[Buffer], channel: int = UNORDERED) -> Outgoing:
        """Queue a message; raises UsageError if it is longer than the peer accepts, or for one channel too many.

        Messages on one channel arrive in the order in which they were sent; on channel 0 each arrives as soon as it
        is complete. The parts are bytes throughout, and must not change until the message is acknowledged.
        """
        if not 0 <= channel <= MAX_CHANNEL or channel == UNORDERED_BULK:
            raise UsageError(f"channel {channel} is not free; use 0 for no order, or 2 to {MAX_CHANNEL}")
        return self._outbox.put(parts, channel)

    def abandon(self, message: Outgoing) -> None:
        """Give up a message that may not have been sent or delivered yet."""
        self._outbox.abandon(message)

    def ping(self) -> None:
        """Ask the peer for a sign of life with the next datagram."""
        self._ping_due = True

    def close(self, code: CloseCode, reason: str) -> None:
        """Say goodbye; messages not yet sent are dropped."""
        self._closing.close(code, reason)

    def expire(self) -> None:
        """End without a word."""
        self._closing.finish()

    @property
    def state(self) -> SessionState:
        """Where the session is in its life."""
        return self._closing.state

    @property
    def watched(self) -> bool:
        """Whether somebody waits for an answer of the peer, so that its silence is noticed."""
        return self._liveness.watched

    @watched.setter
    def watched(self, watched: bool) -> None:
        self._liveness.watched = watched

    @property
    def buffered_bytes(self) -> int:
        """Bytes of messages that the peer has not acknowledged."""
        return self._outbox.buffered_bytes

    @property
    def settled(self) -> bool:
        """True when all that was sent has been acknowledged and nothing waits."""
        return self._outbox.empty and not len(self._recovery)

    def is_stale(self, now: float) -> bool:
        """True when it has been unused for so long that the peer may be about to drop it."""
        return self._liveness.is_stale(now) and self.settled

    @property
    def round_trip_s(self) -> float:
        """The smoothed round-trip time."""
        return self._recovery.round_trip.smoothed_s

    @property
    def datagram_bytes(self) -> int:
        """The largest datagram that is known to pass."""
        return self._path.mtu.datagram_bytes

    @property
    def room_bytes(self) -> int:
        """How long a message may be that fits such a datagram beside an acknowledgement, and is counted."""
        room = self._path.mtu.datagram_bytes - OVERHEAD_BYTES - MESSAGE_OVERHEAD_BYTES - COMPANY_BYTES
        return min(room, COUNTED_MESSAGE_BYTES)

    @property
    def address(self) -> Address | None:
        """Where datagrams are to be sent; None as long as the session does not care."""
        return self._path.address

    @address.setter
    def address(self, address: Address) -> None:
        """Where the handshake found the peer."""
        self._path.address = address

    # ---- receiving

    def receive(
        self, datagram: Buffer, now: float, source: Address | None = None, mark: int = Ecn.NOT_ECT
    ) -> Sequence[SessionEvent] | None:
        """Take one datagram in; None when it is not authentic or came before, and nothing has changed."""
        packet = self._opening.open(datagram, now)
        if packet is None:
            return None
        self._liveness.heard(now)
        number, payload = packet
        if source != self._path.address and number == self._opening.newest:
            self._move(source, now)
        if self._path.former is not None:
            if source == self._path.address:
                self._path.heard(len(datagram))
            return self._opened_on_trial(number, payload, now, mark)
        return self._opened(number, payload, now, mark)

    def _opened_on_trial(self, number: int, payload: bytes, now: float, mark: int) -> Sequence[SessionEvent]:
        events = self._opened(number, payload, now, mark)
        path = self._path
        return [SessionMoved(path.address), *events] if path.former is None and path.address is not None else events

    def _move(self, source: Address | None, now: float) -> None:
        """The newest packet came from elsewhere (RFC 9000, section 9.3): answer there, and find out who is there."""
        if source is None or self._path.address is None:
            return
        self._use(self._path.moved_to(source, self._recovery.next_number, now))
        self._ping_due = True

    def _use(self, path: Path) -> None:
        """Send on this path; on another network than before, all that is in flight goes out again on it."""
        before, self._path = self._path, path
        if path.congestion is before.congestion:
            return
        before.left()
        path.marking.new_path()
        for packet in self._recovery.restart(path.round_trip):
            self._resend(packet)

    def _opened(self, number: int, payload: bytes, now: float, mark: int) -> Sequence[SessionEvent]:
        if self._closing.state is not _OPEN:
            self._closing.received(payload)
            return ()
        deliveries: list[MessageReceived] = []
        end: SessionClosed | None = None
        try:
            asks = False
            for frame in decode_frames(payload):
                if isinstance(frame, Message):
                    self._inbox.message(frame, deliveries)
                    asks = True
                elif isinstance(frame, Ack):
                    self._acknowledged(frame, now)
                elif isinstance(frame, Fragment):
                    self._inbox.fragment(frame, deliveries)
                    asks = True
                elif isinstance(frame, Close):
                    self._closing.closed_by_peer()
                    end = SessionClosed(frame.code, frame.reason, by_peer=True)
                    break
                else:
                    self._control(frame, deliveries)
                    asks = True
            self._acknowledgements.received(number, asks, now, mark)
            if deliveries:
                self._liveness.used(now)
        except MalformedMessage as breach:
            self.close(CloseCode.BREACH, str(breach))
            end = SessionClosed(CloseCode.BREACH, f"the peer broke the protocol: {breach}", by_peer=False)
        return deliveries if end is None else [*deliveries, end]

    def _control(self, frame: Ping | Credit | Abandon, deliveries: list[MessageReceived]) -> None:
        match frame:
            case Credit():
                self._outbox.grant(frame.counted_bytes, frame.bulk_messages)
            case Abandon():
                self._inbox.abandoned(frame, deliveries)
            case Ping():
                pass  # that it asks for an acknowledgement is all
            case _:
                assert_never(frame)

    def _acknowledged(self, frame: Ack, now: float) -> None:
        outcome = self._recovery.acknowledge(frame.ranges, frame.delay_us / 1e6, now)
        if outcome.acknowledged:
            if not self._sealing.is_confirmed:
                self._sealing.acknowledged(outcome.acknowledged[-1].number)
            self._path.acknowledged(frame, outcome, self._recovery.next_number, now)
        acknowledged = self._outbox.acknowledged
        for packet in outcome.acknowledged:
            for carried in packet.carried:
                acknowledged(carried)
            if packet.number == self._credit_packet:
                self._credit_packet = None
        if outcome.lost:
            self._lost(outcome.lost, now)
            if outcome.persistent:
                self._path.congestion.collapsed()

    def _lost(self, packets: Sequence[SentPacket[Carried]], now: float) -> None:
        for packet in self._path.lost(packets, now):
            self._resend(packet)

    def _resend(self, packet: SentPacket[Carried]) -> None:
        for carried in packet.carried:
            self._outbox.lost(carried)
        if packet.number == self._credit_packet:
            self._credit_packet = None
            self._credit_due = True

    # ---- sending

    def datagrams(self, now: float) -> Iterator[bytes]:
        """All datagrams that may leave now, made one by one: the first is under way while the next is being sealed."""
        if self._closing.state is not _OPEN:
            retry_s = self._recovery.round_trip.probe_interval_s(MAX_ACK_DELAY_S)
            if (frame := self._closing.take_frame(now, retry_s)) is not None:
                yield self._sealed([frame], None, now)
            return
        self._epoch_due = self._sealing.is_due(self._recovery.next_number, now)
        if self._epoch_due and self._sealing.is_exhausted(self._recovery.next_number):
            return  # `on_deadline` ends it
        credit = self._inbox.credit_frame() if self._credit_due or self._inbox.credit_is_due else None
        path, recovery = self._path, self._recovery
        data_waits = self._outbox.ready
        self._turn_mark = _NOT_ECT
        if data_waits:
            self._turn_mark = path.begin_turn(recovery.in_flight_bytes, self._outbox.buffered_bytes, now)
        sent = 0
        while (datagram := self._next_datagram(credit, now, data_waits=data_waits)) is not None:
            credit = None
            sent += 1
            yield datagram
            data_waits = self._outbox.ready
            if not data_waits:
                break  # nothing else is due any more: it went along
        if data_waits or path.held_back:
            path.end_turn(recovery.in_flight_bytes, data_waits)
        if (sent > 1 or path.held_back) and (probe_bytes := path.probe_bytes(now)) is not None:
            yield self._path_probe(probe_bytes, now)

    def _next_datagram(self, credit: bytes | None, now: float, *, data_waits: bool) -> bytes | None:
        has_data = data_waits and (self._probes_due or self._path.admits(self._recovery.in_flight_bytes, now))
        asks = has_data or self._ping_due or credit is not None
        due = self._acknowledgements.deadline
        if not asks and (due is None or due > now):
            return None
        if self._epoch_due and self._sealing.is_confirmed:
            self._sealing.advance(self._recovery.next_number, now)
            self._epoch_due, self._ping_due, asks = False, True, True
        frames: list[Buffer] = []
        carried: list[Carried] = []
        if due is not None and self._acknowledgements.rides(now):
            frames.append(self._acknowledgements.take(now))
        if credit is not None:
            frames.append(credit)
            self._credit_packet, self._credit_due = self._recovery.next_number, False
        if has_data:
            room = self._path.mtu.datagram_bytes - OVERHEAD_BYTES
            self._outbox.fill(room - sum(map(len, frames)) if frames else room, frames, carried)
        if asks and credit is None and not carried:
            frames.append(PING)
        self._ping_due = False
        return self._sealed(frames, carried if asks else None, now)

    def _path_probe(self, size_bytes: int, now: float) -> bytes:
        """A padded datagram beside the data; it takes nothing of the window, and its loss is no sign of congestion."""
        number = self._recovery.next_number
        self._path.mtu.probe_sent(number, now)
        padding = encode_padding(size_bytes - OVERHEAD_BYTES - len(PING))
        datagram = self._sealed([PING, padding], None, now)
        self._recovery.sent(SentPacket(number, now, 0, []))
        return datagram

    def _sealed(self, frames: list[Buffer], carried: list[Carried] | None, now: float) -> bytes:
        """One datagram; with `carried` None it asks for no acknowledgement and is not tracked."""
        number = self._recovery.next_number
        self._recovery.next_number += 1
        datagram = self._sealing.seal(number, b"".join(frames))
        self.mark = self._turn_mark if carried else _NOT_ECT  # else its fate would not be known
        if carried is not None:
            if self._probes_due:
                self._probes_due -= 1
            if carried:
                self._liveness.used(now)
            packet = SentPacket(number, now, len(datagram), carried, marked=self.mark is not _NOT_ECT)
            self._path.sent(packet)
            self._recovery.sent(packet)
            self._liveness.asked(now)
        return datagram

    # ---- time

    def _late_s(self) -> float:
        return LATE_PROBE_INTERVALS * self._recovery.round_trip.probe_interval_s(MAX_ACK_DELAY_S)

    @property
    def deadline(self) -> float | None:
        """When `on_deadline` wants to be called; None for never."""
        if self._closing.state is not _OPEN:
            return self._closing.deadline
        first = self._liveness.deadline
        if first is None and self.settled:
            first = self._liveness.over_at
        path, drops_key_at = self._path, self._opening.deadline
        for moment in (self._acknowledgements.deadline, self._recovery.deadline, path.pace_at):
            if moment is not None and (first is None or moment < first):
                first = moment
        if drops_key_at is not None or path.gives_up_at is not None:
            first = min(moment for moment in (first, drops_key_at, path.gives_up_at) if moment is not None)
        return first

    def on_deadline(self, now: float) -> list[SessionEvent]:
        """Do what time asks for; datagrams may be ready afterwards."""
        if self._closing.state is not SessionState.OPEN:
            self._closing.on_deadline(now)
            return []
        if self._liveness.is_lost(now):
            self._closing.finish()
            return [SessionLost(f"no answer for {self._settings.timeout_s:g} s")]
        if self._liveness.is_over(now) and self.settled:
            self._closing.finish()
            return [SessionClosed(CloseCode.DONE, "nobody used the session any more", by_peer=False)]
        if self._sealing.is_exhausted(self._recovery.next_number):
            self._closing.finish()
            return [SessionLost("it confirms no new key")]
        self._opening.on_deadline(now)
        if self._path.former is not None and self._path.gives_up_at is not None and now >= self._path.gives_up_at:
            self._use(self._path.former)
        self._ping_due |= self._liveness.asks(now)
        recovery_at = self._recovery.deadline
        if recovery_at is not None and now >= recovery_at:
            self._recover(now)
        return []

    def _recover(self, now: float) -> None:
        if self._recovery.loss_pending:
            self._lost(self._recovery.detect_losses(now), now)
            return
        self._recovery.probes_in_a_row += 1
        self._path.timed_out(self._recovery.probes_in_a_row)
        self._probes_due = 1
        self._resend(next(self._recovery.in_flight))
        if not self._outbox.ready:
            self._ping_due = True  # what the packet carried was given up meanwhile, or it was a PING itself
