"""What a watcher has not yet been given: of each node the newest, so that a slow one costs no more than a quick one."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

from guthi import NodeId

__all__ = ["Pending"]

T = TypeVar("T")


class Pending(Generic[T]):
    """One watcher's: at most one thing a node."""

    def __init__(self) -> None:
        self._waiting: dict[NodeId, T] = {}
        self._some = asyncio.Event()

    def put(self, node: NodeId, what: T) -> None:
        """There is something newer."""
        self._waiting[node] = what
        self._some.set()

    async def take(self) -> T:
        """The one that waits for longest."""
        while not self._waiting:
            self._some.clear()
            await self._some.wait()
        return self._waiting.pop(next(iter(self._waiting)))
