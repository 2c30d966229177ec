"""Decides when senders wait: while more is buffered for their peer than SEND_BUFFER_BYTES."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from guthi.api import NodeId
from guthi.errors import NodeClosed

__all__ = ["SEND_BUFFER_BYTES", "Backpressure"]

SEND_BUFFER_BYTES = 64 * 1024 * 1024


class Backpressure:
    """The waiting senders of one node, in the order in which they came.

    `buffered_bytes` says how much waits for a peer; whoever lowers that calls `wake`.
    """

    def __init__(self, buffered_bytes: Callable[[NodeId], int]) -> None:
        self._buffered_bytes = buffered_bytes
        self._waiting: list[tuple[NodeId, asyncio.Future[None]]] = []

    async def writable(self, peer: NodeId) -> None:
        """Wait until not too much waits for this peer; returns at once in the ordinary case.

        Raises NodeClosed if the node is closed meanwhile.
        """
        while self.is_full(peer):
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((peer, future))
            await future

    def wake(self) -> None:
        """Something may have been acknowledged: let those go on whose peer takes more."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        for peer, future in waiting:
            if future.done():
                continue
            if self.is_full(peer):
                self._waiting.append((peer, future))
            else:
                future.set_result(None)

    def close(self) -> None:
        """Nothing leaves any more."""
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(NodeClosed("the node was closed before the message could leave"))

    def is_full(self, peer: NodeId) -> bool:
        """Whether so much waits for the peer that senders should."""
        return self._buffered_bytes(peer) > SEND_BUFFER_BYTES
