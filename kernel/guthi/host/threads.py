"""Threads for functions that may never return: they do not keep the process from ending.

concurrent.futures.ThreadPoolExecutor waits at the end of the process for each function that runs in it, whatever
`shutdown` was told. That is right for work that is to be finished, and wrong for a stranger's function that hangs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeAlias, TypeVar

__all__ = ["DaemonThreads"]

P = ParamSpec("P")
T = TypeVar("T")

_Errand: TypeAlias = tuple[Future[Any], Callable[[], Any]]


class DaemonThreads(Executor):
    """At most `workers` daemon threads, started when there is work for them; calls wait in their order."""

    def __init__(self, workers: int, name: str) -> None:
        self._workers, self._name = workers, name
        self._errands: SimpleQueue[_Errand | None] = SimpleQueue()
        self._gate = threading.Lock()
        self._threads = self._free = 0  # `_free`: threads that wait, less the errands that wait for one
        self._is_closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As concurrent.futures has it; raises RuntimeError after `shutdown`."""
        future: Future[T] = Future()
        with self._gate:
            if self._is_closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._errands.put((future, partial(fn, *args, **kwargs)))
            self._free -= 1
            if self._free < 0 and self._threads < self._workers:
                self._start()
        return future

    def _start(self) -> None:
        self._threads += 1
        self._free += 1
        threading.Thread(target=self._work, name=f"{self._name}_{self._threads}", daemon=True).start()

    def _work(self) -> None:
        while (errand := self._errands.get()) is not None:
            _run(*errand)
            del errand  # with what it refers to
            with self._gate:
                self._free += 1

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing more. What runs, runs on; it is never waited for, as it may never end."""
        with self._gate:
            self._is_closed = True
            if cancel_futures:
                self._cancel_all()
            for _ in range(self._threads):
                self._errands.put(None)

    def _cancel_all(self) -> None:
        try:
            while (errand := self._errands.get_nowait()) is not None:
                errand[0].cancel()
        except Empty:
            pass


def _run(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - as an executor does: it is the waiter's to see
        future.set_exception(error)
    else:
        future.set_result(result)
