"""Decides where calls that wait for a disk run: in threads of the node's machine, never on its loop.

Reading calls run several at a time. Writing calls run one after the other, in the order in which they were made, so
that between the look at a file and its change no other change of this node comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from guthi.api import Host
from guthi.errors import NodeClosed

__all__ = ["Disk"]

T = TypeVar("T")
READERS = 4


class Disk:
    """The threads of one node that read and write files."""

    def __init__(self, host: Host, readers: int = READERS) -> None:
        self._readers = host.thread_executor("gutfs-read", readers)
        self._writer = host.thread_executor("gutfs-write", 1)
        self._is_closed = False

    async def read(self, call: Callable[..., T], *arguments: object) -> T:
        """Run a call that changes nothing."""
        return await self._run(self._readers, call, arguments)

    async def write(self, call: Callable[..., T], *arguments: object) -> T:
        """Run a call that changes files; once begun it comes to its end, even if the caller is cancelled."""
        return await self._run(self._writer, call, arguments)

    async def _run(self, executor: Executor, call: Callable[..., T], arguments: tuple[object, ...]) -> T:
        if self._is_closed:  # while the node leaves, others still ask for files
            raise NodeClosed("this node is leaving, and looks at its files no more; ask another, or again later")
        return await asyncio.get_running_loop().run_in_executor(executor, call, *arguments)

    def close(self) -> None:
        """Take nothing more; what has begun comes to its end."""
        self._is_closed = True
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._writer.shutdown(wait=False)
