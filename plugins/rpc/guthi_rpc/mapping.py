"""Decides which node works on which item of a `map`.

Items wait in one queue. Each provider has at most one item more than it has workers, so that its next item is there
when it is done with the last; who is quick comes back sooner and gets more. When a provider is lost, its items go back
to the front of the queue, and the next node that has room takes them. A provider that appears while the map runs is
given items at once. A result keeps its place until it is taken, so a slow consumer slows the map down.

An item that is given to MAX_LOSSES nodes and loses them all ends the map: most likely it is the item that kills them.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from guthi.api import NodeId
from guthi_rpc.errors import NoProvider, NotComputed
from guthi_rpc.items import Item, Items
from guthi_rpc.questions import Answer

__all__ = ["MapResult", "MapRun"]

PATIENCE_S = 10.0  # how long a map waits for a provider when it has lost all
RETRY_S = 1.0  # how soon it turns again to a node that it lost: it may have been restarted before anybody missed it
MAX_LOSSES = 4  # as Spark's spark.task.maxFailures


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


Call: TypeAlias = Callable[[NodeId, Any], Coroutine[Any, Any, Answer]]


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
        patience_s: float = PATIENCE_S,
        retry_s: float = RETRY_S,
    ) -> None:
        self._wake = asyncio.Event()
        self._items = Items(items, self._wake.set)
        self._call, self._providers, self._changed, self._name_of = call, providers, changed, name_of
        self._patience_s, self._retry_s = patience_s, retry_s
        self._again: deque[Item] = deque()
        self._places: dict[NodeId, int] = {}
        self._names: dict[NodeId, str] = {}  # of all that were ever there: members forget those that are gone
        self._lost: dict[NodeId, asyncio.TimerHandle] = {}  # until these, or until the others have missed them
        self._taken: Counter[NodeId] = Counter()
        self._under_way: dict[asyncio.Task[Answer], tuple[Item, NodeId]] = {}
        self._ended: deque[asyncio.Task[Answer]] = deque()

    async def results(self) -> AsyncGenerator[MapResult, None]:
        """Results as they come; an exception of the function ends the map."""
        watch = asyncio.ensure_future(self._watch())
        self._look_round()
        try:
            while True:
                self._hand_out()
                if self._ended:
                    result = self._harvest()
                    self._hand_out()  # the place is filled before the consumer takes its time
                    if result is not None:
                        yield result
                elif self._under_way or (self._freest() is not None and not self._items.exhausted):
                    await self._woken()
                elif self._again or not self._items.exhausted:
                    await self._wait_for_provider()
                else:
                    return
        finally:
            await self._stop(watch)

    # ---- giving

    def _hand_out(self) -> None:
        while (node := self._freest()) is not None:
            item = self._again.popleft() if self._again else self._items.take()
            if item is None:
                return
            task = asyncio.ensure_future(self._call(node, item.value))
            task.add_done_callback(self._on_end)
            self._under_way[task] = item, node
            self._taken[node] += 1

    def _freest(self) -> NodeId | None:
        """The provider whose workers have the least to do, if any has room."""
        taken = self._taken
        room = {node: taken[node] / places for node, places in self._places.items() if taken[node] < places}
        return min(room, key=room.__getitem__, default=None)

    # ---- taking

    def _on_end(self, task: asyncio.Task[Answer]) -> None:
        self._ended.append(task)
        self._wake.set()

    def _harvest(self) -> MapResult | None:
        """The result of the call that ended first; None if its item has to be computed again."""
        task = self._ended.popleft()
        item, node = self._under_way.pop(task)
        self._taken[node] -= 1
        try:
            value, seconds = task.result()
        except NotComputed as failure:
            self._lose(node, item, failure.reason)
            return None
        return MapResult(item.index, item.value, value, self._name_of(node), seconds)

    def _lose(self, node: NodeId, item: Item, reason: Exception) -> None:
        item.losses += 1
        if item.losses == MAX_LOSSES:
            reason.add_note(f"item {item.index} was given to {MAX_LOSSES} nodes, and none of them computed it")
            raise reason
        self._again.append(item)
        if node not in self._lost:
            self._lost[node] = asyncio.get_running_loop().call_later(self._retry_s, self._forgive, node)
        self._look_round()

    def _forgive(self, node: NodeId) -> None:
        if self._lost.pop(node, None) is not None:
            self._look_round()
            self._wake.set()

    # ---- watching

    async def _watch(self) -> None:
        while True:
            await self._changed()
            self._look_round()
            self._wake.set()

    def _look_round(self) -> None:
        """See who is there; a node that was lost and then missed is as good as new when it comes back."""
        providers = self._providers()
        for node in self._lost.keys() - providers.keys():
            self._lost.pop(node).cancel()
        self._places = {node: providers[node] for node in sorted(providers) if node not in self._lost}
        self._names.update((node, self._name_of(node)) for node in self._places)

    async def _woken(self) -> None:
        await self._wake.wait()
        self._wake.clear()

    async def _wait_for_provider(self) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                while self._freest() is None:
                    await self._woken()
        except TimeoutError:
            waiting = f"{len(self._again)} items were given out in vain" if self._again else "the input has more items"
            gone = ", ".join(sorted(self._names.values())) or "none was ever there"
            raise NoProvider(
                f"every node that has the function is gone ({gone}), and none came within {self._patience_s:g} s;"
                f" {waiting}"
            ) from None

    # ---- ending

    async def _stop(self, watch: asyncio.Future[None]) -> None:
        """Cancel what is under way, and do not end before it has."""
        for timer in self._lost.values():
            timer.cancel()
        pending: list[asyncio.Future[Any]] = [watch, *self._under_way]
        self._under_way.clear()
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        await self._items.close()
