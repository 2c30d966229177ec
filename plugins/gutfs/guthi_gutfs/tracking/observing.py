"""Hears from the operating system that something has changed in exported folders, and says so on the loop.

The notices come in a thread of watchdog's. They are gathered there, and handed over to the loop together. That the
system's queue was too small for a burst, watchdog says in its log and nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterable

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from guthi_gutfs.exports.rules import Export

__all__ = ["Observing"]

HEARD = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]
MOST_GATHERED = 100_000


class Observing:
    """Listens to the folders of some exports; `noticed` and `overflowed` are called on the loop."""

    def __init__(
        self, exports: Iterable[Export], noticed: Callable[[str], None], overflowed: Callable[[], None]
    ) -> None:
        self._exports, self._noticed, self._overflowed = tuple(exports), noticed, overflowed
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._gathered: dict[str, None] = {}
        self._has_lost = self._is_called = False
        self._observer = Observer()
        self._losses = _Losses(self.lost)

    def start(self) -> None:
        """Begin; waits for the system, which has to look at every folder. Raises OSError where it cannot."""
        for export in self._exports:
            handler = _Handler(export, self.heard)
            self._observer.schedule(handler, str(export.folder), recursive=True, event_filter=HEARD)
        logging.getLogger("watchdog").addHandler(self._losses)
        self._observer.start()

    def stop(self) -> None:
        """End; waits for the threads."""
        logging.getLogger("watchdog").removeHandler(self._losses)
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join()

    def heard(self, path: str) -> None:
        """In any thread: something may have changed under a path of the tree."""
        with self._lock:
            if len(self._gathered) < MOST_GATHERED:
                self._gathered[path] = None
            else:
                self._has_lost = True
            self._call()

    def lost(self) -> None:
        """In any thread: something may have changed anywhere."""
        with self._lock:
            self._has_lost = True
            self._call()

    def _call(self) -> None:
        if not self._is_called:
            self._is_called = True
            try:
                self._loop.call_soon_threadsafe(self._hand_over)
            except RuntimeError:
                pass  # the loop is closed, and nobody listens any more

    def _hand_over(self) -> None:
        with self._lock:
            gathered, self._gathered = self._gathered, {}
            has_lost, self._has_lost, self._is_called = self._has_lost, False, False
        for path in gathered:
            self._noticed(path)
        if has_lost:
            self._overflowed()


class _Handler(FileSystemEventHandler):
    """What watchdog calls for one export."""

    def __init__(self, export: Export, heard: Callable[[str], None]) -> None:
        self._export, self._heard = export, heard

    def on_any_event(self, event: FileSystemEvent) -> None:
        for place in (event.src_path, event.dest_path):
            path = self._export.path_of(os.fsdecode(place)) if place else None
            if path is not None:
                self._heard(path)


class _Losses(logging.Handler):
    """Hears in the log of watchdog that notices were lost."""

    def __init__(self, lost: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._lost = lost

    def emit(self, record: logging.LogRecord) -> None:
        if "overflow" in record.getMessage():
            self._lost()
