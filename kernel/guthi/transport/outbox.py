"""Decides which messages, and which pieces of them, the next datagram takes along.

A message is *counted* up to COUNTED_MESSAGE_BYTES long and *bulk* beyond. Counted messages go out first come, first
served, as long as the peer's byte credit lasts; a message that has begun has all the credit it needs. Bulk messages
take turns, fragment by fragment, as many at a time as the peer grants. When both kinds wait, they lead datagrams in
turn, so that neither starves the other. What was lost goes before what is new and needs no further credit.

Order: messages of one ordered channel leave in order. Behind an unfinished bulk message the rest of its channel
waits here, not at the peer. So the counted messages that hold credit wait for retransmission at most, the bulk
messages that hold a place for counted ones besides, and nothing can deadlock.

Channel UNORDERED promises no order: each message is delivered when it is complete.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import accumulate
from sys import maxsize
from typing import NamedTuple, TypeAlias

from guthi.api import Buffer
from guthi.errors import UsageError
from guthi.transport.ranges import RangeSet
from guthi.transport.wire import (
    FRAGMENT_OVERHEAD_BYTES,
    MESSAGE_OVERHEAD_BYTES,
    encode_abandon,
    fragment_header,
    message_header,
)

__all__ = [
    "COUNTED_MESSAGE_BYTES",
    "INITIAL_BULK_CREDIT",
    "INITIAL_COUNTED_CREDIT_BYTES",
    "MAX_CHANNELS",
    "MESSAGE_COST_BYTES",
    "UNORDERED",
    "UNORDERED_BULK",
    "Carried",
    "Outbox",
    "Outgoing",
    "Piece",
    "Surrender",
]

UNORDERED = 0
UNORDERED_BULK = 1  # bulk messages without order have a channel of their own: one may take long, and hold no other up
COUNTED_MESSAGE_BYTES = 64 * 1024
MESSAGE_COST_BYTES = 32  # what a message costs in credit beyond its bytes, so that empty ones are not free
INITIAL_COUNTED_CREDIT_BYTES = 4 * 1024 * 1024
INITIAL_BULK_CREDIT = 8
MAX_CHANNELS = 65_536  # a session remembers each of them as long as it lives
SMALLEST_PIECE_BYTES = 256  # a fragment shorter than this is not worth its header, unless it is the last


class Outgoing:
    """One message on its way out; most have few of these attributes of their own, as they leave whole and arrive."""

    admitted = False  # it is in the queue of its kind, not behind a bulk message
    begun = False  # it has taken its credit
    next_offset = 0
    abandoned = acknowledged = False
    waits_again = False  # it is in the queue of messages to send again
    arrived: RangeSet | None = None  # made when a piece of it arrives
    lost: RangeSet | None = None
    offsets: list[int] | None = None  # where each part begins; made when a piece is cut out of several parts

    def __init__(self, channel: int, sequence: int, parts: Sequence[Buffer], size_bytes: int) -> None:
        self.channel, self.sequence, self.parts = channel, sequence, parts
        self.size_bytes = self.unacknowledged_bytes = size_bytes
        self.is_bulk = size_bytes > COUNTED_MESSAGE_BYTES  # it is sent in turns, under bulk credit

    @property
    def wholly_sent(self) -> bool:
        """True when every byte has been sent at least once."""
        return self.begun and self.next_offset >= self.size_bytes

    @property
    def settled(self) -> bool:
        """True when nothing of it has to be sent any more."""
        return self.acknowledged or self.abandoned

    def read(self, start: int, stop: int) -> list[Buffer]:
        """The bytes `start` to `stop` as views of the parts."""
        if len(self.parts) == 1:
            return [_cut(self.parts[0], start, stop)]
        offsets = self.offsets
        if offsets is None:
            offsets = self.offsets = list(accumulate(map(len, self.parts), initial=0))
        first = bisect_right(offsets, start) - 1
        if first < len(self.parts) and stop <= offsets[first + 1]:  # as a rule: bulk is a long part behind a short one
            return [_cut(self.parts[first], start - offsets[first], stop - offsets[first])]
        touched = range(first, bisect_left(offsets, stop, first))
        return [_cut(self.parts[each], max(start - offsets[each], 0), stop - offsets[each]) for each in touched]


class Piece(NamedTuple):
    """The bytes `start` to `stop` of a message, which one packet carried."""

    message: Outgoing
    start: int
    stop: int


class Surrender(NamedTuple):
    """The word that a message is given up; `size_bytes` is 0 where none of it was ever sent."""

    channel: int
    sequence: int
    size_bytes: int


Carried: TypeAlias = Outgoing | Piece | Surrender
"""What a packet may carry: a whole message, a piece of one, or the word that one is given up."""


class Outbox:
    """All messages of one session that are not yet acknowledged; the peer accepts none over `max_message_bytes`."""

    def __init__(self, max_message_bytes: int = maxsize) -> None:
        self.buffered_bytes = 0
        self._max_message_bytes = max_message_bytes
        self._next_sequence: dict[int, int] = {}
        self._surrenders: deque[Surrender] = deque()
        self._resend: deque[Outgoing] = deque()
        self._counted: deque[Outgoing] = deque()
        self._bulk: deque[Outgoing] = deque()  # they have a place at the peer, and take turns
        self._bulk_waiting: deque[Outgoing] = deque()  # for a place
        self._behind_bulk: dict[int, deque[Outgoing]] = {}
        self._counted_used = self._bulk_used = 0
        self._counted_limit = INITIAL_COUNTED_CREDIT_BYTES
        self._bulk_limit = INITIAL_BULK_CREDIT
        self._bulk_leads = False

    def put(self, parts: Sequence[Buffer], channel: int) -> Outgoing:
        """Queue a message; the parts, which are bytes throughout, must not change until it is acknowledged.

        Raises UsageError if it is longer than the peer accepts, or for one channel too many.
        """
        size_bytes = sum(map(len, parts))
        if size_bytes > self._max_message_bytes:
            raise UsageError(
                f"a message of {size_bytes} bytes is longer than the peer's max_message of "
                f"{self._max_message_bytes}; raise [transport] max_message there, or send it in pieces"
            )
        if channel == UNORDERED and size_bytes > COUNTED_MESSAGE_BYTES:
            channel = UNORDERED_BULK
        sequence = self._next_sequence.get(channel, 0)
        if not sequence and len(self._next_sequence) >= MAX_CHANNELS:
            raise UsageError(f"a session has at most {MAX_CHANNELS} channels; use one of them again")
        self._next_sequence[channel] = sequence + 1
        message = Outgoing(channel, sequence, parts, size_bytes)
        self.buffered_bytes += size_bytes
        if not message.is_bulk and not self._behind_bulk:  # nearly always
            message.admitted = True
            self._counted.append(message)
        elif channel in self._behind_bulk:
            self._behind_bulk[channel].append(message)
        else:
            self._admit(message)
        return message

    def _admit(self, message: Outgoing) -> None:
        message.admitted = True
        if not message.is_bulk:
            self._counted.append(message)
            return
        self._bulk_waiting.append(message)
        if message.channel != UNORDERED_BULK:
            self._behind_bulk[message.channel] = deque()

    def _release(self, channel: int) -> None:
        """The bulk message that its channel waited for is out of the way."""
        behind = self._behind_bulk.pop(channel, None)
        while behind:
            message = behind.popleft()
            if message.abandoned:
                continue
            self._admit(message)
            if message.is_bulk:
                self._behind_bulk[channel] = behind
                return

    def abandon(self, message: Outgoing) -> None:
        """Give a message up: nothing more of it is sent, and the peer is told not to wait for it.

        An empty message that has left is beyond recall.
        """
        if message.settled or (message.begun and not message.size_bytes):
            return
        message.abandoned = True
        self.buffered_bytes -= message.unacknowledged_bytes
        message.unacknowledged_bytes = 0
        size_bytes = message.size_bytes if message.begun else 0
        self._surrenders.append(Surrender(message.channel, message.sequence, size_bytes))
        if message.is_bulk and message.admitted and not message.wholly_sent:
            if message.begun:
                self._bulk.remove(message)
            self._release(message.channel)

    def grant(self, counted_bytes: int, bulk_messages: int) -> None:
        """The peer raised its credit; limits never fall."""
        self._counted_limit = max(self._counted_limit, counted_bytes)
        self._bulk_limit = max(self._bulk_limit, bulk_messages)

    def acknowledged(self, carried: Carried) -> None:
        """The peer has what a packet carried; it may have had it before."""
        if type(carried) is Outgoing:
            if not (carried.acknowledged or carried.abandoned):
                self.buffered_bytes -= carried.unacknowledged_bytes
                carried.unacknowledged_bytes, carried.acknowledged = 0, True
        elif isinstance(carried, Piece):
            message, start, stop = carried
            arrived = message.arrived
            if arrived is None:
                arrived = message.arrived = RangeSet()
            arrived.add(start, stop)
            self._arrived(message, message.size_bytes - arrived.size())

    def _arrived(self, message: Outgoing, left_bytes: int) -> None:
        if message.acknowledged or message.abandoned:
            return
        self.buffered_bytes -= message.unacknowledged_bytes - left_bytes
        message.unacknowledged_bytes = left_bytes
        message.acknowledged = left_bytes == 0

    def lost(self, carried: Carried) -> None:
        """What a packet carried has to go out again, unless a copy has arrived."""
        if isinstance(carried, Surrender):
            self._surrenders.append(carried)
            return
        message, start, stop = carried if isinstance(carried, Piece) else (carried, 0, carried.size_bytes)
        if message.settled or (message.arrived is not None and message.arrived.covers(start, stop)):
            return
        if message.lost is None:
            message.lost = RangeSet()
        message.lost.add(start, stop)
        if not message.waits_again:
            message.waits_again = True
            self._resend.append(message)

    @property
    def ready(self) -> bool:
        """True when `fill` would find something to send."""
        if self._counted and self._may_send_counted():
            return True
        if not (self._bulk or self._bulk_waiting or self._resend or self._surrenders):
            return False
        return bool(self._surrenders or self._next_lost() or self._may_send_bulk())

    @property
    def empty(self) -> bool:
        """True when nothing waits to be sent, with or without credit."""
        if not (self._counted or self._bulk or self._bulk_waiting or self._resend or self._surrenders):
            return True
        waiting = self._next_lost() or _first_live(self._counted) or self._bulk or _first_live(self._bulk_waiting)
        return not (self._surrenders or waiting)

    def fill(self, room: int, frames: list[Buffer], carried: list[Carried]) -> None:
        """Append frames of at most `room` bytes in all, and what they carry."""
        capacity = room
        if not (self._surrenders or self._resend or self._bulk or self._bulk_waiting):
            self._fill_counted(room, capacity, frames, carried)
            return
        if self._surrenders:
            room = self._fill_surrenders(room, frames, carried)
        if self._resend:
            room = self._fill_lost(room, capacity, frames, carried)
        if self._bulk_leads and (self._bulk or self._bulk_waiting) and self._may_send_bulk():
            room = self._fill_bulk(room, frames, carried)
            self._fill_counted(room, capacity, frames, carried)
            self._bulk_leads = False
        else:
            room = self._fill_counted(room, capacity, frames, carried)
            if self._bulk or self._bulk_waiting:
                self._fill_bulk(room, frames, carried)
            self._bulk_leads = True

    def _fill_surrenders(self, room: int, frames: list[Buffer], carried: list[Carried]) -> int:
        while self._surrenders:
            surrender = self._surrenders[0]
            frame = encode_abandon(surrender.channel, surrender.sequence, surrender.size_bytes)
            if len(frame) > room:
                break
            self._surrenders.popleft()
            frames.append(frame)
            carried.append(surrender)
            room -= len(frame)
        return room

    def _next_lost(self) -> Outgoing | None:
        while self._resend:
            message = self._resend[0]
            if not message.settled and (message.lost or not message.size_bytes):
                return message
            self._resend.popleft()
            message.waits_again = False
        return None

    def _fill_lost(self, room: int, capacity: int, frames: list[Buffer], carried: list[Carried]) -> int:
        while (message := self._next_lost()) is not None:
            whole_bytes = MESSAGE_OVERHEAD_BYTES + message.size_bytes
            lost = message.lost
            assert lost is not None
            if whole_bytes <= capacity and (not message.size_bytes or lost.covers(0, message.size_bytes)):
                if whole_bytes > room:
                    return room
                self._resend.popleft()
                message.waits_again, message.lost = False, None
                room = self._whole(message, room, frames, carried)
                continue
            start, stop = next(iter(lost))
            length = self._piece_length(stop - start, room)
            if not length:
                return room
            lost.remove(start, start + length)
            room = self._piece(message, start, start + length, room, frames, carried)
        return room

    def _may_send_counted(self) -> bool:
        counted = self._counted
        if not counted or (counted[0].abandoned and _first_live(counted) is None):
            return False
        message = counted[0]
        return message.begun or self._counted_used + message.size_bytes + MESSAGE_COST_BYTES <= self._counted_limit

    def _fill_counted(self, room: int, capacity: int, frames: list[Buffer], carried: list[Carried]) -> int:
        counted = self._counted
        while counted:
            message = counted[0]
            if message.abandoned:
                counted.popleft()
                continue
            if not message.begun and self._counted_used + message.size_bytes + MESSAGE_COST_BYTES > self._counted_limit:
                return room
            whole_bytes = MESSAGE_OVERHEAD_BYTES + message.size_bytes
            if not message.begun and whole_bytes <= capacity:
                if whole_bytes > room:
                    return room
                message.begun = True
                message.next_offset = message.size_bytes
                self._counted_used += message.size_bytes + MESSAGE_COST_BYTES
                room = self._whole(message, room, frames, carried)
                counted.popleft()
            else:
                before = room
                room = self._next_piece(message, room, frames, carried)
                if room == before:
                    return room
                if message.wholly_sent:
                    counted.popleft()
        return room

    def _may_send_bulk(self) -> bool:
        return bool(self._bulk) or (self._bulk_used < self._bulk_limit and _first_live(self._bulk_waiting) is not None)

    def _fill_bulk(self, room: int, frames: list[Buffer], carried: list[Carried]) -> int:
        while room > FRAGMENT_OVERHEAD_BYTES and (self._bulk or self._may_send_bulk()):
            while self._bulk_waiting and self._bulk_used < self._bulk_limit and _first_live(self._bulk_waiting):
                self._begin(self._bulk_waiting[0])
                self._bulk.append(self._bulk_waiting.popleft())
            message = self._bulk[0]
            before = room
            room = self._next_piece(message, room, frames, carried)
            if room == before:
                return room
            if message.wholly_sent:
                self._bulk.popleft()
                self._release(message.channel)
            elif len(self._bulk) > 1:
                self._bulk.rotate(-1)
        return room

    def _begin(self, message: Outgoing) -> None:
        message.begun = True
        if message.is_bulk:
            self._bulk_used += 1
        else:
            self._counted_used += message.size_bytes + MESSAGE_COST_BYTES

    def _next_piece(self, message: Outgoing, room: int, frames: list[Buffer], carried: list[Carried]) -> int:
        length = self._piece_length(message.size_bytes - message.next_offset, room)
        if not length:
            return room
        if not message.begun:
            self._begin(message)
        start = message.next_offset
        message.next_offset = start + length
        return self._piece(message, start, start + length, room, frames, carried)

    @staticmethod
    def _piece_length(wanted: int, room: int) -> int:
        length = room - FRAGMENT_OVERHEAD_BYTES
        if wanted <= length:
            return wanted
        return length if length >= SMALLEST_PIECE_BYTES else 0

    @staticmethod
    def _whole(message: Outgoing, room: int, frames: list[Buffer], carried: list[Carried]) -> int:
        frames.append(message_header(message.channel, message.sequence, message.size_bytes))
        frames.extend(message.parts)
        carried.append(message)
        return room - MESSAGE_OVERHEAD_BYTES - message.size_bytes

    @staticmethod
    def _piece(
        message: Outgoing, start: int, stop: int, room: int, frames: list[Buffer], carried: list[Carried]
    ) -> int:
        frames.append(fragment_header(message.channel, message.sequence, message.size_bytes, start, stop - start))
        frames.extend(message.read(start, stop))
        carried.append(Piece(message, start, stop))
        return room - FRAGMENT_OVERHEAD_BYTES - (stop - start)


def _cut(part: Buffer, start: int, stop: int) -> Buffer:
    if start == 0 and stop >= len(part):
        return part
    return (part if isinstance(part, memoryview) else memoryview(part))[start:stop]


def _first_live(queue: deque[Outgoing]) -> Outgoing | None:
    """The head of a queue, after those at its head that were given up have left it."""
    while queue and queue[0].abandoned:
        queue.popleft()
    return queue[0] if queue else None
