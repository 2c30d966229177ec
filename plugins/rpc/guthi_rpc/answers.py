"""Carries the results of a map from the loop of its node to the thread that iterates over them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from guthi import NodeClosed
from guthi_rpc.promises import Promise, refuse_on

if TYPE_CHECKING:
    from guthi_rpc.mapping import MapRun

__all__ = ["MapAnswers"]


class MapAnswers:
    """The results of one map; `over` is done when it has ended, and ends it when it is cancelled.

    What waits in between is a list of one answer, an exception that ends the iteration, or None at its end.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.over = Promise(loop)
        self._loop = loop
        self._arrived: SimpleQueue[list[Any] | BaseException | None] = SimpleQueue()

    # ---- on the loop

    def follow(self, task: asyncio.Task[None]) -> None:
        """The task that fills this has begun."""
        task.add_done_callback(self._ended)
        self.over.add_done_callback(partial(self._end, task))

    async def fill(self, begin: Callable[[], MapRun], explained: Callable[[Exception], Exception]) -> None:
        """Run the map to its end; its failure, as it is to be explained, is for the thread that iterates."""
        try:
            run = begin()
            try:
                while True:
                    result = await anext(run, None)
                    if result is None:
                        break
                    self._arrived.put([result.value] if result.error is None else result.error)
                    del result  # it may be large, and the next may be long in coming
            finally:
                await run.aclose()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's to see
            self._arrived.put(explained(error))

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self.over.cancelled():
            self._arrived.put(CancelledError())
        else:
            self._arrived.put(NodeClosed("the node was closed in mid-map") if task.cancelled() else None)
        with suppress(InvalidStateError):  # it was cancelled just now
            self.over.set_result(None)

    def _end(self, task: asyncio.Task[None], over: Future[Any]) -> None:
        if over.cancelled():
            with suppress(RuntimeError):  # the loop is closed, and the task has ended
                self._loop.call_soon_threadsafe(task.cancel)

    # ---- in the thread that iterates

    def read(self, value_of: Callable[[Any], Any], ends_at: float | None) -> Generator[Any, None, None]:
        """The values, as they come; TimeoutError when one is not there at `ends_at`, in loop time."""
        try:
            while (arrived := self._next(ends_at)) is not None:
                if isinstance(arrived, BaseException):
                    raise arrived
                yield value_of(arrived.pop())
        finally:
            self.over.cancel()

    def _next(self, ends_at: float | None) -> list[Any] | BaseException | None:
        if self._arrived.empty():
            refuse_on(self._loop)
        try:
            return self._arrived.get(timeout=None if ends_at is None else max(0.0, ends_at - self._loop.time()))
        except Empty:
            raise TimeoutError("the next result of the map was not there in time") from None
