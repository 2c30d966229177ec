"""A virtual-time event loop: when nothing is ready, the clock jumps to the next timer instead of waiting for it.

Every callback belongs to the processor in whose context it was scheduled (`PROCESSOR`). The loop asks that
processor when the callback may run: at once, later (it is paused, or slow), or never (it has crashed). So a crash is a
true one: no `finally` of the dead node runs, no goodbye is sent.

A loop with no timer, nothing ready and the main task unfinished can never do anything again: it raises Stalled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context, ContextVar, copy_context
from functools import partial
from typing import Any, Protocol, TypeVar, TypeVarTuple, Unpack

from guthi.errors import GuthiError

__all__ = ["PROCESSOR", "Gate", "Stalled", "VirtualLoop"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Stalled(GuthiError):
    """Nothing can ever happen again in this world, and the scenario has not ended."""


class Gate(Protocol):
    """What the loop asks of the processor that a callback belongs to."""

    def local_time(self, now: float) -> float:
        """The machine's own clock at the world's time `now`."""

    def world_time(self, local: float) -> float:
        """The inverse of `local_time`."""

    def is_free(self, now: float) -> bool:
        """Whether a callback may run now; the time that it takes begins."""

    def hold(self, run: Callable[[], object]) -> None:
        """Run it when there is time; never, if the machine is dead."""

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """A task was created on the machine."""


PROCESSOR: ContextVar[Gate | None] = ContextVar("guthi_processor", default=None)


class _Clockwork:
    """Stands where a selector would: instead of waiting it moves the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Stalled(self._loop.stalled_because())
        if timeout > 0:
            self._loop.now += timeout
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """An asyncio loop for simulations; `now` is the world's time in seconds, and starts at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._selector = _Clockwork(self)
        self._clock_resolution = 1e-9
        self.set_task_factory(_make_task)

    def time(self) -> float:
        """The time on the clock of the machine that asks; outside machines the world's."""
        gate = PROCESSOR.get()
        return self.now if gate is None else gate.local_time(self.now)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end in virtual time. Raises Stalled."""
        return self.run_until_complete(main)

    def stalled_because(self) -> str:
        """Names the tasks that wait for what cannot come."""
        waiting = sorted(task.get_name() for task in asyncio.all_tasks(self) if not task.done())
        shown = ", ".join(waiting[:10]) + (f" and {len(waiting) - 10} more" if len(waiting) > 10 else "")
        return f"nothing can ever happen again at {self.now:.6f} s, while these tasks wait: {shown or 'none'}"

    # ---- callbacks pass through their processor

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As asyncio's, but run when the machine's processor has time."""
        if context is None:
            context = copy_context()
        gate = context.get(PROCESSOR)
        if gate is None:
            return super().call_soon(callback, *args, context=context)
        passage = _Passage(self, gate, context, callback, args)
        passage.handle = super().call_soon(passage, context=context)
        return passage.handle

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """The same: a simulation has one thread."""
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's; `when` is on the clock of the machine that asks."""
        if context is None:
            context = copy_context()
        gate = context.get(PROCESSOR)
        if gate is None:
            return super().call_at(when, callback, *args, context=context)
        passage = _Passage(self, gate, context, callback, args)
        timer = super().call_at(gate.world_time(when), passage, context=context)
        passage.handle = timer
        return timer

    def call_later(
        self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's; `delay` is measured by the clock of the machine that asks."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    # ---- what BaseEventLoop wants of a real loop

    def _process_events(self, events: list[Any]) -> None:
        """There are none: nothing here has a file descriptor."""

    def _write_to_self(self) -> None:
        """There is nobody to wake."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There is none."""

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Runs in a simulated executor; with None in this loop's own, at the end of the turn."""
        if executor is not None:
            return super().run_in_executor(executor, func, *args)
        future: asyncio.Future[T] = self.create_future()
        self.call_soon(_settle, future, partial(func, *args))
        return future


class _Passage:
    """A callback on its way through the gate of its processor."""

    __slots__ = ("_args", "_callback", "_context", "_gate", "_loop", "handle")

    def __init__(
        self, loop: VirtualLoop, gate: Gate, context: Context, callback: Callable[..., object], args: tuple[Any, ...]
    ) -> None:
        self._loop, self._gate, self._context, self._callback, self._args = loop, gate, context, callback, args
        self.handle: asyncio.Handle | None = None

    def __call__(self) -> None:
        if self._gate.is_free(self._loop.now):
            self._callback(*self._args)
        else:
            self._gate.hold(self._run_late)

    def _run_late(self) -> None:
        if self.handle is None or not self.handle.cancelled():
            self._context.run(self._callback, *self._args)


def _make_task(
    loop: asyncio.AbstractEventLoop, work: Any, context: Context | None = None, **options: Any
) -> asyncio.Task[Any]:
    task = asyncio.Task(work, loop=loop, context=context, **options)
    gate = PROCESSOR.get() if context is None else context.get(PROCESSOR)
    if gate is not None:
        gate.adopt(task)
    return task


def _settle(future: asyncio.Future[T], call: Callable[[], T]) -> None:
    if future.cancelled():
        return
    try:
        future.set_result(call())
    except Exception as error:  # noqa: BLE001 - it is the waiter's to see
        future.set_exception(error)
