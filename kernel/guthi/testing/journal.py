"""What a world hears of its nodes: log lines with the virtual time, and the errors that nobody handled.

A world fails, when its scenario has ended well, by: a task that failed and whose failure nobody looked at; a callback
that raised; a record at level ERROR or above of a logger of Guthi or of one of its plugins ("guthi", "guthi_rpc"), by
which a node reports a failed task, handler or hook. A scenario that brings such an error about on purpose says so with
`World.expect`.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from guthi.errors import GuthiError
from guthi.testing.handles import PROCESSOR
from guthi.testing.loop import VirtualLoop

__all__ = ["Journal", "Unhandled"]

KEEP_LINES = 200
MOST_ERRORS = 20


class Unhandled(GuthiError):
    """Something went wrong in a world, and nobody handled it; the message says what, the cause is the error."""


class Journal(logging.Handler):
    """Takes down the log records of a world while `listen` lasts. `lines` are the newest of them."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop
        self._thread = threading.get_ident()
        self._expected: list[re.Pattern[str]] = []
        self._unhandled: list[Unhandled] = []
        self.lines: deque[str] = deque(maxlen=KEEP_LINES)
        loop.set_exception_handler(self._raised)

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Hear all records that reach the root logger."""
        root = logging.getLogger()
        root.addHandler(self)
        try:
            yield
        finally:
            root.removeHandler(self)

    def expect(self, pattern: str) -> None:
        """An error whose text this regular expression finds does not fail the world."""
        self._expected.append(re.compile(pattern))

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging."""
        if threading.get_ident() != self._thread:
            return
        gate = PROCESSOR.get()
        text = record.getMessage()
        where = f"{gate.name} " if gate is not None else ""
        self.lines.append(f"{self._loop.now:10.4f} s  {where}{record.levelname} {record.name}: {text}")
        if record.levelno >= logging.ERROR and record.name.partition(".")[0].partition("_")[0] == "guthi":
            self._note(f"{where}{record.name}: {text}", record.exc_info[1] if record.exc_info else None)

    def _raised(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        """The loop's exception handler."""
        gate = PROCESSOR.get()
        where = f"{gate.name} " if gate is not None else ""
        self._note(f"{where}{context.get('message', 'an error')}", context.get("exception"))

    def _note(self, text: str, error: BaseException | None) -> None:
        whole = f"{text} ({error!r})" if error is not None else text
        if len(self._unhandled) < MOST_ERRORS and not any(pattern.search(whole) for pattern in self._expected):
            unhandled = Unhandled(f"at {self._loop.now:.4f} s: {whole}")
            unhandled.__cause__ = error
            self._unhandled.append(unhandled)

    def unhandled(self) -> list[Unhandled]:
        """What nobody handled, in order; at most the first 20."""
        for name, error in self._loop.unretrieved():
            self._note(f"the task {name} failed, and nobody looked", error)
        return self._unhandled
