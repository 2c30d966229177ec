"""The threads of a node: each takes the most urgent call that waits as soon as it is done with its last one.

A thread asks nobody whose turn it is. If it had to wait for the loop to say so, it would stand idle while the loop
sends the last result: half a millisecond between two calls, and on a busy machine several.

For each call one errand goes to the executor, and says only "run whatever is the most urgent now".
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import Context as Variables
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, NamedTuple

from guthi_rpc.attempts import Attempt, attempt
from guthi_rpc.turns import Full

__all__ = ["Threads"]


class _Job(NamedTuple):
    """One call; jobs sort by urgency, and among equals the one that came first is first."""

    urgency: int
    number: int
    call: Callable[[], Any]
    variables: Variables
    future: Future[Attempt]


class Threads:
    """`threads` calls run at a time, and `queue` more may wait; `clock` times them."""

    def __init__(self, executor: Executor, threads: int, queue: int, clock: Callable[[], float]) -> None:
        self._executor, self._clock = executor, clock
        self._room = threads + queue
        self._gate = threading.Lock()
        self._waiting: list[_Job] = []
        self._running = 0
        self._numbers = count()

    @property
    def is_full(self) -> bool:
        """Whether no further call may wait."""
        return self._running + len(self._waiting) >= self._room

    def submit(self, call: Callable[[], Any], variables: Variables, priority: int) -> Future[Attempt]:
        """Have it called in a thread, with these context variables; raises Full.

        The future can be cancelled as long as the call has not begun.
        """
        job = _Job(-priority, next(self._numbers), call, variables, Future())
        with self._gate:
            if self.is_full:
                raise Full
            heappush(self._waiting, job)
        job.future.add_done_callback(lambda future: self._drop(job) if future.cancelled() else None)
        self._executor.submit(self._run_next)
        return job.future

    def _drop(self, job: _Job) -> None:
        """Nobody waits for it any more."""
        with self._gate:
            if job in self._waiting:
                self._waiting.remove(job)
                heapify(self._waiting)

    def _run_next(self) -> None:
        """In a thread."""
        job = self._next()
        if job is None:
            return
        done = job.variables.run(attempt, self._clock, job.call)
        with self._gate:
            self._running -= 1
        job.future.set_result(done)

    def _next(self) -> _Job | None:
        with self._gate:
            while self._waiting:
                job = heappop(self._waiting)
                if job.future.set_running_or_notify_cancel():
                    self._running += 1
                    return job
        return None

    def close(self, reason: Exception) -> None:
        """Begin nothing more; what waits fails for that reason. What runs cannot be ended, and is not awaited."""
        with self._gate:
            waiting, self._waiting = self._waiting, []
        for job in waiting:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(reason)
        self._executor.shutdown(wait=False, cancel_futures=True)
