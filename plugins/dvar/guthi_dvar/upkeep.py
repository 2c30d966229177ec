"""How a copy that is missing gets to where it belongs: whoever should have it fetches it.

That is after a node has failed, left or come, which changes the places of some values; after a store that did not
arrive; and for a value that is watched here. Nobody has to be told to: each node knows its own places.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING

from guthi import GuthiError
from guthi_dvar.coherence import Strategy
from guthi_dvar.fetching import valid_copy
from guthi_dvar.holding import Holding
from guthi_dvar.records import Coherence
from guthi_dvar.table import Event, Renewed

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Upkeep"]

SOON_S = 0.5
AT_ONCE = 8


class Upkeep:
    """Fetches for this node, until it stops, what it should have."""

    def __init__(
        self, node: Node, holding: Holding, strategies: Mapping[Coherence, Strategy], interval_s: float, rng: Random
    ) -> None:
        self._node, self._holding, self._strategies = node, holding, strategies
        self._interval_s, self._rng = interval_s, rng
        self._is_wanted = asyncio.Event()
        self._watched: Counter[str] = Counter()
        self._doubtful: dict[tuple[str, int], None] = {}  # those that have changed, of which a copy may be missing
        self._places_changed = False
        holding.listeners.append(self._on_event)

    async def run(self) -> None:
        """Look after the copies for ever."""
        while True:
            try:
                async with asyncio.timeout(self._interval_s * self._rng.uniform(0.75, 1.25)):
                    await self._is_wanted.wait()
                await asyncio.sleep(SOON_S * self._rng.uniform(0.5, 1))
            except TimeoutError:
                pass
            self._is_wanted.clear()
            await self._look()

    def soon(self) -> None:
        """Places may have changed."""
        self._places_changed = True
        self._is_wanted.set()

    async def _look(self) -> None:
        if self._places_changed:
            self._places_changed = False
            table = self._holding.table
            self._doubtful.update(((each.name, index), None) for each in table.variables() for index in each.cells)
        keys, self._doubtful = list(self._doubtful), {}
        for start in range(0, len(keys), AT_ONCE):
            missing = [key for key in keys[start : start + AT_ONCE] if self._is_missed(*key)]
            await asyncio.gather(*(self.pull(*key) for key in missing))
            self._doubtful.update((key, None) for key in missing if self._is_missed(*key))
            await asyncio.sleep(0)  # there may be many, and ranking the nodes for each takes time

    def _is_missed(self, name: str, index: int) -> bool:
        variable = self._holding.table.get(name)
        if variable is None or valid_copy(variable, index) is not None:
            return False
        if not variable.is_told:  # its owner sees to the copies
            return self._watched[name] > 0
        return self._watched[name] > 0 or (self._holding.room.has_room(1) and self._holding.is_needed((name, index)))

    async def pull(self, name: str, index: int) -> None:
        """Fetch one value; if nobody has it, it is tried again later."""
        try:
            declaration = self._holding.variable(name).declaration
            if declaration is not None:
                await self._strategies[declaration.coherence].read(name, index)
        except GuthiError:
            return

    def watch(self, name: str) -> None:
        """Fetch each version of this variable as soon as it is heard of."""
        self._watched[name] += 1

    def unwatch(self, name: str) -> None:
        """One watcher less."""
        self._watched[name] -= 1
        if not self._watched[name]:
            del self._watched[name]

    def _on_event(self, event: Event) -> None:
        if not isinstance(event, Renewed):
            return
        self._doubtful[event.name, event.index] = None
        if self._watched[event.name]:
            self._node.start(self.pull(event.name, event.index), f"watch {event.name}")
