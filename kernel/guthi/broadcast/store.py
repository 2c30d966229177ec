"""Which messages are kept for those who lack them: the recent ones, bounded by age and by bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guthi.broadcast.messages import MessageId, Payload

__all__ = ["Kept", "Store"]

OVERHEAD_BYTES = 512
"""What keeping a message costs besides its body, roughly; so that empty ones are bounded too."""


@dataclass(slots=True)
class Kept:
    """A message, when it came, and whether this node spreads it to its neighbours."""

    payload: Payload
    since: float
    is_relayed: bool


class Store:
    """The messages of the last `keep_s` seconds, oldest first; the oldest go early when there are too many bytes."""

    def __init__(self, keep_s: float, buffer_bytes: int) -> None:
        self._keep_s, self._buffer_bytes = keep_s, buffer_bytes
        self._kept: dict[MessageId, Kept] = {}
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Kept]:
        return iter(self._kept.values())

    def get(self, id: MessageId) -> Kept | None:
        return self._kept.get(id)

    def put(self, payload: Payload, now: float, *, is_relayed: bool) -> list[MessageId]:
        """Keep a message that is not kept; returns what has to go for it. The newest always stays."""
        self._kept[payload.id] = Kept(payload, now, is_relayed)
        self.size_bytes += OVERHEAD_BYTES + len(payload.body)
        gone = []
        while self.size_bytes > self._buffer_bytes and len(self._kept) > 1:
            gone.append(self._drop_first())
        return gone

    @property
    def deadline(self) -> float | None:
        """When the oldest has been kept for long enough."""
        first = next(iter(self._kept.values()), None)
        return None if first is None else first.since + self._keep_s

    def expire(self, now: float) -> list[MessageId]:
        """Drop what has been kept for long enough, and say what it was."""
        gone = []
        while (deadline := self.deadline) is not None and deadline <= now:
            gone.append(self._drop_first())
        return gone

    def _drop_first(self) -> MessageId:
        id = next(iter(self._kept))
        self.size_bytes -= OVERHEAD_BYTES + len(self._kept.pop(id).payload.body)
        return id
