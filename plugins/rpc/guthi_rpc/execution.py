"""Runs functions: on the loop, in threads, or in processes, never letting one of them hold the node up, or end it.

A call waits here for its turn (see `threads` and `turns`), and not in the pool: so that urgent ones go first, those
that nobody waits for any more leave the queue, and a queue that is full is noticed before the call has begun.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import Any

from guthi.api import Host, Workers
from guthi.errors import NodeClosed, NotEncodable
from guthi.host.workers import WorkerLost
from guthi_rpc.attempts import Attempt, attempt_in_worker, contained, is_being_cancelled
from guthi_rpc.context import Context, running_call
from guthi_rpc.errors import WorkerDied
from guthi_rpc.functions import Function, Run
from guthi_rpc.generators import MAX_OPEN, Generators
from guthi_rpc.later import Later
from guthi_rpc.questions import Answer
from guthi_rpc.threads import Threads
from guthi_rpc.turns import Full, Turns

__all__ = ["Execution"]

_INLINE, _THREAD = Run.INLINE, Run.THREAD  # looked up for each call otherwise, at a tenth of a microsecond

log = logging.getLogger("guthi_rpc.execution")


class Execution:
    """The pools of one node, made when they are first needed.

    `running` counts the calls that are not done, those that wait for their turn included. `queue` is how many may wait
    for each pool, and how many coroutines may run on the loop.
    """

    def __init__(self, host: Host, node: str, threads: int, processes: int, queue: int) -> None:
        self.running = 0
        self._host, self._node, self._queue = host, node, queue
        self._thread_count, self._processes = threads, processes
        self._threads: Threads | None = None
        self._workers: Workers | None = None
        self.generators = Generators(self._generator_threads)
        self._turns = Turns(processes, queue)
        self._coroutines = 0
        self.is_closed = False

    def is_full(self, style: Run) -> bool:
        """Whether a further call of that style has to be refused."""
        if style is _INLINE:
            return self._coroutines >= self._queue
        if style is _THREAD:
            return self._threads is not None and self._threads.is_full
        return self._turns.is_full

    def run(
        self, function: Function, arguments: Sequence[Any], named: Mapping[str, Any], context: Context
    ) -> Answer | Awaitable[Answer]:
        """The answer, or something that gives it; raises what the function raises, and Full. Not after `close`."""
        assert not self.is_closed
        if function.at_once:
            return self._inline(function.call, arguments, named, context)
        style, call = function.description.run, partial(function.call, *arguments, **named)
        if style is _INLINE:
            return Later(partial(self._in_task, call, context))
        return Later(partial(self._in_thread if style is _THREAD else self._in_worker, call, context))

    # ---- on the loop

    def _inline(
        self, call: Callable[..., Any], arguments: Sequence[Any], named: Mapping[str, Any], context: Context
    ) -> Answer | Awaitable[Answer]:
        clock = asyncio.get_running_loop().time
        started_at = clock()
        token = running_call.set(context)
        try:
            value = call(*arguments, **named)
        except BaseException as error:  # noqa: BLE001 - as in `attempt`
            raise contained(error)  # noqa: B904 - it is the same error, or has it as its cause
        finally:
            running_call.reset(token)
        if hasattr(value, "__await__"):
            return self._in_task(lambda: value, context)
        return Answer(value, clock() - started_at)

    async def _in_task(self, call: Callable[[], Awaitable[Any]], context: Context) -> Answer:
        clock = asyncio.get_running_loop().time
        started_at = clock()
        running_call.set(context)  # the task is this call's own
        try:
            with self.lasting():
                value = await call()
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                raise
            raise contained(error)  # noqa: B904 - as above
        return Answer(value, clock() - started_at)

    @contextmanager
    def lasting(self) -> Iterator[None]:
        """A call that runs on the loop for as long as the context; it counts as a coroutine does."""
        if self._coroutines >= self._queue:  # many may have come in one turn of the loop, and passed `is_full` together
            raise Full
        self.running += 1
        self._coroutines += 1
        try:
            yield
        finally:
            self.running -= 1
            self._coroutines -= 1

    # ---- in a thread

    async def _in_thread(self, call: Callable[[], Any], context: Context) -> Answer:
        if self._threads is None:
            executor = self._host.thread_executor(self._pool_name, self._thread_count)
            self._threads = Threads(executor, self._thread_count, self._queue, asyncio.get_running_loop().time)
        variables = copy_context()
        variables.run(running_call.set, context)
        self.running += 1
        try:
            return (await asyncio.wrap_future(self._threads.submit(call, variables, context.priority))).answer(0.0)
        finally:
            self.running -= 1

    # ---- in a process

    async def _in_worker(self, call: Callable[[], Any], context: Context) -> Answer:
        self.running += 1
        try:
            await self._turns.take(context.priority)
            try:
                future = self._begin_in_worker(call, context)
            except BaseException:
                self._turns.give()
                raise
            loop = asyncio.get_running_loop()
            started_at = loop.time()
            future.add_done_callback(lambda _: self._on_loop(loop, self._turns.give))
            done = await asyncio.wrap_future(future)
            return done.answer(loop.time() - started_at)
        except WorkerLost as error:
            raise WorkerDied(f"a worker process of {self._node} died while it ran a function: {error}") from error
        finally:
            self.running -= 1

    def _on_loop(self, loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
        if not self.is_closed:
            loop.call_soon_threadsafe(work)

    def _begin_in_worker(self, call: Callable[[], Any], context: Context) -> Future[Attempt]:
        if self._workers is None:
            self._workers = self._host.worker_processes(self._pool_name, self._processes)

        def on_report(state: Any) -> None:
            try:
                context.checkpoint(state)
            except NotEncodable as error:
                log.warning("a checkpoint of %r is not sent: %s", context.function, error)

        return self._workers.submit(partial(attempt_in_worker, call, context.detached()), on_report)

    @property
    def _pool_name(self) -> str:
        return f"guthi-rpc-{self._node}"

    def _generator_threads(self) -> Executor:
        return self._host.thread_executor(f"{self._pool_name}-streams", MAX_OPEN, daemon=True)

    def close(self) -> None:
        """Start nothing more. What runs in a process is ended; what runs in a thread cannot be, but is not awaited."""
        self.is_closed = True
        reason = NodeClosed(f"{self._node} was closed before the function began")
        self._turns.close(reason)
        self.generators.close()
        if self._threads is not None:
            self._threads.close(reason)
        if self._workers is not None:
            self._workers.shutdown()
