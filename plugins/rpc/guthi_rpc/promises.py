"""Futures that refuse to be waited for in the one thread where that would never end: the one that does the work."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any

from guthi import UsageError

__all__ = ["Promise", "is_on", "refuse_on"]


class Promise(Future[Any]):
    """The outcome of something that a node does; `loop` is the node's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop

    def result(self, timeout: float | None = None) -> Any:
        """As a Future's; raises UsageError where it would wait for ever."""
        if not self.done():
            refuse_on(self._loop)
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """As a Future's; raises UsageError where it would wait for ever."""
        if not self.done():
            refuse_on(self._loop)
        return super().exception(timeout)


def is_on(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the caller runs on this loop."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def refuse_on(loop: asyncio.AbstractEventLoop) -> None:
    """Raises UsageError on this loop."""
    if is_on(loop):
        raise UsageError(
            "this would block the node's own thread, which has to make the call; await asyncio.wrap_future(future), or "
            "wait in another thread, as with asyncio.to_thread"
        )
