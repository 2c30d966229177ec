"""Runs plain generators: each in a thread while it makes its next value, for it may wait or compute for long.

The threads are the generators' own, as many as there may be generators: one that waits for ever holds up no other, nor
the functions of the node, nor what else runs in threads, such as the look-up of names. They do not keep the process
from ending.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Executor, Future
from contextvars import copy_context
from functools import partial
from typing import Any

from guthi.errors import NodeClosed
from guthi_rpc.turns import Full

__all__ = ["MAX_OPEN", "Generators"]

MAX_OPEN = 256
END = object()

log = logging.getLogger("guthi_rpc.generators")


class Generators:
    """Those of one node; `make_threads` makes the executor when it is first needed."""

    def __init__(self, make_threads: Callable[[], Executor]) -> None:
        self._make_threads = make_threads
        self._threads: Executor | None = None
        self._open = 0
        self._is_closed = False

    async def values(self, made: Generator[Any, None, None]) -> AsyncGenerator[Any, None]:
        """What it yields; raises Full where MAX_OPEN are open, those included that nobody waits for any more."""
        if self._open >= MAX_OPEN:
            raise Full
        self._open += 1
        run = copy_context().run
        step: Future[Any] | None = None
        try:
            while True:
                step = self._submit(partial(run, next, made, END))
                if (value := await asyncio.shield(asyncio.wrap_future(step))) is END:
                    return
                yield value
        finally:
            self._leave(made, partial(run, made.close), step)

    def _leave(self, made: Generator[Any, None, None], close: Callable[[], None], step: Future[Any] | None) -> None:
        """It cannot be closed while it runs, and nobody waits until it does not."""
        loop = asyncio.get_running_loop()

        def end() -> None:
            try:
                closing = self._submit(close)
            except NodeClosed:
                return
            closing.add_done_callback(partial(self._on_loop, loop, self._closed))

        if step is None or step.done():
            end()
        else:
            step.add_done_callback(partial(self._on_loop, loop, lambda _: end()))

    def _on_loop(self, loop: asyncio.AbstractEventLoop, work: Callable[[Future[Any]], None], done: Future[Any]) -> None:
        if not self._is_closed:
            loop.call_soon_threadsafe(work, done)

    def _closed(self, closing: Future[Any]) -> None:
        self._open -= 1
        if not closing.cancelled() and (error := closing.exception()) is not None:
            log.warning("a generator failed when it was closed: %r", error)

    def _submit(self, work: Callable[[], Any]) -> Future[Any]:
        if self._is_closed:
            raise NodeClosed("the node was closed before the generator came to its end")
        if self._threads is None:
            self._threads = self._make_threads()
        return self._threads.submit(work)

    def close(self) -> None:
        """Run nothing more; what runs is not awaited."""
        self._is_closed = True
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
