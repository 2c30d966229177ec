"""A virtual-time event loop: when nothing is ready, the clock jumps to the next timer instead of waiting for it.

Every callback asks the processor that it belongs to whether it may run: at once, later (it is paused, or slow), or
never (it has crashed); see `handles`. So a crash is a true one: no `finally` of the dead node runs, no goodbye is sent.

Invariants: callbacks of one processor run in the order in which they became due; timers of one moment fire in the
order in which they were set; a set of tasks is iterated in the order of their making. All three are what makes two
runs of a seed equal.

A loop with no timer, nothing ready and the main task unfinished can never do anything again: it raises Stalled. So does
one that turns and turns without the clock going on.

The loop overrides what asyncio.BaseEventLoop leaves to its heirs, and the attributes `_ready` and `_scheduled`, which
have been the same from Python 3.4 to 3.14.
"""

from __future__ import annotations

import asyncio
import heapq
import inspect
import math
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from itertools import count
from typing import Any, TypeVar, TypeVarTuple, Unpack

from guthi.errors import GuthiError, UsageError
from guthi.testing.handles import PROCESSOR, Gate, ProcessorHandle, Timer
from guthi.testing.reality import refuse_real_input_and_output

__all__ = ["Stalled", "VirtualLoop"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MOST_TURNS_A_MOMENT = 100_000
MOST_AWAITS_IN_FINALLY = 100
MOST_FAILED_UNSIFTED = 100
RESOLUTION_S = 1e-9


class Stalled(GuthiError):
    """Nothing can ever happen again in this world, and the scenario has not ended."""


class _Task(asyncio.Task[T]):
    """A task whose hash is its number: others are hashed by their address, which differs from run to run."""

    def __init__(self, number: int, work: Coroutine[Any, Any, T], **options: Any) -> None:
        self._number = number  # first, for asyncio puts the task into a set
        super().__init__(work, **options)

    def __hash__(self) -> int:
        return self._number


class _Clockwork:
    """Stands where a selector would: instead of waiting it moves the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._turns = 0

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Stalled(self._loop.stalled_because("nothing can ever happen again"))
        if timeout > 0:
            self._turns = 0
            self._loop.jump()
        else:
            self._turns += 1
            if self._turns > MOST_TURNS_A_MOMENT:
                raise Stalled(self._loop.stalled_because("the loop turns and turns, and no time passes"))
        return []


@refuse_real_input_and_output
class VirtualLoop(asyncio.BaseEventLoop):
    """An asyncio loop for simulations; `now` is the world's time in seconds, and starts at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.numbers: Iterator[int] = count()
        self.outside = Context()  # empty: for callbacks that belong to no processor
        self._selector = _Clockwork(self)
        self._clock_resolution = RESOLUTION_S
        self._thread = threading.get_ident()
        self._unfinished: dict[asyncio.Task[Any], Gate | None] = {}
        self._failed: list[asyncio.Task[Any]] = []
        self.set_task_factory(_make_task)

    def time(self) -> float:
        """The time on the clock of the machine that asks; outside machines the world's."""
        gate = PROCESSOR.get()
        return self.now if gate is None else gate.local_time(self.now)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end in virtual time. Raises Stalled."""
        return self.run_until_complete(main)

    def jump(self) -> None:
        """On to the next timer."""
        self.now = max(self.now, self._scheduled[0]._when)  # type: ignore[attr-defined]
        self._clock_resolution = max(RESOLUTION_S, 2 * math.ulp(self.now))  # else the end of a long world never comes

    def stalled_because(self, reason: str) -> str:
        """Names the tasks that wait for what cannot come."""
        waiting = [
            f"{task.get_name()} on {gate.name}" if gate is not None else task.get_name()
            for task, gate in self._unfinished.items()
            if not task.done()
        ]
        shown = ", ".join(waiting[:10]) + (f" and {len(waiting) - 10} more" if len(waiting) > 10 else "")
        return f"{reason} at {self.now:.6f} s, while these tasks wait: {shown or 'none'}"

    # ---- callbacks pass through the gate of their processor

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As asyncio's, but run when the machine's processor has time."""
        if context is None:
            context = copy_context()
        gate = context.get(PROCESSOR)
        if gate is None:
            return super().call_soon(callback, *args, context=context)
        self._check_closed()  # type: ignore[attr-defined]
        handle = ProcessorHandle(gate, callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """The same; raises UsageError in another thread, because a simulation has one."""
        if threading.get_ident() != self._thread:
            raise UsageError("a world has one thread; let another compute before or after it, not while it runs")
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's; `when` is on the clock of the machine that the context belongs to."""
        if context is None:
            context = copy_context()
        self._check_closed()  # type: ignore[attr-defined]
        timer = Timer(context.get(PROCESSOR), when, callback, args, self, context)
        self.push(timer, timer._when)  # type: ignore[attr-defined]
        return timer

    def call_later(
        self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's; `delay` is measured by the clock of the machine that the context belongs to."""
        if context is None:
            context = copy_context()
        gate = context.get(PROCESSOR)
        now = self.now if gate is None else gate.local_time(self.now)
        return self.call_at(now + delay, callback, *args, context=context)

    def push(self, timer: asyncio.TimerHandle, when: float) -> None:
        """Let a timer fire at this moment of the world's time."""
        timer._when = when  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]

    # ---- tasks

    def begun(self, task: asyncio.Task[Any], gate: Gate | None) -> None:
        """A task was created; it is kept until it is done, even when its machine is dead."""
        self._unfinished[task] = gate
        task.add_done_callback(self._ended, context=self.outside)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._unfinished.pop(task, None)
        if _is_unretrieved(task):
            self._failed.append(task)
            if len(self._failed) > MOST_FAILED_UNSIFTED:
                self._failed = [each for each in self._failed if _is_unretrieved(each)]

    def unfinished(self, gate: Gate | None) -> list[str]:
        """The names of the tasks of a processor, or with None of the scenario, that are not done."""
        return [task.get_name() for task, its in self._unfinished.items() if its is gate and not task.done()]

    def unretrieved(self) -> list[tuple[str, BaseException]]:
        """The tasks that failed and whose failure nobody has looked at, with their errors; once."""
        done = [task for task in self._unfinished if task.done()]
        failed = [task for task in [*self._failed, *done] if _is_unretrieved(task)]
        self._failed.clear()
        return [(task.get_name(), error) for task in failed if (error := task.exception()) is not None]

    def cancel_scenario(self) -> None:
        """Cancel the tasks that belong to no machine, and let them end, if they can."""
        tasks = [task for task, gate in self._unfinished.items() if gate is None and not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            with suppress(Stalled):
                self.run_until_complete(asyncio.wait(tasks))

    def bury(self) -> None:
        """End all tasks that are left without running the loop: their `finally` blocks find dead machines.

        It is done here and not by chance when Python collects them, each with a warning. Tasks that are begun in a
        `finally` block, as by asyncio.gather, are buried with the others.
        """
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            while self._unfinished:
                task, _ = self._unfinished.popitem()
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                if task.done():
                    if not task.cancelled():
                        task.exception()  # looked at, so that nothing is said when it is collected
                else:
                    _close(task.get_coro())
        finally:
            asyncio._set_running_loop(outer)

    # ---- what BaseEventLoop wants of a real loop

    def _process_events(self, events: list[Any]) -> None:
        """There are none: nothing here has a file descriptor."""

    def _write_to_self(self) -> None:
        """There is nobody to wake."""

    def __del__(self) -> None:
        """Nothing real is held, so that a world which was never run need not be closed."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There is none."""

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Runs in a simulated executor; with None in that of the machine. Raises UsageError for a real one."""
        if isinstance(executor, ThreadPoolExecutor | ProcessPoolExecutor):
            raise UsageError(
                f"a world has one thread, and no {type(executor).__name__}; take the executor from "
                "`node.host.thread_executor`, which is simulated here, or use asyncio.to_thread"
            )
        gate = PROCESSOR.get()
        if executor is None and gate is not None:
            executor = gate.default_executor()
        if executor is not None:
            return super().run_in_executor(executor, func, *args)
        future: asyncio.Future[T] = self.create_future()
        self.call_soon(_settle, future, partial(func, *args))
        return future


def _make_task(
    loop: asyncio.AbstractEventLoop, work: Any, context: Context | None = None, **options: Any
) -> asyncio.Task[Any]:
    assert isinstance(loop, VirtualLoop)
    task: asyncio.Task[Any] = _Task(next(loop.numbers), work, loop=loop, context=context, **options)
    loop.begun(task, PROCESSOR.get() if context is None else context.get(PROCESSOR))
    return task


def _is_unretrieved(task: asyncio.Task[Any]) -> bool:
    return bool(task._log_traceback)


def _settle(future: asyncio.Future[T], call: Callable[[], T]) -> None:
    if future.cancelled():
        return
    try:
        future.set_result(call())
    except Exception as error:  # noqa: BLE001 - it is the waiter's to see
        future.set_exception(error)


def _close(work: Any) -> None:
    """End a coroutine that will never be resumed; where it has not begun, also those that it was given to await."""
    if inspect.iscoroutine(work) and inspect.getcoroutinestate(work) == inspect.CORO_CREATED:
        for given in inspect.getcoroutinelocals(work).values():
            if inspect.iscoroutine(given):
                _close(given)
    for _ in range(MOST_AWAITS_IN_FINALLY):
        awaited = _awaited(work)
        try:
            work.close()
        except BaseException:  # noqa: BLE001 - what a dead coroutine says is nobody's business
            still = _awaited(work)
            for inner in awaited:
                if inner not in still:
                    _close(inner)  # it waits for something in its `finally`, and nobody for it any more
            continue
        return


def _awaited(work: Any) -> list[Any]:
    """The coroutine that this one waits for, the one that that waits for, and so on."""
    found: list[Any] = []
    while inspect.iscoroutine(work := getattr(work, "cr_await", None)):
        found.append(work)
    return found
