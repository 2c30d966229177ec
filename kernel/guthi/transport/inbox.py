"""Decides which received pieces make a message, in which order messages are delivered, and how much more may come.

Each message is delivered once: by (channel, sequence) a copy is known, whichever packet brought it. On an ordered
channel a message waits for all before it; on an unordered one for none. Fragments are put into one buffer that is
made when the first of them arrives.

Credit: counted messages give their bytes back when they are delivered, bulk messages their place. So what a peer can
make us hold is bounded by WINDOW_BYTES and BULK_PLACES x the largest message, and a peer that takes more is in breach.
What is remembered beside the bytes is bounded by MAX_CHANNELS, MAX_GAPS and MAX_PIECES.
A length that is only claimed costs address space, not memory: the pages of a large buffer come with its fragments.
"""

from __future__ import annotations

import mmap as memory_maps
from contextlib import suppress
from mmap import mmap

from guthi.api import Buffer
from guthi.errors import MalformedMessage
from guthi.transport.events import MessageReceived
from guthi.transport.outbox import (
    COUNTED_MESSAGE_BYTES,
    INITIAL_BULK_CREDIT,
    INITIAL_COUNTED_CREDIT_BYTES,
    MAX_CHANNELS,
    MESSAGE_COST_BYTES,
    UNORDERED,
    UNORDERED_BULK,
)
from guthi.transport.ranges import RangeSet
from guthi.transport.wire import Abandon, Fragment, Message, encode_credit

__all__ = ["Inbox"]

WINDOW_BYTES = INITIAL_COUNTED_CREDIT_BYTES
BULK_PLACES = INITIAL_BULK_CREDIT
LARGE_BYTES = 5 * 1024 * 1024  # from here on a buffer of whole pages pays; below, memory is kept (see `host.memory`)
PRIVATE = {"flags": memory_maps.MAP_PRIVATE | memory_maps.MAP_ANONYMOUS} if hasattr(memory_maps, "MAP_PRIVATE") else {}
MADV_HUGEPAGE: int | None = getattr(memory_maps, "MADV_HUGEPAGE", None)
MAX_GAPS = 262_144  # how many gaps all channels together may have, beyond the first missing message of each
MAX_PIECES = 65_536  # separate pieces of all incomplete messages; an honest peer has no more than it has in flight


class _Partial:
    """A message of which some fragments are here."""

    __slots__ = ("buffer", "received")

    def __init__(self, total: int) -> None:
        self.buffer = _memory(total)
        self.received = RangeSet()


def _memory(size_bytes: int) -> memoryview:
    try:
        return memoryview(bytearray(size_bytes) if size_bytes < LARGE_BYTES else _pages(size_bytes))
    except (MemoryError, OSError, OverflowError):
        raise MalformedMessage(f"there is no memory for a message of {size_bytes} bytes") from None


def _pages(size_bytes: int) -> mmap:
    """Memory that is not touched before it is filled, in huge pages if the system has them.

    The first touch of a page costs more than filling it: 64 MiB of small pages take longer to get than to receive.
    """
    pages = mmap(-1, size_bytes, **PRIVATE)
    if hasattr(pages, "madvise") and MADV_HUGEPAGE is not None:
        with suppress(OSError):  # the system was built without
            pages.madvise(MADV_HUGEPAGE)
    return pages


class _Channel:
    """What one channel has seen: every sequence below `floor`, and those in `ahead`."""

    __slots__ = ("ahead", "floor", "ordered", "waiting")

    def __init__(self, ordered: bool) -> None:
        self.ordered = ordered
        self.floor = 0
        self.ahead = RangeSet()  # complete or given up, while one before them is missing
        self.waiting: dict[int, Buffer] = {}  # those of `ahead` that are still to be delivered, in order

    def knows(self, sequence: int) -> bool:
        return sequence < self.floor or sequence in self.ahead

    def delivers(self, sequence: int) -> bool:
        return sequence == self.floor or not self.ordered


class Inbox:
    """All messages of one session that are not yet delivered.

    `credit_is_due` tells that a bulk message, or half a window, has been used up since the last CREDIT frame.
    """

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._channels: dict[int, _Channel] = {}
        self._partial: dict[tuple[int, int], _Partial] = {}
        self._pieces = 0  # in all of them
        self._gaps = 0  # in all channels
        self._counted_begun = self._counted_done = 0
        self._bulk_begun = self._bulk_done = 0
        self._counted_granted = INITIAL_COUNTED_CREDIT_BYTES
        self._bulk_granted = INITIAL_BULK_CREDIT
        self.credit_is_due = False

    def message(self, frame: Message, deliveries: list[MessageReceived]) -> None:
        """A whole message arrived."""
        number, sequence, body = frame
        channel = self._channels.get(number) or self._channel(number)
        if sequence == channel.floor and not channel.ahead and not self._partial:
            self._begin(len(body))  # the ordinary case: the next one, and nothing waits behind it
            channel.floor += 1
            self._deliver(number, body, deliveries)
            return
        if channel.knows(sequence):
            return
        partial = self._partial.pop((number, sequence), None)
        if partial is None:
            self._begin(len(body))
        else:
            self._end(partial, len(body))
        if not channel.delivers(sequence):
            body = bytes(body)  # a view holds the whole datagram
        self._complete(number, channel, sequence, body, deliveries)

    def fragment(self, frame: Fragment, deliveries: list[MessageReceived]) -> None:
        """A piece of a message arrived."""
        number, sequence, total, offset, body = frame
        partial = self._partial.get((number, sequence))
        if partial is None:
            if self._channel(number).knows(sequence):
                return
            self._begin(total)
            partial = self._partial[number, sequence] = _Partial(total)
        elif len(partial.buffer) != total:
            raise MalformedMessage("the fragments of a message disagree on its length")
        received, stop = partial.received, offset + len(body)
        partial.buffer[offset:stop] = body
        before = len(received)
        received.add(offset, stop)
        self._pieces += len(received) - before
        if self._pieces > MAX_PIECES:
            raise MalformedMessage(f"more than {MAX_PIECES} separate pieces of messages")
        if received.covers(0, total):
            self._end(self._partial.pop((number, sequence)), total)
            self._complete(number, self._channel(number), sequence, partial.buffer, deliveries)

    def abandoned(self, frame: Abandon, deliveries: list[MessageReceived]) -> None:
        """The peer gives a message up; those behind it need not wait for it."""
        channel = self._channel(frame.channel)
        if channel.knows(frame.sequence):
            return
        partial = self._partial.pop((frame.channel, frame.sequence), None)
        if partial is not None:
            self._end(partial, frame.total)
        if frame.total:
            if partial is None:
                self._begin(frame.total)
            self._give_back(frame.total)
        self._settle(frame.channel, channel, frame.sequence, deliveries)

    def credit_frame(self) -> bytes:
        """A CREDIT frame with all that is granted by now."""
        self.credit_is_due = False
        self._counted_granted = self._counted_done + WINDOW_BYTES
        self._bulk_granted = self._bulk_done + BULK_PLACES
        return encode_credit(self._counted_granted, self._bulk_granted)

    def _channel(self, number: int) -> _Channel:
        channel = self._channels.get(number)
        if channel is None:
            if len(self._channels) >= MAX_CHANNELS:
                raise MalformedMessage(f"more than {MAX_CHANNELS} channels")
            channel = self._channels[number] = _Channel(number not in (UNORDERED, UNORDERED_BULK))
        return channel

    def _begin(self, size_bytes: int) -> None:
        """A message is seen for the first time: it takes credit."""
        if size_bytes > self._max_message_bytes:
            raise MalformedMessage(f"a message of {size_bytes} bytes is over the limit of {self._max_message_bytes}")
        if size_bytes > COUNTED_MESSAGE_BYTES:
            self._bulk_begun += 1
        else:
            self._counted_begun += size_bytes + MESSAGE_COST_BYTES
        if self._bulk_begun > self._bulk_granted or self._counted_begun > self._counted_granted:
            raise MalformedMessage("the peer sent more than its credit")

    def _end(self, partial: _Partial, size_bytes: int) -> None:
        """No more pieces are gathered of a message that a frame says is this long."""
        if len(partial.buffer) != size_bytes:
            raise MalformedMessage("the frames of a message disagree on its length")
        self._pieces -= len(partial.received)

    def _give_back(self, size_bytes: int) -> None:
        if size_bytes > COUNTED_MESSAGE_BYTES:
            self._bulk_done += 1
            self.credit_is_due = True
        else:
            self._counted_done += size_bytes + MESSAGE_COST_BYTES
            if self._counted_granted - self._counted_done <= WINDOW_BYTES // 2:
                self.credit_is_due = True

    def _complete(
        self, number: int, channel: _Channel, sequence: int, body: Buffer, deliveries: list[MessageReceived]
    ) -> None:
        if channel.delivers(sequence):
            self._deliver(number, body, deliveries)
        else:
            channel.waiting[sequence] = body
        self._settle(number, channel, sequence, deliveries)

    def _settle(self, number: int, channel: _Channel, sequence: int, deliveries: list[MessageReceived]) -> None:
        """Note one sequence, and deliver what was waiting only for it."""
        if sequence != channel.floor:
            before = len(channel.ahead)
            channel.ahead.add(sequence, sequence + 1)
            self._gaps += len(channel.ahead) - before
            if self._gaps > MAX_GAPS:
                raise MalformedMessage(f"more than {MAX_GAPS} gaps in the messages of a session")
            return
        channel.floor += 1
        if sequence + 1 in channel.ahead:
            _, channel.floor = channel.ahead.pop_first()
            self._gaps -= 1
        for known in range(sequence + 1, channel.floor) if channel.waiting else ():
            body = channel.waiting.pop(known, None)
            if body is not None:
                self._deliver(number, body, deliveries)

    def _deliver(self, number: int, body: Buffer, deliveries: list[MessageReceived]) -> None:
        self._give_back(len(body))
        deliveries.append(MessageReceived(number, body))
