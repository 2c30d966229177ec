"""Decides how much of a stream may be on its way: what was sent, against what the far side's application has consumed.

Each direction of a stream has an Outflow where it begins and an Inflow where it ends. A value costs its bytes and
VALUE_COST_BYTES more. It may leave when it fits into the receiver's window beside all that is not known to be consumed,
or when the window is wholly free: so a value that is larger than the window goes alone, and what a receiver holds is
bounded by the window or by one value. Both ends apply this one rule (`_has_room`), so an overrun is a breach.

The receiver tells by CREDIT, after half a window each, how much its application has consumed in all. A rest of less
than that is not told: so a sender whose next value has to wait says WAIT, once, and is told as soon as everything is
consumed. Then the window is wholly free for it, and nothing can wait for ever while the application reads.

A window is INITIAL_WINDOW_BYTES until the first CREDIT, which each side sends at once. Messages of one direction arrive
in order, once. The scheme is that of RFC 9000, 4.1 (limits that only grow, STREAM_DATA_BLOCKED), for values, not bytes.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError
from typing import NamedTuple

from guthi.api import Buffer
from guthi.errors import MalformedMessage

__all__ = ["INITIAL_WINDOW_BYTES", "VALUE_COST_BYTES", "Credit", "Inflow", "Outflow"]

INITIAL_WINDOW_BYTES = 64 * 1024
VALUE_COST_BYTES = 64  # what holding even an empty value takes
_CREDIT = Struct(">QQ")


class Credit(NamedTuple):
    """What a receiver tells: the cost of all values consumed so far, and of those that may be on their way."""

    consumed_bytes: int
    window_bytes: int

    def pack(self) -> bytes:
        """The body of a CREDIT."""
        return _CREDIT.pack(*self)

    @classmethod
    def unpack(cls, body: Buffer) -> Credit:
        """Raises MalformedMessage."""
        try:
            return cls(*_CREDIT.unpack(body))
        except StructError:
            raise MalformedMessage(f"a CREDIT has {_CREDIT.size} bytes, not {len(body)}") from None


def _has_room(unconsumed_bytes: int, cost_bytes: int, window_bytes: int) -> bool:
    return not unconsumed_bytes or unconsumed_bytes + cost_bytes <= window_bytes


class Outflow:
    """The beginning of one direction."""

    __slots__ = ("_has_asked", "_window_bytes", "consumed_bytes", "is_finished", "sent_bytes")

    def __init__(self) -> None:
        self.sent_bytes = self.consumed_bytes = 0
        self.is_finished = False
        self._window_bytes = INITIAL_WINDOW_BYTES
        self._has_asked = False

    def takes(self, cost_bytes: int) -> bool:
        """Whether a value of that cost may leave now."""
        return _has_room(self.sent_bytes - self.consumed_bytes, cost_bytes, self._window_bytes)

    def sent(self, cost_bytes: int) -> None:
        """It has left."""
        assert self.takes(cost_bytes)
        self.sent_bytes += cost_bytes
        self._has_asked = False

    def waits(self) -> bool:
        """A value has to wait; True when the far side must be told so."""
        tells, self._has_asked = not self._has_asked, True
        return tells

    def granted(self, credit: Credit) -> None:
        """Raises MalformedMessage for a CREDIT that cannot be."""
        if not self.consumed_bytes <= credit.consumed_bytes <= self.sent_bytes:
            raise MalformedMessage(f"{credit.consumed_bytes} bytes cannot have been consumed of {self.sent_bytes}")
        if credit.window_bytes < INITIAL_WINDOW_BYTES:
            raise MalformedMessage(f"a window of {credit.window_bytes} bytes is too small")
        self.consumed_bytes, self._window_bytes = credit


class Inflow:
    """The end of one direction; `window_bytes` is how much of it may be held here."""

    __slots__ = ("_consumed_bytes", "_has_waiter", "_told_bytes", "arrived_bytes", "is_finished", "window_bytes")

    def __init__(self, window_bytes: int) -> None:
        self.window_bytes = window_bytes
        self.arrived_bytes = self._consumed_bytes = self._told_bytes = 0
        self.is_finished = False
        self._has_waiter = False

    @property
    def held_bytes(self) -> int:
        """The cost of the values that are here and not consumed."""
        return self.arrived_bytes - self._consumed_bytes

    def arrived(self, cost_bytes: int) -> None:
        """A value came; raises MalformedMessage where it must not."""
        if self.is_finished:
            raise MalformedMessage("a value came after the end of its stream")
        if not _has_room(self.arrived_bytes - self._told_bytes, cost_bytes, self.window_bytes):
            raise MalformedMessage(f"a value overran the window of {self.window_bytes} bytes")
        self.arrived_bytes += cost_bytes

    def finished(self) -> None:
        """The far side sends no more."""
        self.is_finished = True

    def consumed(self, cost_bytes: int) -> Credit | None:
        """The application took a value; returns what the far side must be told."""
        self._consumed_bytes += cost_bytes
        return self._due()

    def waited_for(self) -> Credit | None:
        """The far side has a value that waits; returns what it must be told."""
        self._has_waiter = True
        return self._due()

    def credit(self) -> Credit:
        """All that is consumed by now, to be told."""
        self._told_bytes = self._consumed_bytes
        return Credit(self._consumed_bytes, self.window_bytes)

    def _due(self) -> Credit | None:
        untold_bytes = self._consumed_bytes - self._told_bytes
        is_due = untold_bytes >= self.window_bytes // 2
        if self._has_waiter and not self.held_bytes:
            self._has_waiter = False
            is_due = untold_bytes > 0
        return self.credit() if is_due and not self.is_finished else None
