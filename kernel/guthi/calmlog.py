"""Decides how often the log repeats itself: what others cause, they must not be able to fill a disk with.

Everything that a peer or a stranger can bring about again and again is logged through a `CalmLog`: the first few lines
of a kind, then one now and then, which says how many were kept back. A kind is the text before its arguments are put
in; there are as many as there are such texts in the source, so the table is bounded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from guthi.bucket import TokenBucket

__all__ = ["CalmLog"]

BURST = 5
SECONDS_A_LINE = 10.0


class CalmLog:
    """A logger for one node; `clock` is loop time in seconds."""

    def __init__(self, logger: logging.Logger, clock: Callable[[], float]) -> None:
        self._logger, self._clock = logger, clock
        self._buckets: dict[str, TokenBucket] = {}
        self._kept_back: dict[str, int] = {}

    def warning(self, text: str, *arguments: object, exc_info: BaseException | None = None) -> None:
        """Warn, unless too much of the kind was said lately."""
        self._say(logging.WARNING, text, arguments, exc_info)

    def error(self, text: str, *arguments: object, exc_info: BaseException | None = None) -> None:
        """Log an error, unless too much of the kind was said lately."""
        self._say(logging.ERROR, text, arguments, exc_info)

    def _say(self, level: int, text: str, arguments: tuple[object, ...], exc_info: BaseException | None) -> None:
        now = self._clock()
        bucket = self._buckets.get(text)
        if bucket is None:
            bucket = self._buckets[text] = TokenBucket(1 / SECONDS_A_LINE, BURST, now)
        if not bucket.take(now):
            self._kept_back[text] = self._kept_back.get(text, 0) + 1
            return
        count = self._kept_back.pop(text, 0)
        if count:
            text, arguments = f"{text} (%d more like this were not logged)", (*arguments, count)
        self._logger.log(level, text, *arguments, exc_info=exc_info)
