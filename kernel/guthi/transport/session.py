"""Decides what one session sends and when: reliable, encrypted messages between two nodes over datagrams.

Invariants: every message is delivered once, or the session ends with SessionLost or SessionClosed and the fate of
what was not acknowledged is unknown. A packet number is used for one packet only, and so is its nonce. Packets are
accepted once (RFC 6479's window), in any order. How a session ends is decided in `closing`, what silence means in
`liveness`.

Sources: RFC 9000 and 9002 for acknowledgement and recovery; WireGuard for the index in the header. Who speaks to a
session: `receive` for each datagram, `datagrams` at the end of a loop turn (so that all frames of the turn share
datagrams), `on_deadline` when `deadline` has come.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, assert_never

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from guthi.api import Buffer
from guthi.errors import MalformedMessage, UsageError
from guthi.security.handshake import TransportKeys
from guthi.security.replay import ReplayWindow
from guthi.transport.acknowledgements import MAX_ACK_DELAY_S, Acknowledgements
from guthi.transport.closing import Closing, SessionState
from guthi.transport.congestion import Congestion
from guthi.transport.inbox import Delivery, Inbox
from guthi.transport.liveness import Liveness
from guthi.transport.outbox import UNORDERED, UNORDERED_BULK, Carried, Outbox, Outgoing
from guthi.transport.pacing import GAIN, SLOW_START_GAIN, Pacer
from guthi.transport.pathmtu import PathMtu
from guthi.transport.recovery import Recovery, SentPacket
from guthi.transport.wire import (
    HEADER,
    PING,
    SESSION_KIND,
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
    "SessionSettings",
    "SessionState",
]

MAX_CHANNEL = 0xFFFFFFFF
_NONCE_PREFIX = bytes(4)


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Times in seconds and sizes in bytes that a session keeps to."""

    keepalive_s: float = 5.0
    timeout_s: float = 10.0
    max_message_bytes: int = 1 << 30
    idle_s: float = 60.0


class MessageReceived(NamedTuple):
    """A message arrived, whole and for the first time; `body` is the receiver's to keep."""

    channel: int
    body: Buffer


@dataclass(frozen=True, slots=True)
class SessionClosed:
    """The session was closed by either side; nothing more comes."""

    code: int
    reason: str
    by_peer: bool


@dataclass(frozen=True, slots=True)
class SessionLost:
    """The peer fell silent."""

    reason: str


SessionEvent: TypeAlias = MessageReceived | SessionClosed | SessionLost


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
        self._seal, self._open = AESGCM(keys.send), AESGCM(keys.receive)
        self._remote_index = remote_index
        self._path = PathMtu(datagram_bytes)
        self._settings = settings
        self._peer_max_message_bytes = (
            settings.max_message_bytes if peer_max_message_bytes is None else peer_max_message_bytes
        )
        self._outbox = Outbox()
        self._inbox = Inbox(settings.max_message_bytes)
        self._recovery: Recovery[Carried] = Recovery(MAX_ACK_DELAY_S, first_round_trip_s)
        self._congestion = Congestion(self._path.datagram_bytes)
        self._pacer = Pacer(self._path.datagram_bytes, now)
        self._pace_at: float | None = None  # when data that the pacer holds back may leave
        self._held_back = False  # more would have been sent, had window and pacer allowed it
        self._acknowledgements = Acknowledgements()
        self._window = ReplayWindow()
        self._probes_due = 0
        self._ping_due = False
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
        size_bytes = sum(map(len, parts))
        if size_bytes > self._peer_max_message_bytes:
            raise UsageError(
                f"a message of {size_bytes} bytes is longer than the peer's max_message of "
                f"{self._peer_max_message_bytes}; raise [transport] max_message there, or send it in pieces"
            )
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
        return self._path.datagram_bytes

    # ---- receiving

    def receive(self, datagram: Buffer, now: float) -> list[SessionEvent] | None:
        """Take one datagram in; None when it is not authentic or came before, and nothing has changed."""
        header = bytes(datagram[: HEADER.size])
        if len(header) < HEADER.size:
            return None
        number = int.from_bytes(header[-8:], "big")
        if not self._window.fresh(number):
            return None
        try:
            payload = self._open.decrypt(_NONCE_PREFIX + header[-8:], memoryview(datagram)[HEADER.size :], header)
        except (InvalidTag, ValueError):
            return None
        self._window.mark(number)
        self._liveness.heard(now)
        return self._opened(number, payload, now)

    def _opened(self, number: int, payload: bytes, now: float) -> list[SessionEvent]:
        if self._closing.state is not SessionState.OPEN:
            self._closing.received(payload)
            return []
        events: list[SessionEvent] = []
        deliveries: list[Delivery] = []
        try:
            frames = decode_frames(payload)
            asks = False
            for frame in frames:
                if isinstance(frame, Message):
                    self._inbox.message(frame, deliveries)
                    asks = True
                elif isinstance(frame, Ack):
                    self._acknowledged(frame, now)
                elif isinstance(frame, Close):
                    self._closing.closed_by_peer()
                    events.append(SessionClosed(frame.code, frame.reason, by_peer=True))
                    break
                else:
                    self._control(frame, deliveries)
                    asks = True
            self._acknowledgements.received(number, asks, now)
            if deliveries:
                self._liveness.used(now)
        except MalformedMessage as breach:
            self.close(CloseCode.BREACH, str(breach))
            events.append(SessionClosed(CloseCode.BREACH, f"the peer broke the protocol: {breach}", by_peer=False))
        arrived: list[SessionEvent] = [MessageReceived(channel, body) for channel, body in deliveries]
        return arrived + events if events else arrived

    def _control(self, frame: Ping | Fragment | Credit | Abandon, deliveries: list[Delivery]) -> None:
        match frame:
            case Fragment():
                self._inbox.fragment(frame, deliveries)
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
        trip = self._recovery.round_trip
        if outcome.sampled and self._held_back:
            self._congestion.sampled(trip.latest_s, outcome.acknowledged[-1].number, self._recovery.next_number)
        for packet in outcome.acknowledged:
            self._congestion.acknowledged(
                packet.size_bytes, packet.sent_at, now, trip.smoothed_s, is_full=self._held_back
            )
            if self._path.is_probe(packet.number):
                self._path.probe_arrived()
                self._congestion.resized(self._path.datagram_bytes)
            self._path.arrived(packet.size_bytes)
            for carried in packet.carried:
                self._outbox.acknowledged(carried)
            if packet.number == self._credit_packet:
                self._credit_packet = None
        if outcome.lost:
            self._lost(outcome.lost, now)
            if outcome.persistent:
                self._congestion.collapsed()

    def _lost(self, packets: Sequence[SentPacket[Carried]], now: float) -> None:
        data = [packet for packet in packets if not self._path.is_probe(packet.number)]
        if len(data) < len(packets):
            self._path.probe_lost()
        if not data:
            return
        self._congestion.lost(data[-1].sent_at, now)
        for packet in data:
            self._path.lost(packet.size_bytes)
            self._resend(packet)
        self._congestion.resized(self._path.datagram_bytes)

    def _resend(self, packet: SentPacket[Carried]) -> None:
        for carried in packet.carried:
            self._outbox.lost(carried)
        if packet.number == self._credit_packet:
            self._credit_packet = None
            self._credit_due = True

    # ---- sending

    def datagrams(self, now: float) -> Iterator[bytes]:
        """All datagrams that may leave now, made one by one: the first is under way while the next is being sealed."""
        if self._closing.state is not SessionState.OPEN:
            retry_s = self._recovery.round_trip.probe_interval_s(MAX_ACK_DELAY_S)
            if (frame := self._closing.take_frame(now, retry_s)) is not None:
                yield self._sealed([frame], None, now)
            return
        credit = self._inbox.current_credit_frame() if self._credit_due else self._inbox.credit_frame()
        if self._outbox.ready:
            self._fill_bucket(now)
        sent = 0
        while (datagram := self._next_datagram(credit, now)) is not None:
            credit = None
            sent += 1
            yield datagram
        self._note_what_holds_back()
        if (sent > 1 or self._held_back) and (probe_bytes := self._path.probe_bytes(now)) is not None:
            yield self._path_probe(probe_bytes, now)

    def _fill_bucket(self, now: float) -> None:
        congestion = self._congestion
        gain = SLOW_START_GAIN if congestion.in_slow_start else GAIN
        round_trip_s = self._recovery.round_trip.smoothed_s
        self._pacer.fill(congestion.window_bytes, round_trip_s, congestion.datagram_bytes, now, gain)

    def _note_what_holds_back(self) -> None:
        self._held_back = self._outbox.ready
        has_window = self._recovery.in_flight_bytes < self._congestion.window_bytes
        self._pace_at = self._pacer.next_at() if self._held_back and has_window else None

    @property
    def _may_send(self) -> bool:
        if self._probes_due:
            return True
        return self._recovery.in_flight_bytes < self._congestion.window_bytes and self._pacer.allows

    def _next_datagram(self, credit: bytes | None, now: float) -> bytes | None:
        has_data = self._may_send and self._outbox.ready
        asks = has_data or self._ping_due or credit is not None
        due = self._acknowledgements.deadline
        if not asks and (due is None or due > now):
            return None
        frames: list[Buffer] = []
        carried: list[Carried] = []
        if self._acknowledgements.wanted:
            frames.append(self._acknowledgements.take(now))
        if credit is not None:
            frames.append(credit)
            self._credit_packet, self._credit_due = self._recovery.next_number, False
        if has_data:
            payload_bytes = self._path.datagram_bytes - HEADER.size - TAG_BYTES
            self._outbox.fill(payload_bytes - sum(map(len, frames)), frames, carried)
        if self._ping_due or (asks and credit is None and not carried):
            frames.append(PING)
        self._ping_due = False
        return self._sealed(frames, carried if asks else None, now)

    def _path_probe(self, size_bytes: int, now: float) -> bytes:
        """A padded datagram beside the data; it takes nothing of the window, and its loss is no sign of congestion."""
        number = self._recovery.next_number
        self._path.probe_sent(number, now)
        padding = encode_padding(size_bytes - HEADER.size - TAG_BYTES - len(PING))
        datagram = self._sealed([PING, padding], None, now)
        self._recovery.sent(SentPacket(number, now, 0, []))
        return datagram

    def _sealed(self, frames: list[Buffer], carried: list[Carried] | None, now: float) -> bytes:
        """One datagram; with `carried` None it asks for no acknowledgement and is not tracked."""
        number = self._recovery.next_number
        self._recovery.next_number += 1
        header = HEADER.pack(SESSION_KIND, self._remote_index, number)
        datagram = header + self._seal.encrypt(_NONCE_PREFIX + header[-8:], b"".join(frames), header)
        if carried is not None:
            self._probes_due = max(self._probes_due - 1, 0)
            self._pacer.spend(len(datagram))
            if carried:
                self._liveness.used(now)
            self._recovery.sent(SentPacket(number, now, len(datagram), carried))
            self._liveness.asked(now)
        return datagram

    # ---- time

    @property
    def deadline(self) -> float | None:
        """When `on_deadline` wants to be called; None for never."""
        if self._closing.state is not SessionState.OPEN:
            return self._closing.deadline
        first = self._liveness.deadline
        if first is None and self.settled:
            first = self._liveness.over_at
        for moment in (self._acknowledgements.deadline, self._recovery.deadline, self._pace_at):
            if moment is not None and (first is None or moment < first):
                first = moment
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
        self._congestion.resized(self._path.datagram_bytes)
        self._probes_due = 1
        self._resend(next(self._recovery.in_flight))
        if not self._outbox.ready:
            self._ping_due = True  # what the packet carried was given up meanwhile, or it was a PING itself
