"""Whose a callback is, and when it runs: at once, when its processor has time, or never.

A callback belongs to the processor in whose context it was scheduled (`PROCESSOR`), or to none: then it is the
scenario's. Its handle asks the processor, which is a `Gate`, when its turn comes. A timer is set by the clock of its
processor; timers of one moment fire in the order in which they were set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from guthi.testing.loop import VirtualLoop

__all__ = ["PROCESSOR", "Gate", "GatedHandle", "ProcessorHandle", "Timer"]

EARLY_S = 1e-6


class GatedHandle(Protocol):
    """A callback that waits for its processor."""

    def cancelled(self) -> bool:
        """Whether it is not wanted any more."""

    def run_late(self) -> None:
        """Run it now."""


class Gate(Protocol):
    """What the loop asks of the processor that a callback belongs to."""

    @property
    def name(self) -> str:
        """That of the machine."""

    def local_time(self, now: float) -> float:
        """The machine's own clock at the world's time `now`."""

    def world_time(self, local: float) -> float:
        """The inverse of `local_time`, rounded up."""

    def is_free(self, now: float) -> bool:
        """Whether a callback may run now; the time that it takes begins."""

    def hold(self, handle: GatedHandle) -> None:
        """Run it when there is time; never, if the machine is dead."""

    def default_executor(self) -> Executor:
        """Where `asyncio.to_thread` runs."""


PROCESSOR: ContextVar[Gate | None] = ContextVar("guthi_processor", default=None)


class ProcessorHandle(asyncio.Handle):
    """A callback of a processor."""

    __slots__ = ("_gate",)

    def __init__(
        self, gate: Gate, callback: Callable[..., object], args: tuple[Any, ...], loop: VirtualLoop, context: Context
    ) -> None:
        super().__init__(callback, args, loop, context)
        self._gate = gate

    def _run(self) -> None:
        if self._gate.is_free(self._loop.now):  # type: ignore[attr-defined]
            asyncio.Handle._run(self)
        else:
            self._gate.hold(self)

    def run_late(self) -> None:
        asyncio.Handle._run(self)


class Timer(asyncio.TimerHandle):
    """A timer of a processor, or with `gate` None of the scenario; `local_when` is on the processor's clock."""

    __slots__ = ("_gate", "_local_when", "_number")

    def __init__(
        self,
        gate: Gate | None,
        local_when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: VirtualLoop,
        context: Context,
    ) -> None:
        when = local_when if gate is None else gate.world_time(local_when)
        super().__init__(when, callback, args, loop, context)
        self._gate, self._local_when = gate, local_when
        self._number = next(loop.numbers)

    def when(self) -> float:
        """On the clock of the machine that set it."""
        return self._local_when

    def __lt__(self, other: Any) -> bool:
        mine, its = self._when, other._when  # type: ignore[attr-defined]
        return bool(mine < its or (mine == its and self._number < other._number))

    def _run(self) -> None:
        gate = self._gate
        if gate is None:
            asyncio.Handle._run(self)
            return
        loop: VirtualLoop = self._loop  # type: ignore[attr-defined]
        if gate.local_time(loop.now) < self._local_when - EARLY_S:  # the machine's clock has been slowed meanwhile
            loop.push(self, gate.world_time(self._local_when))
        elif gate.is_free(loop.now):
            asyncio.Handle._run(self)
        else:
            gate.hold(self)

    def run_late(self) -> None:
        asyncio.Handle._run(self)
