"""Decides which node works on which item of a `map`.

Items wait in one queue. Each provider has at most one item more than it has workers, so that its next item is there
when it is done with the last; who is quick comes back sooner and gets more. When a provider is lost, its items go back
to the front of the queue, and the next node that has room takes them. A provider that appears while the map runs is
given items at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from guthi.api import NodeId
from guthi.errors import PeerLost
from guthi_rpc.errors import NoProvider, UnknownFunction

__all__ = ["MapResult", "MapRun"]

PATIENCE_S = 10.0  # how long a map waits for a provider when it has lost all


@dataclass(frozen=True, slots=True)
class MapResult:
    """One result of a map; unpacks into `item, value`.

    `index` is the item's place in the input, `node` the name of the node that computed it, `seconds` how long it took
    there.
    """

    index: int
    item: Any
    value: Any
    node: str
    seconds: float

    def __iter__(self) -> Iterator[Any]:
        yield self.item
        yield self.value


Answer: TypeAlias = tuple[Any, float]
Call: TypeAlias = Callable[[NodeId, Any], Awaitable[Answer]]


class MapRun:
    """One run of a map over the nodes of a network.

    `providers` gives the nodes that may be asked now and how many items each may have at a time, `call` asks one,
    `changed` waits until the providers may have changed.
    """

    def __init__(
        self,
        items: Iterable[Any] | AsyncIterable[Any],
        call: Call,
        providers: Callable[[], dict[NodeId, int]],
        changed: Callable[[], Awaitable[None]],
        name_of: Callable[[NodeId], str],
        start: Callable[[Awaitable[Answer]], asyncio.Task[Answer]],
    ) -> None:
        self._items = _numbered(items)
        self._call, self._providers, self._changed, self._name_of = call, providers, changed, name_of
        self._start = start
        self._again: deque[tuple[int, Any]] = deque()
        self._exhausted = False
        self._under_way: dict[asyncio.Task[Answer], tuple[int, Any, NodeId]] = {}
        self._shunned: set[NodeId] = set()  # lost in this run; the directory may not have noticed yet

    async def results(self) -> AsyncIterator[MapResult]:
        """Results as they come; an exception of the function ends the map."""
        try:
            while True:
                await self._hand_out()
                if not self._under_way:
                    if self._exhausted and not self._again:
                        return
                    await self._wait_for_provider()
                    continue
                for result in await self._collect():
                    yield result
        finally:
            await self._cancel()

    async def _hand_out(self) -> None:
        load: dict[NodeId, int] = {}
        for _, _, node in self._under_way.values():
            load[node] = load.get(node, 0) + 1
        while free := self._freest(load):
            item = await self._next_item()
            if item is None:
                return
            index, value = item
            self._under_way[self._start(self._call(free, value))] = (index, value, free)
            load[free] = load.get(free, 0) + 1

    def _freest(self, load: dict[NodeId, int]) -> NodeId | None:
        """The provider whose workers have the least to do, if any has room."""
        room = {
            node: load.get(node, 0) / limit
            for node, limit in self._providers().items()
            if node not in self._shunned and load.get(node, 0) < limit
        }
        return min(sorted(room), key=room.__getitem__, default=None)

    async def _next_item(self) -> tuple[int, Any] | None:
        if self._again:
            return self._again.popleft()
        if self._exhausted:
            return None
        try:
            return await anext(self._items)
        except StopAsyncIteration:
            self._exhausted = True
            return None

    async def _collect(self) -> list[MapResult]:
        """Wait until a call ends, or until there may be somebody new to give work to."""
        change = asyncio.ensure_future(self._changed())
        try:
            done, _ = await asyncio.wait([*self._under_way, change], return_when=asyncio.FIRST_COMPLETED)
        finally:
            change.cancel()
        results = []
        for task in [task for task in self._under_way if task in done]:
            index, item, node = self._under_way.pop(task)
            try:
                value, seconds = task.result()
            except (PeerLost, UnknownFunction):
                self._shunned.add(node)
                self._again.append((index, item))
            else:
                results.append(MapResult(index, item, value, self._name_of(node), seconds))
        return results

    async def _wait_for_provider(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not self._freest({}):
                    await self._changed()
                    self._shunned.intersection_update(self._providers())
        except TimeoutError:
            waiting = len(self._again)
            raise NoProvider(
                f"every node that has the function is gone, and none came within {PATIENCE_S:g} s; "
                f"{waiting} items were not computed"
            ) from None

    async def _cancel(self) -> None:
        tasks = list(self._under_way)
        self._under_way.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _numbered(items: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[tuple[int, Any]]:
    index = 0
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield index, item
            index += 1
    else:
        for item in items:
            yield index, item
            index += 1
