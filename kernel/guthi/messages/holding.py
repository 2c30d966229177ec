"""Decides how long the requests of a peer that does not read its answers wait, and how many of them may.

A peer can acknowledge what it is sent and give no credit for more: then its answers wait here. So while too much waits
for a peer (see `guthi.network.backpressure`), no further request of it is begun, and what its handlers return is kept
back. The requests wait in the order in which they came, MAX_HELD_BYTES and MAX_HELD of them; whoever sends more breaks
the rules.

| peer    | meaning                               | leaves by                                                     |
|---------|---------------------------------------|---------------------------------------------------------------|
| reads   | its requests are handled as they come | a look, after each LOOK_BYTES of answers: too much waits      |
| behind  | its requests are held                 | it takes more, and none is held any more; its loss            |
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from guthi.api import NodeId
from guthi.errors import MalformedMessage
from guthi.messages.exchange import Wire

__all__ = ["MAX_HELD", "MAX_HELD_BYTES", "Holding"]

LOOK_BYTES = 16 * 1024  # of the answers to all peers together: so nearly always it is one addition
ANSWER_COST_BYTES = 64  # what queueing even an empty answer takes
MAX_HELD = 65_536
MAX_HELD_BYTES = 256 * 1024 * 1024


class _Held(NamedTuple):
    size_bytes: int
    serve: Callable[[], None]


@dataclass(slots=True)
class _Behind:
    requests: dict[int, _Held] = field(default_factory=dict)
    size_bytes: int = 0
    task: asyncio.Task[None] | None = None


class Holding:
    """The peers of one node that are `behind`, and what is held of each."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._unlooked_bytes = 0
        self.behind: dict[NodeId, _Behind] = {}  # to be asked, not changed, by others

    def answered(self, peer: NodeId, size_bytes: int) -> None:
        """An answer of that size was queued."""
        self._unlooked_bytes += size_bytes + ANSWER_COST_BYTES
        if self._unlooked_bytes < LOOK_BYTES:
            return
        self._unlooked_bytes = 0
        if peer not in self.behind and not self._wire.is_writable(peer):
            behind = self.behind[peer] = _Behind()
            behind.task = self._wire.start(self._catch_up(peer, behind))

    def hold(self, peer: NodeId, request_id: int, size_bytes: int, serve: Callable[[], None]) -> None:
        """Let `serve` wait until the peer takes more. Raises MalformedMessage when too many do."""
        behind = self.behind[peer]
        if len(behind.requests) >= MAX_HELD or behind.size_bytes + size_bytes > MAX_HELD_BYTES:
            raise MalformedMessage(
                f"{len(behind.requests)} requests of {behind.size_bytes} bytes wait until their sender reads its "
                "answers; it should before it asks for more"
            )
        self.cancel(peer, request_id)  # a peer that has restarted counts anew
        behind.requests[request_id] = _Held(size_bytes, serve)
        behind.size_bytes += size_bytes

    def cancel(self, peer: NodeId, request_id: int) -> None:
        """Nobody waits for that answer any more."""
        behind = self.behind.get(peer)
        held = behind.requests.pop(request_id, None) if behind is not None else None
        if behind is not None and held is not None:
            behind.size_bytes -= held.size_bytes

    def peer_lost(self, peer: NodeId) -> None:
        """Forget all that is held of it."""
        behind = self.behind.pop(peer, None)
        if behind is not None and behind.task is not None:
            behind.task.cancel()

    def close(self) -> None:
        """Nothing is served any more."""
        for peer in sorted(self.behind):
            self.peer_lost(peer)

    async def _catch_up(self, peer: NodeId, behind: _Behind) -> None:
        await self._wire.writable(peer)
        while behind.requests:
            request_id = next(iter(behind.requests))
            held = behind.requests[request_id]
            self.cancel(peer, request_id)
            held.serve()
            await self._wire.writable(peer)
        if self.behind.get(peer) is behind:
            del self.behind[peer]
