"""Brings what the process logs into the node's book: from whatever thread, and no more than a bounded rate.

Python's loggers belong to the process. Where several nodes live in one, each has the lines of all of them.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

from guthi.bucket import TokenBucket
from guthi_logs.lines import LONGEST_TEXT

__all__ = ["Recorder"]

BURST_SECONDS = 10.0


class Recorder(logging.Handler):
    """A handler of the root logger; `add` is called on the loop with a level, a source and a text."""

    def __init__(self, level: int, rate_per_s: float, add: Callable[[int, str, str], None]) -> None:
        super().__init__(level)
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._bucket = TokenBucket(rate_per_s, BURST_SECONDS * rate_per_s, self._loop.time())
        self._add = add
        self._kept_back = 0

    def emit(self, record: logging.LogRecord) -> None:
        """As `logging` has it; the handler's lock is held. Who logs never pays for what goes wrong here."""
        try:
            if not self.is_over:
                self._take(record)
        except Exception:  # noqa: BLE001 - as the handlers of `logging` do
            self.handleError(record)

    @property
    def is_over(self) -> bool:
        """Whether the loop of its node is closed: a node that crashes in a simulation does not remove what it left."""
        return self._loop.is_closed()

    def _take(self, record: logging.LogRecord) -> None:
        if not self._bucket.take(self._loop.time()):
            self._kept_back += 1
            return
        text, kept_back = _text_of(record), self._kept_back
        if kept_back:
            self._kept_back = 0
            text = f"{text} ({kept_back} lines before this one were not kept: too many at a time)"
        if threading.get_ident() == self._thread:
            self._add(record.levelno, record.name, text)
            return
        try:
            self._loop.call_soon_threadsafe(self._add, record.levelno, record.name, text)
        except RuntimeError:
            pass  # the loop is closed

    def install(self) -> None:
        """Hear what is logged from now on."""
        root = logging.getLogger()
        for left in [each for each in root.handlers if isinstance(each, Recorder) and each.is_over]:
            root.removeHandler(left)
        root.addHandler(self)

    def remove(self) -> None:
        """Hear nothing more."""
        logging.getLogger().removeHandler(self)


def _text_of(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except Exception:  # noqa: BLE001 - the arguments of the caller do not fit its text, which is not ours to raise
        text = str(record.msg)
    if record.exc_info and record.exc_info[1] is not None:
        trace = logging.Formatter().formatException(record.exc_info)
        text = f"{text}\n{trace[-(LONGEST_TEXT // 2) :]}"
    return text
