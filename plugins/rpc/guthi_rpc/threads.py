"""The threads of a node: each takes the most urgent call that waits as soon as it is done with its last one.

A thread asks nobody whose turn it is. If it had to wait for the loop to say so, it would stand idle while the loop
sends the last result: half a millisecond between two calls, and on a busy machine several.

For each call one errand goes to the executor, and says only "run whatever is the most urgent now". A call that is
cancelled leaves its errand to another, so that threads which never come back are not sent more and more of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import Context as Variables
from typing import Any, NamedTuple

from guthi_rpc.attempts import Attempt, attempt
from guthi_rpc.turns import Full
from guthi_rpc.waiting import Entry, Waiting

__all__ = ["Threads"]


class _Job(NamedTuple):
    """One call."""

    call: Callable[[], Any]
    variables: Variables
    future: Future[Attempt]


class Threads:
    """`threads` calls run at a time, and `queue` more may wait; `clock` times them."""

    def __init__(self, executor: Executor, threads: int, queue: int, clock: Callable[[], float]) -> None:
        self._executor, self._clock = executor, clock
        self._room = threads + queue
        self._gate = threading.Lock()
        self._waiting: Waiting[_Job] = Waiting()
        self._running = self._errands = 0

    @property
    def is_full(self) -> bool:
        """Whether no further call may wait."""
        return self._running + len(self._waiting) >= self._room

    def submit(self, call: Callable[[], Any], variables: Variables, priority: int) -> Future[Attempt]:
        """Have it called in a thread, with these context variables; raises Full.

        The future can be cancelled as long as the call has not begun.
        """
        job = _Job(call, variables, Future())
        with self._gate:
            if self.is_full:
                raise Full
            entry = self._waiting.put(job, priority)
            is_errand_missing = self._errands < len(self._waiting)
            self._errands += is_errand_missing
        job.future.add_done_callback(lambda future: self._drop(entry) if future.cancelled() else None)
        if is_errand_missing:
            self._executor.submit(self._run_next)
        return job.future

    def _drop(self, entry: Entry) -> None:
        """Nobody waits for it any more."""
        with self._gate:
            self._waiting.drop(entry)

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
            self._errands -= 1
            while (job := self._waiting.take()) is not None:
                if job.future.set_running_or_notify_cancel():
                    self._running += 1
                    return job
        return None

    def close(self, reason: Exception) -> None:
        """Begin nothing more; what waits fails for that reason. What runs cannot be ended, and is not awaited."""
        with self._gate:
            waiting, self._waiting = self._waiting, Waiting()
        while (job := waiting.take()) is not None:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(reason)
        self._executor.shutdown(wait=False, cancel_futures=True)
