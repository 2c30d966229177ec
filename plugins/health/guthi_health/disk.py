"""Decides when a keeper's durable events are written, and that what could not be written is written later.

One call after the other, in a thread of its own: even opening the file may wait for a process that has locked it. What
failed is owed: it is tried again until it succeeds, so a disk that was full for a while has lost nothing afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from guthi import ConfigError, Node
from guthi.calmlog import CalmLog
from guthi_health.errors import EventNotSaved
from guthi_health.ledger import Event
from guthi_health.store import Store

__all__ = ["Disk"]

AGAIN_S = 5.0
MENDS = {
    sqlite3.SQLITE_BUSY: "another process has locked it: end that",
    sqlite3.SQLITE_READONLY: "let this user write to it",
    sqlite3.SQLITE_CANTOPEN: "let this user read and write it, and its folder; or move it away: then they are lost",
    sqlite3.SQLITE_FULL: "make room on its disk",
}
WORST = "mend the file, or move it away: then they are lost"

T = TypeVar("T")

log = logging.getLogger("guthi_health.disk")


class Disk:
    """The file of one node; it is made when something is first written."""

    def __init__(self, node: Node, file: Path) -> None:
        self._node, self._file = node, file
        self._loop = asyncio.get_running_loop()
        self._thread: Executor | None = None
        self._store: Store | None = None
        self._owed: dict[bytes, Event | None] = {}  # by id, what could not be written; None: an event to be erased
        self._log = CalmLog(log, self._loop.time)

    async def load(self) -> list[Event]:
        """What is written, oldest first. Raises ConfigError for a file that cannot be used."""
        if not self._file.exists():
            return []
        try:
            return await self._run(lambda: self._opened().load())
        except EventNotSaved as error:
            cause = error.__cause__
            mend = MENDS.get(cause.sqlite_errorcode & 0xFF, WORST) if isinstance(cause, sqlite3.Error) else WORST
            raise ConfigError(f"the pending events in {self._file} cannot be read ({cause}); {mend}") from error

    async def put(self, event: Event) -> None:
        """Returns when the event as it is now is safe; raises EventNotSaved, and it will be tried again."""
        state = replace(event)
        try:
            await self._run(lambda: self._opened().put(state))
        except BaseException:
            self._owed[event.id] = event
            raise
        self._owed.pop(event.id, None)

    async def drop(self, id: bytes) -> None:
        """Returns when the event is erased; raises EventNotSaved, and it will be tried again."""
        try:
            await self._run(lambda: self._opened().drop(id))
        except BaseException:
            self._owed[id] = None
            raise
        self._owed.pop(id, None)

    async def write_what_is_owed(self) -> None:
        """For as long as the node lives."""
        while True:
            await asyncio.sleep(AGAIN_S)
            try:
                for id, event in list(self._owed.items()):
                    await (self.put(event) if event is not None else self.drop(id))
            except EventNotSaved as error:
                self._log.warning("%d pending events are not on the disk yet: %s", len(self._owed), error)

    async def close(self) -> None:
        """Write nothing more; what was acknowledged is written."""
        if self._thread is not None:
            if self._store is not None:
                await self._run(self._store.close)
            self._thread.shutdown(wait=False)

    def _opened(self) -> Store:
        if self._store is None:
            self._store = Store(self._file)
        return self._store

    async def _run(self, call: Callable[[], T]) -> T:
        if self._thread is None:
            self._thread = self._node.host.thread_executor(f"{self._node.name}-pending", 1)
        try:
            return await self._loop.run_in_executor(self._thread, call)
        except (sqlite3.Error, OSError, ValueError) as error:
            raise EventNotSaved(
                f"{self._file} cannot be written: {error}; see to the disk of {self._node.name}"
            ) from error
