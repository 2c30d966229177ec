"""Decides when a node may leave: when the calls that it runs for other nodes are done, and it has taken no new ones.

A node that drains tells all others that it has no functions any more. Who has not heard yet, and calls, is refused as
by a node that never had the function, so the call has not begun and goes on to another. What this node's own app calls
is no guest, and goes on as before. A call with a key that has begun here is not refused to whoever asks again: the
answer can come from nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from guthi import NodeId

__all__ = ["Guests"]

T = TypeVar("T")

LOOK_S = 0.02


class Guests:
    """The calls of others at this node, `me`; `is_busy` says whether something runs that outlives its callers."""

    def __init__(self, me: NodeId, is_busy: Callable[[], bool]) -> None:
        self._me, self._is_busy = me, is_busy
        self._count = 0
        self._is_draining = False

    def refuses(self, caller: NodeId) -> bool:
        """Whether a new call has to go elsewhere."""
        return self._is_draining and caller != self._me

    async def served(self, caller: NodeId, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """A call, which counts until it is done."""
        is_guest = caller != self._me
        self._count += is_guest
        try:
            return await begin()
        finally:
            self._count -= is_guest

    async def gone(self) -> None:
        """Refuse new ones, and wait until none is left."""
        self._is_draining = True
        while self._count or self._is_busy():
            await asyncio.sleep(LOOK_S)
