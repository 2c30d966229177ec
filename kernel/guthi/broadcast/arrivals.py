"""Decides whether a message is new, and in which order messages are told: once each, and in their origin's order.

What one life of one origin broadcasts is a stream, numbered from 1. A stream is described by the number that is told
next, the later messages that wait for it (`held`), and the earlier ones that were not waited for (`late`).

Invariants
- A message is told once: only what is neither below `next`, but for the late ones, nor held is new.
- It is told after all earlier ones of its stream, unless one of these is missing for longer than `order_s`, or too much
  waits. Then the others go on, and the missing one is told when it comes: order is given up before a message is.
- The floor of a message says what its origin still had when it sent it. Nobody waits for what lies below; so somebody
  who has just joined waits for nothing, and gaps do not live for ever.
- Memory is bounded: by what waits for missing messages in all streams together, by the gaps of a stream, by the number
  of streams, of which the longest unused go first. A gap costs the same however long it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from guthi.api import NodeId
from guthi.broadcast.messages import MessageId, Payload
from guthi.transport.alarms import Alarms
from guthi.transport.ranges import RangeSet

__all__ = ["Arrivals"]

MOST_STREAMS = 100_000
MOST_GAPS = 256
MOST_HELD = 16_384


class _Stream:
    """One life of one origin."""

    def __init__(self, floor: int) -> None:
        self.next = floor
        self.held: dict[int, Payload] = {}
        self.held_bytes = 0
        self.late = RangeSet()
        self.used_at = 0.0

    def has(self, sequence: int) -> bool:
        if sequence < self.next:
            return sequence not in self.late
        return sequence in self.held

    def take(self, payload: Payload) -> Iterator[Payload]:
        """Take a new message; yields what can be told now."""
        if payload.id.sequence < self.next:
            self.late.remove(payload.id.sequence, payload.id.sequence + 1)
            self.late.keep_highest(MOST_GAPS)
            yield payload
            return
        self.held[payload.id.sequence] = payload
        self.held_bytes += len(payload.body)
        if payload.floor > self.next:
            yield from self._released(payload.floor)
            self.next = max(self.next, payload.floor)
        self.late.remove(0, payload.floor)
        yield from self._in_order()

    def go_on(self) -> Iterator[Payload]:
        """Wait no longer for what is missing before the first that is held."""
        if self.held:
            first = min(self.held)
            self.late.add(self.next, first)
            self.late.keep_highest(MOST_GAPS)
            self.next = first
            yield from self._in_order()

    def _released(self, floor: int) -> Iterator[Payload]:
        for number in sorted(number for number in self.held if number < floor):
            yield self._unheld(number)

    def _in_order(self) -> Iterator[Payload]:
        while self.next in self.held:
            yield self._unheld(self.next)
            self.next += 1

    def _unheld(self, number: int) -> Payload:
        payload = self.held.pop(number)
        self.held_bytes -= len(payload.body)
        return payload


class Arrivals:
    """All streams, those used longest ago first."""

    def __init__(self, order_s: float, idle_s: float, held_bytes: int) -> None:
        self._order_s, self._idle_s, self._held_bytes = order_s, idle_s, held_bytes
        self._streams: dict[tuple[NodeId, int], _Stream] = {}
        self._alarms: Alarms[tuple[NodeId, int]] = Alarms()
        self._all_held = self._all_held_bytes = 0

    def __len__(self) -> int:
        return len(self._streams)

    def has(self, id: MessageId) -> bool:
        """Whether the message has come, or came too long ago to be known."""
        stream = self._streams.get(id[:2])
        return stream is not None and stream.has(id.sequence)

    def take(self, payload: Payload, now: float) -> list[Payload]:
        """Take a message that `has` does not know; returns what is told now, in order."""
        key = payload.id[:2]
        stream = self._streams.pop(key, None) or _Stream(payload.floor)
        self._streams[key] = stream  # at the end: it is the one used last
        stream.used_at = now
        ready = self._told(stream, stream.take(payload))
        while stream.held and (self._all_held > MOST_HELD or self._all_held_bytes > self._held_bytes):
            ready += self._told(stream, stream.go_on())
        self._watch(key, stream, now, is_moving=bool(ready))
        self._forget(now)
        return ready

    @property
    def deadline(self) -> float | None:
        """When somebody has waited for long enough; it may be early."""
        return self._alarms.first

    def on_deadline(self, now: float) -> list[Payload]:
        """What is told now although something before it is missing."""
        ready: list[Payload] = []
        for key in self._alarms.due(now):
            stream = self._streams[key]
            ready += self._told(stream, stream.go_on())
            self._watch(key, stream, now, is_moving=True)
        return ready

    def _told(self, stream: _Stream, telling: Iterator[Payload]) -> list[Payload]:
        """Let a stream tell, and keep count of what all of them hold."""
        self._all_held -= len(stream.held)
        self._all_held_bytes -= stream.held_bytes
        told = list(telling)
        self._all_held += len(stream.held)
        self._all_held_bytes += stream.held_bytes
        return told

    def _watch(self, key: tuple[NodeId, int], stream: _Stream, now: float, *, is_moving: bool) -> None:
        if not stream.held:
            self._alarms.clear(key)
        elif is_moving or len(stream.held) == 1:
            self._alarms.set(key, now + self._order_s)

    def _forget(self, now: float) -> None:
        """Drop the longest unused; two at a time, for at most one is added at a time."""
        for _ in range(2):
            key, stream = next(iter(self._streams.items()))
            is_idle = stream.used_at + self._idle_s <= now
            if stream.held or not (is_idle or len(self._streams) > MOST_STREAMS):
                return
            del self._streams[key]
