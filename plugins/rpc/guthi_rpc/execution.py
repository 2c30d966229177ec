"""Runs functions: on the loop, in threads, or in processes, never letting one of them hold the node up, or end it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

from guthi.api import Host
from guthi.errors import NodeClosed
from guthi_rpc.attempts import Attempt, attempt, attempt_in_worker, contained
from guthi_rpc.context import Context
from guthi_rpc.errors import WorkerDied
from guthi_rpc.functions import Function, Run
from guthi_rpc.questions import Answer

__all__ = ["Execution"]

GRACE_S = 2.0  # how long a worker process may take to end when it is told to


class Execution:
    """The pools of one node, made when they are first needed.

    `running` counts the calls that are not done, those that wait for a worker included. A call waits here for its
    turn in a process, and not in the pool: when a worker dies, all that the pool holds fails, begun or not.
    """

    def __init__(self, host: Host, node: str, threads: int, processes: int, queue: int) -> None:
        self.running = 0
        self._host, self._node = host, node
        self._threads, self._processes = threads, processes
        self._pools: dict[Run, Executor] = {}
        self._turns = asyncio.Semaphore(processes)
        self._queue = queue
        self.is_closed = False

    def is_full(self, style: Run) -> bool:
        """Whether a further call of that style has to be refused."""
        return self.running >= self._queue

    def run(
        self, function: Function, arguments: Sequence[Any], named: Mapping[str, Any], context: Context
    ) -> Answer | Awaitable[Answer]:
        """The answer, or something that gives it; raises what the function raises. Not after `close`."""
        assert not self.is_closed
        style, call = function.description.run, partial(function.call, *arguments, **named)
        if style is not Run.INLINE:
            return _Later(partial(self._in_process if style is Run.PROCESS else self._in_thread, call))
        return _Later(partial(self._in_task, call)) if function.is_async else self._inline(call)

    def _inline(self, call: Callable[[], Any]) -> Answer | Awaitable[Answer]:
        clock = asyncio.get_running_loop().time
        started_at = clock()
        try:
            value = call()
        except BaseException as error:  # noqa: BLE001 - as in `attempt`
            raise contained(error)  # noqa: B904 - it is the same error, or has it as its cause
        return self._in_task(lambda: value) if isinstance(value, Awaitable) else Answer(value, clock() - started_at)

    async def _in_task(self, call: Callable[[], Awaitable[Any]]) -> Answer:
        clock = asyncio.get_running_loop().time
        started_at = clock()
        self.running += 1
        try:
            value = await call()
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
                raise
            raise contained(error)  # noqa: B904 - as above
        finally:
            self.running -= 1
        return Answer(value, clock() - started_at)

    async def _in_thread(self, call: Callable[[], Any]) -> Answer:
        loop = asyncio.get_running_loop()
        self.running += 1
        try:
            done = await loop.run_in_executor(self._pool(Run.THREAD), partial(attempt, loop.time, call))
        finally:
            self.running -= 1
        return done.answer()

    async def _in_process(self, call: Callable[[], Any]) -> Answer:
        self.running += 1
        try:
            async with self._turns:
                if self.is_closed:
                    raise NodeClosed(f"{self._node} was closed before the function began")
                done = await self._in_worker(call)
        finally:
            self.running -= 1
        return done.answer()

    async def _in_worker(self, call: Callable[[], Any]) -> Attempt:
        loop, pool = asyncio.get_running_loop(), self._pool(Run.PROCESS)
        is_elsewhere = isinstance(pool, ProcessPoolExecutor)  # the processes of a simulated host are this one
        work = partial(attempt_in_worker, call) if is_elsewhere else partial(attempt, loop.time, call)
        try:
            return await loop.run_in_executor(pool, work)
        except BrokenExecutor as error:
            self._discard(pool)
            raise WorkerDied(
                f"a worker process of {self._node} died while it ran a function; new ones are started. Most often "
                "the function used too much memory, called os._exit, or cannot be imported by another process"
            ) from error

    def _pool(self, style: Run) -> Executor:
        pool = self._pools.get(style)
        if pool is None:
            name = f"guthi-rpc-{self._node}"
            pool = self._pools[style] = (
                self._host.thread_executor(name, self._threads)
                if style is Run.THREAD
                else self._host.process_executor(name, self._processes)
            )
        return pool

    def _discard(self, pool: Executor) -> None:
        """Use a broken pool no more; many calls may notice at once, and some when there is a new one already."""
        if self._pools.get(Run.PROCESS) is pool:
            del self._pools[Run.PROCESS]
        _end(pool)

    def close(self) -> None:
        """Start nothing more. What runs in a process is ended; what runs in a thread cannot be, but is not awaited."""
        self.is_closed = True
        for pool in self._pools.values():
            _end(pool)
        self._pools.clear()


class _Later:
    """Begins when it is awaited; a call that is cancelled before that has left nothing behind, as a coroutine would."""

    __slots__ = ("_begin",)

    def __init__(self, begin: Callable[[], Coroutine[Any, Any, Answer]]) -> None:
        self._begin = begin

    def __await__(self) -> Generator[Any, Any, Answer]:
        return self._begin().__await__()


def _is_being_cancelled() -> bool:
    """Whether somebody cancels this task, or the function only raised CancelledError by itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _end(pool: Executor) -> None:
    workers = list((getattr(pool, "_processes", None) or {}).values())  # Python 3.14 has terminate_workers for this
    pool.shutdown(wait=False, cancel_futures=True)
    for worker in workers:
        worker.terminate()
    if workers:  # not on the loop, which may be closed before the grace is over
        threading.Thread(target=_kill_the_stubborn, args=(workers,), name="guthi-rpc-end", daemon=True).start()


def _kill_the_stubborn(workers: Sequence[BaseProcess]) -> None:
    """Kill what has not ended after the grace, which all have together: a function may ignore SIGTERM."""
    grace_s = GRACE_S
    for worker in workers:
        if not wait([worker.sentinel], grace_s):
            worker.kill()
            grace_s = 0.0
