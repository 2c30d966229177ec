"""Worker threads and processes of a simulated machine: they take virtual time, and die with the machine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from guthi.host.workers import reporting

if TYPE_CHECKING:
    from guthi.testing.machine import SimulatedMachine

__all__ = ["SimulatedExecutor", "SimulatedWorkers"]

P = ParamSpec("P")
T = TypeVar("T")


class SimulatedExecutor(Executor):
    """Runs calls one after the other on `workers` workers; each takes the machine's `call_s` of virtual time.

    The function itself runs at the end of that time, in no time at all, in the one thread that a world has.
    """

    def __init__(self, machine: SimulatedMachine, workers: int) -> None:
        self._machine, self._workers = machine, workers
        self._processor = machine.processor
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._running = 0
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As concurrent.futures has it."""
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[T] = Future()
        self._waiting.append((future, lambda: fn(*args, **kwargs)))
        self._start()
        return future

    def _start(self) -> None:
        loop = self._machine.loop
        while self._waiting and self._running < self._workers:
            future, call = self._waiting.popleft()
            if future.set_running_or_notify_cancel():
                self._running += 1
                loop.call_later(
                    self._machine.call_s, self._finish, future, call, context=self._processor.context.copy()
                )

    def _finish(self, future: Future[Any], call: Callable[[], Any]) -> None:
        self._running -= 1
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - as an executor does: it is the waiter's to see
            future.set_exception(error)
        else:
            future.set_result(result)
        self._start()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing more; nothing is ever waited for, because waiting would stop the world."""
        self._closed = True
        if cancel_futures:
            for future, _ in self._waiting:
                future.cancel()
            self._waiting.clear()


class SimulatedWorkers:
    """The processes of a simulated machine, which are this one."""

    def __init__(self, executor: SimulatedExecutor) -> None:
        self._executor = executor

    def submit(self, call: Callable[[], Any], on_report: Callable[[Any], None]) -> Future[Any]:
        """As the port has it."""

        def run() -> Any:
            token = reporting.set(on_report)
            try:
                return call()
            finally:
                reporting.reset(token)

        return self._executor.submit(run)

    def shutdown(self) -> None:
        """Take nothing more."""
        self._executor.shutdown(cancel_futures=True)
