"""When a callback of a simulated machine may run: at once, when the processor has time for it, or never again.

A processor is one life of a machine, from power-on to crash. Callbacks of an earlier life never run in a later one.
Callbacks that it cannot run at once wait in a queue and keep their order.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Executor
from enum import Enum, auto
from typing import TYPE_CHECKING

from guthi.testing.handles import PROCESSOR, GatedHandle

if TYPE_CHECKING:
    from guthi.testing.machine import SimulatedMachine

__all__ = ["Power", "Processor"]

DEFAULT_WORKERS = 8


class Power(Enum):
    """Whether a machine runs."""

    ON = auto()
    PAUSED = auto()
    OFF = auto()


class Processor:
    """One life of a machine; what is scheduled in (a copy of) its `context` belongs to it."""

    def __init__(self, machine: SimulatedMachine) -> None:
        self._machine = machine
        self.name = machine.name
        self.power = Power.ON
        self._held: deque[GatedHandle] = deque()
        self._is_waking = False
        self._busy_until = 0.0
        self._executor: Executor | None = None
        self.local_time, self.world_time = machine.clock.local_time, machine.clock.world_time
        self.context = machine.loop.outside.copy()
        self.context.run(PROCESSOR.set, self)

    def is_free(self, now: float) -> bool:
        """Whether a callback may run now; a slow processor is then busy for the machine's `callback_s`."""
        if self.power is not Power.ON or self._held or now < self._busy_until:
            return False
        self._busy_until = now + self._machine.callback_s
        return True

    def hold(self, handle: GatedHandle) -> None:
        """Keep a callback until there is time for it; a dead processor forgets it."""
        if self.power is not Power.OFF:
            self._held.append(handle)
            self._wake()

    def pause(self) -> None:
        """Stand still."""
        if self.power is Power.ON:
            self.power = Power.PAUSED

    def resume(self) -> None:
        """Go on with what was held back."""
        if self.power is Power.PAUSED:
            self.power = Power.ON
            self._wake()

    def die(self) -> None:
        """Run nothing any more."""
        self.power = Power.OFF
        self._held.clear()

    def default_executor(self) -> Executor:
        """Where `asyncio.to_thread` runs."""
        if self._executor is None:
            self._executor = self._machine.thread_executor("asyncio", DEFAULT_WORKERS)
        return self._executor

    def _wake(self) -> None:
        if self._held and self.power is Power.ON and not self._is_waking:
            self._is_waking = True
            loop = self._machine.loop
            loop.call_at(max(loop.now, self._busy_until), self._run_held, context=loop.outside)

    def _run_held(self) -> None:
        self._is_waking = False
        now = self._machine.loop.now
        for _ in range(len(self._held)):
            if self.power is not Power.ON or now < self._busy_until:
                break
            handle = self._held.popleft()
            if not handle.cancelled():
                self._busy_until = now + self._machine.callback_s
                handle.run_late()
        self._wake()
