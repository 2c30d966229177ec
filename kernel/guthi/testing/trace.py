"""The trace of a world: a hash over every delivered datagram and every event, by which two runs are compared."""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from struct import Struct

__all__ = ["Trace"]

_moment = Struct(">dI")


class Trace:
    """Grows with everything that happens; `digest` is equal when, and practically only when, all of it was equal."""

    def __init__(self, keep_events: int = 1000) -> None:
        self._hash = blake2b(digest_size=16)
        self.datagrams = 0
        self.events: deque[tuple[float, str]] = deque(maxlen=keep_events)

    def datagram(self, now: float, source: str, destination: str, datagram: bytes) -> None:
        """A datagram was delivered."""
        self.datagrams += 1
        self._hash.update(_moment.pack(now, len(datagram)))
        self._hash.update(f"{source}>{destination}".encode())
        self._hash.update(datagram)

    def event(self, now: float, what: str) -> None:
        """Something happened that is worth a line: a fault, a start, a membership change."""
        self.events.append((now, what))
        self._hash.update(_moment.pack(now, 0xFFFFFFFF))
        self._hash.update(what.encode())

    @property
    def digest(self) -> str:
        """32 hexadecimal digits."""
        return self._hash.hexdigest()
