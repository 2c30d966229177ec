"""Decides when the calls of an executor begin: as many at a time as the nodes can work on; the others wait here.

What waits can still be cancelled, and goes to a node that comes later. Calls are handed over from any thread, and begin
on the loop of the node. What came of one is told in a thread of the executor's own, where results are unpickled and the
callbacks of users run: on the loop they would hold the node up.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from guthi import NodeClosed

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Job", "Window"]


@dataclass(slots=True, eq=False)
class Job:
    """One call: `work` makes it, `read` makes a value of its answer, and `future` is who is told."""

    work: Callable[[], Awaitable[Any]]
    read: Callable[[Any], Any]
    future: Future[Any]
    is_running: bool = False


class Window:
    """The calls of one executor.

    `room` says how many may be under way, `changed` waits until that may be another; `least` is how many it is at
    least, so that the first calls count as running as soon as they are handed over.
    """

    def __init__(
        self,
        node: Node,
        loop: asyncio.AbstractEventLoop,
        room: Callable[[], int],
        changed: Callable[[], Awaitable[None]],
        least: int,
    ) -> None:
        self._node, self._loop, self._room, self._changed = node, loop, room, changed
        self._gate = threading.Lock()
        self._inbox: deque[Job] = deque()
        self._is_woken = self._is_closing = False
        self._waiting: deque[Job] = deque()
        self._running, self._least = 0, least
        self._watch: asyncio.Task[None] | None = None
        self._outcomes: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._teller: threading.Thread | None = None

    # ---- from any thread

    def put(self, job: Job) -> None:
        """Have a call made; raises RuntimeError after `close`, NodeClosed where the loop is gone."""
        with self._gate:
            if self._is_closing:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if self._teller is None:
                self._teller = threading.Thread(
                    target=_tell_all, args=(self._outcomes,), name=f"guthi-executor-{self._node.name}", daemon=True
                )
                self._teller.start()
            self._inbox.append(job)
            self._wake()
            if self._running < self._least and not self._waiting:
                self._run(job)

    def close(self) -> None:
        """Take nothing more, and end the thread when all is told."""
        with self._gate:
            self._is_closing = True
        try:
            self._loop.call_soon_threadsafe(self._pump)
        except RuntimeError:  # the loop is closed, and all that ran on it has ended
            self._outcomes.put(None)

    def join(self) -> None:
        """Wait for the end of the thread; nothing where it is the caller."""
        if self._teller is not None and self._teller is not threading.current_thread():
            self._teller.join()

    def _wake(self) -> None:
        """One message to the loop is enough for all that is in the inbox when it comes."""
        if self._is_woken:
            return
        try:
            self._loop.call_soon_threadsafe(self._take)
        except RuntimeError:
            self._inbox.pop()
            raise NodeClosed("the node of this executor is closed") from None
        self._is_woken = True

    # ---- on the loop

    def _take(self) -> None:
        with self._gate:
            self._is_woken = False
            for job in self._inbox:
                if job.is_running:
                    self._begin(job)
                else:
                    self._waiting.append(job)
            self._inbox.clear()
        self._pump()

    def _pump(self) -> None:
        """Begin what may begin."""
        waiting = self._waiting
        room = self._room() if waiting else 0
        while waiting and (self._running < room or waiting[0].future.cancelled()):
            job = waiting.popleft()
            with self._gate:
                self._run(job)
            if job.is_running:
                self._begin(job)
        if waiting and (self._watch is None or self._watch.done()):
            self._watch = self._node.start(self._look_again())
            self._watch.add_done_callback(self._stopped)
        if self._is_closing and not waiting and not self._running and not self._inbox:
            self._outcomes.put(None)

    def _run(self, job: Job) -> None:
        """Count a call as running, unless it has been cancelled."""
        job.is_running = job.future.set_running_or_notify_cancel()
        self._running += job.is_running

    def _begin(self, job: Job) -> None:
        self._node.start(_attempt(job.work)).add_done_callback(partial(self._ended, job))

    def _ended(self, job: Job, task: asyncio.Task[tuple[Any, Exception | None]]) -> None:
        with self._gate:
            self._running -= 1
        if task.cancelled():
            self._fail(job, NodeClosed("the node was closed before the answer came"))
        else:
            answer, error = task.result()
            self._outcomes.put(partial(_settle, job, answer, error))
        self._pump()

    async def _look_again(self) -> None:
        """A node may have come while something waits."""
        while self._waiting:
            await self._changed()
            self._pump()

    def _stopped(self, watch: asyncio.Task[None]) -> None:
        """The node stops: what waits will never begin."""
        while watch.cancelled() and self._waiting:
            job = self._waiting.popleft()
            if job.future.set_running_or_notify_cancel():
                self._fail(job, NodeClosed("the node was closed before the call began"))

    def _fail(self, job: Job, error: Exception) -> None:
        self._outcomes.put(partial(job.future.set_exception, error))


async def _attempt(work: Callable[[], Awaitable[Any]]) -> tuple[Any, Exception | None]:
    try:
        return await work(), None
    except Exception as error:  # noqa: BLE001 - it is the future's
        return None, error


# ---- in the thread that tells


def _tell_all(outcomes: SimpleQueue[Callable[[], None] | None]) -> None:
    while (tell := outcomes.get()) is not None:
        tell()
        del tell  # it holds a result, which may be large, until the next comes


def _settle(job: Job, answer: Any, error: Exception | None) -> None:
    try:
        if error is not None:
            raise error
        value = job.read(answer)
    except Exception as reason:  # noqa: BLE001 - what the function raised, or what reading the answer did
        job.future.set_exception(reason)
    else:
        job.future.set_result(value)
