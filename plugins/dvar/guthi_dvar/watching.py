"""What a watcher is told: the current value, then each change; and where it has missed some, how many.

A change may be missed in two ways: a version was written over before its value could be fetched, or more versions came
than the watcher's queue holds. Both show in the same way, by a version number that is more than one ahead of the last.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from guthi import NodeId
from guthi_dvar.fetching import valid_copy
from guthi_dvar.holding import Holding
from guthi_dvar.readings import handed_out
from guthi_dvar.stamps import Stamp
from guthi_dvar.table import Arrived, Event, Vanished, Variable
from guthi_dvar.upkeep import Upkeep

__all__ = ["Change", "Lagged", "watched"]


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """A version of a value. Of an array `at` is where the chunk is of which `value` is the new content, else None.

    A chunk is not to be written to; any other value is the watcher's own.
    """

    value: Any
    version: int
    writer: NodeId
    at: tuple[slice, ...] | None = None


@dataclass(frozen=True, slots=True)
class Lagged:
    """So many versions were missed before the next change; `at` as in Change."""

    missed: int
    at: tuple[slice, ...] | None = None


async def watched(holding: Holding, upkeep: Upkeep, name: str, queue: int) -> AsyncIterator[Change | Lagged]:
    """What a watcher of this variable is told, until the variable is deleted; raises UnknownVariable."""
    watcher = Watcher(holding.variable(name), queue)
    holding.listeners.append(watcher.on_event)
    upkeep.watch(name)
    try:
        for index in watcher.lacking:
            await upkeep.pull(name, index)
        async for each in watcher.told():
            yield each
    finally:
        upkeep.unwatch(name)
        holding.listeners.remove(watcher.on_event)


class Watcher:
    """The queue of one watcher."""

    def __init__(self, variable: Variable, queue: int) -> None:
        self._variable = variable
        self._queue: deque[Arrived] = deque(maxlen=queue)
        self._has_news = asyncio.Event()
        self._is_over = False
        self._last: dict[int, tuple[int, Stamp | None]] = {}  # the number of the last version told, and that version
        self.lacking: list[int] = []
        """The values that are to be fetched, so that their current versions are told."""
        for index in sorted(variable.cells) or [0]:
            self._begin(index)

    def _begin(self, index: int) -> None:
        newest, copy = self._variable.newest(index), valid_copy(self._variable, index)
        self._last[index] = max(newest.number - 1, 0), None
        if copy is None:
            self.lacking.append(index)
        elif newest.number:
            self._queue.append(Arrived(self._variable.name, index, copy.stamp, copy.value))

    def on_event(self, event: Event) -> None:
        """The table of this node has changed."""
        if event.name != self._variable.name:
            return
        if isinstance(event, Arrived):
            self._queue.append(event)
        elif isinstance(event, Vanished):
            self._is_over = True
        self._has_news.set()

    async def told(self) -> AsyncIterator[Change | Lagged]:
        """One after the other, as they come."""
        while True:
            while self._queue:
                for each in self._news(self._queue.popleft()):
                    yield each
            if self._is_over:
                return
            self._has_news.clear()
            await self._has_news.wait()

    def _news(self, arrived: Arrived) -> list[Change | Lagged]:
        declaration = self._variable.declaration
        grid = declaration.grid if declaration is not None else None
        at = grid.box(arrived.index) if grid is not None else None
        change = Change(handed_out(self._variable, arrived.value), arrived.stamp.number, arrived.stamp.node, at)
        number, stamp = self._last.get(arrived.index, (0, None))
        if stamp == arrived.stamp:  # it had been dropped here for want of room, and was fetched again
            return []
        missed = arrived.stamp.number - number - 1
        self._last[arrived.index] = arrived.stamp.number, arrived.stamp
        return [Lagged(missed, at), change] if missed > 0 else [change]
