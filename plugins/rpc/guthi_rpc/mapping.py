"""Decides which node works on which items of a `map`.

Items wait in one queue, and are given out in chunks (see `chunks`). Each provider has one chunk more than it has
workers, or a few (see `ahead`), so that its next is there when it is done with the last; who is quick comes back sooner
and gets more. When a provider is lost, its items go back to the front of the queue, one by one, and the next node that
has room takes them. A provider that appears while the map runs is given items at once. Results keep their places until
they are taken, so a slow consumer slows the map down.

When nothing is left to be given out, an `idempotent` function is run on idle nodes for the items that are longest under
way, and whichever copy ends first counts (backup tasks: Dean and Ghemawat 2004, section 3.6).

An item that is given to MAX_LOSSES nodes and loses them all ends the map: most likely it is the item that kills them.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Sequence,
)
from dataclasses import dataclass
from typing import Any, TypeAlias

from guthi.api import NodeId
from guthi.errors import UsageError
from guthi_rpc.ahead import Ahead
from guthi_rpc.chunks import ChunkSize, length_of
from guthi_rpc.errors import NoProvider, NotComputed, Overloaded
from guthi_rpc.items import Item, Items
from guthi_rpc.progress import Progress
from guthi_rpc.results import MapResult, Outcome, Results
from guthi_rpc.stragglers import Stragglers

__all__ = ["MapRun", "MapSettings"]

PATIENCE_S = 10.0  # how long a map waits for a provider when it has lost all
RETRY_S = 1.0  # how soon it turns again to a node that it lost: it may have been restarted before anybody missed it
MAX_LOSSES = 4  # as Spark's spark.task.maxFailures
MAX_AHEAD = 65_536  # items that an ordered map may have begun beyond the one that it waits for

Call: TypeAlias = Callable[[NodeId, Sequence[Item]], Coroutine[Any, Any, Sequence[Outcome]]]


@dataclass(frozen=True, slots=True)
class MapSettings:
    """How a map is to be run.

    `ordered`: results come in the order of the items, not as they are ready. `idempotent`: the function may run twice
    for one item, at a time. `returns_errors`: an exception of the function is a result, and does not end the map.
    `chunk` is the number of items given out at once; None: adapted to how long they take. Times are in seconds.
    """

    ordered: bool = False
    idempotent: bool = False
    returns_errors: bool = False
    chunk: int | None = None
    patience_s: float = PATIENCE_S
    retry_s: float = RETRY_S

    def __post_init__(self) -> None:
        if self.chunk is not None and not (isinstance(self.chunk, int) and self.chunk > 0):
            raise UsageError(f"chunk={self.chunk!r}: a chunk has 1 item or more; leave it out, and its size adapts")
        if not self.patience_s >= 0:
            raise UsageError(f"patience is 0 or more seconds, not {self.patience_s!r}")


@dataclass(slots=True, eq=False)
class _Chunk:
    """Items that a node has been given together."""

    items: Sequence[Item]
    node: NodeId
    given_at: float


class MapRun(AsyncIterator[MapResult]):
    """One run of a map over the nodes of a network: an asynchronous iterator of results, which shows its progress.

    `providers` gives the nodes that may be asked now and how many chunks each may have at a time, `call` asks one,
    `changed` waits until the providers may have changed.
    """

    def __init__(
        self,
        items: Iterable[Any] | AsyncIterable[Any],
        call: Call,
        providers: Callable[[], dict[NodeId, int]],
        changed: Callable[[], Awaitable[None]],
        name_of: Callable[[NodeId], str],
        settings: MapSettings,
        *,
        function: str = "",
        prepare: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._items = Items(items, self._wake.set)
        self._call, self._providers, self._changed, self._name_of = call, providers, changed, name_of
        self._settings, self._prepare = settings, prepare
        self.progress = Progress(function, length_of(items), self._loop.time())
        self._again: deque[Item] = deque()
        self._places: dict[NodeId, int] = {}
        self._sizes: defaultdict[NodeId, ChunkSize] = defaultdict(ChunkSize)
        self._ahead: defaultdict[NodeId, Ahead] = defaultdict(Ahead)
        self._lost: dict[NodeId, asyncio.TimerHandle] = {}  # until these, or until the others have missed them
        self._taken: Counter[NodeId] = Counter()
        self._under_way: dict[asyncio.Task[Sequence[Outcome]], _Chunk] = {}
        self._ended: deque[asyncio.Task[Sequence[Outcome]]] = deque()
        self._results = Results(settings.ordered)
        self._stragglers = Stragglers()
        self._watch: asyncio.Future[None] | None = None
        self._look: asyncio.TimerHandle | None = None  # when stragglers are looked for again
        self._over = False

    # ---- the iterator

    async def __aiter__(self) -> AsyncGenerator[MapResult, None]:
        """A loop that is left early ends the map, as soon as the interpreter lets go of it."""
        try:
            while True:
                try:
                    result = await self.__anext__()
                except StopAsyncIteration:
                    return
                yield result
        finally:
            await self.aclose()

    async def __anext__(self) -> MapResult:
        """The next result; an exception of the function ends the map."""
        if self._over:
            raise StopAsyncIteration
        try:
            if self._watch is None:
                await self._begin()
            while not self._results.ready:
                if not await self._go_on():
                    await self.aclose()
                    raise StopAsyncIteration
            result = self._results.ready.popleft()
            if result.error is not None and not self._settings.returns_errors:
                raise result.error
        except StopAsyncIteration:
            raise
        except BaseException:
            await self.aclose()
            raise
        return result

    async def _begin(self) -> None:
        self._watch = asyncio.ensure_future(self._watch_providers())
        if self._prepare is not None:
            await self._prepare()
        self._look_round()

    async def _go_on(self) -> bool:
        """Give out what can be, and wait for something to happen; False when all is done."""
        self._hand_out()
        if self._ended:
            self._harvest()
            self._hand_out()  # the place is filled before the consumer takes its time
        elif self._under_way or (self._freest() is not None and not self._items.exhausted):
            await self._woken()
        elif self._again or not self._items.exhausted:
            await self._wait_for_provider()
        else:
            return False
        return True

    # ---- giving

    def _hand_out(self) -> None:
        while (node := self._freest()) is not None:
            items = self._next_items(node)
            if not items:
                if self._settings.idempotent and self._items.exhausted:
                    self._copy_stragglers()
                return
            self._give(node, items)

    def _next_items(self, node: NodeId) -> list[Item]:
        """What the node gets now; items that have lost a node before go alone."""
        if self._again:
            return [self._again.popleft()]
        if self._settings.ordered and self._results.ahead >= MAX_AHEAD:
            return []
        size = self._settings.chunk
        if size is None:
            size = self._sizes[node].within(self._remaining, sum(self._places.values()))
        items: list[Item] = []
        while len(items) < size and (item := self._items.take()) is not None:
            items.append(item)
        self.progress.given += len(items)
        return items

    def _give(self, node: NodeId, items: Sequence[Item]) -> None:
        task = asyncio.ensure_future(self._call(node, items))
        task.add_done_callback(self._on_end)
        self._under_way[task] = _Chunk(items, node, self._loop.time())
        self._taken[node] += 1
        self.progress.node(self._name_of(node)).in_hand += len(items)

    def _freest(self) -> NodeId | None:
        """The provider whose workers have the least to do, if any has room."""
        taken, remaining, nodes = self._taken, self._remaining, len(self._places)
        room = {
            node: taken[node] / places
            for node, places in self._places.items()
            if taken[node] < self._ahead[node].within(places, remaining, nodes)
        }
        return min(room, key=room.__getitem__, default=None)

    @property
    def _remaining(self) -> int | None:
        """How many items have not been given out; None if nobody can tell."""
        return None if self.progress.total is None else self.progress.total - self.progress.given

    def _copy_stragglers(self) -> None:
        """Give what is longest under way to nodes that have nothing to do."""
        idle = [node for node in self._places if not self._taken[node]]
        chunks = [(chunk.given_at, chunk.items, chunk.node) for chunk in self._under_way.values()]
        for node, items in self._stragglers.copies(chunks, idle, self._loop.time()):
            self.progress.copies += len(items)
            self._results.copied(items)
            self._give(node, items)
        if self._look is not None:
            self._look.cancel()
        look_at = self._stragglers.next_look(self._loop.time()) if idle and self._under_way else None
        self._look = None if look_at is None else self._loop.call_at(look_at, self._wake.set)

    # ---- taking

    def _on_end(self, task: asyncio.Task[Sequence[Outcome]]) -> None:
        self._ended.append(task)
        self._wake.set()

    def _harvest(self) -> None:
        """Take what the chunk that ended first has brought; where nothing, its items have to be computed again."""
        task = self._ended.popleft()
        chunk = self._under_way.pop(task, None)
        if chunk is None:
            return  # another copy was quicker
        name = self._name_of(chunk.node)
        self._taken[chunk.node] -= 1
        self.progress.node(name).in_hand -= len(chunk.items)
        try:
            outcomes = task.result()
        except NotComputed as failure:
            self._lose(chunk, failure)
            return
        elapsed_s = self._loop.time() - chunk.given_at
        self._stragglers.took(elapsed_s, len(chunk.items))
        if self._settings.chunk is None:
            self._sizes[chunk.node].took(len(chunk.items), elapsed_s)
        else:
            self._ahead[chunk.node].took(sum(outcome.seconds for outcome in outcomes))
        for item, outcome in zip(chunk.items, outcomes, strict=True):
            if self._results.add(item, outcome, name):
                self._count(name, outcome)
        self._drop_copies()

    def _count(self, name: str, outcome: Outcome) -> None:
        progress, part = self.progress, self.progress.node(name)
        progress.done += 1
        progress.failed += outcome.error is not None
        part.done += 1
        part.seconds += outcome.seconds

    def _drop_copies(self) -> None:
        """Cancel what nobody needs any more."""
        if not self.progress.copies:
            return
        for task, chunk in list(self._under_way.items()):
            if all(self._results.has(item) for item in chunk.items):
                task.cancel()
                del self._under_way[task]
                self._taken[chunk.node] -= 1
                self.progress.node(self._name_of(chunk.node)).in_hand -= len(chunk.items)

    def _lose(self, chunk: _Chunk, failure: NotComputed) -> None:
        """The items are given out again; where the node has refused them, it is there, but has no room for so many."""
        node, missing = chunk.node, [item for item in chunk.items if not self._results.has(item)]
        if failure.was_begun:
            self._blame(node, missing, failure)
        elsewhere = {id(item) for other in self._under_way.values() for item in other.items}
        self._again.extend(item for item in missing if id(item) not in elsewhere)
        if isinstance(failure.reason, Overloaded) and self._taken[node]:
            self._ahead[node].refused(self._taken[node])
        elif node not in self._lost:
            self._lost[node] = self._loop.call_later(self._settings.retry_s, self._forgive, node)
        self._look_round()

    def _blame(self, node: NodeId, missing: Sequence[Item], failure: NotComputed) -> None:
        """The node was lost with these items."""
        name = self._name_of(node)
        for item in missing:
            item.losses += 1
            item.lost_on += (name,)
            if item.losses == MAX_LOSSES:
                failure.reason.add_note(f"item {item.index} was given to {MAX_LOSSES} nodes, and none computed it")
                raise failure.reason
        self.progress.again += len(missing)
        self.progress.node(name).losses += 1

    def _forgive(self, node: NodeId) -> None:
        if self._lost.pop(node, None) is not None:
            self._look_round()
            self._wake.set()

    # ---- watching

    async def _watch_providers(self) -> None:
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
        for node in self._places:
            self.progress.node(self._name_of(node))  # members forget those that are gone

    async def _woken(self) -> None:
        await self._wake.wait()
        self._wake.clear()

    async def _wait_for_provider(self) -> None:
        try:
            async with asyncio.timeout(self._settings.patience_s):
                while self._freest() is None:
                    await self._woken()
        except TimeoutError:
            waiting = f"{len(self._again)} items were given out in vain" if self._again else "the input has more items"
            gone = ", ".join(sorted(self.progress.nodes)) or "none was ever there"
            raise NoProvider(
                f"every node that has the function is gone ({gone}), and none came within"
                f" {self._settings.patience_s:g} s; {waiting}"
            ) from None

    # ---- ending

    async def aclose(self) -> None:
        """End the map: cancel what is under way, and do not return before it has ended."""
        if self._over or self._loop.is_closed():  # the latter where a program has ended in mid-map
            return
        self._over = True
        self.progress.ended_at = self._loop.time()
        for timer in (*self._lost.values(), self._look):
            if timer is not None:
                timer.cancel()
        pending: list[asyncio.Future[Any]] = [*self._under_way]
        if self._watch is not None:
            pending.append(self._watch)
        self._under_way.clear()
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        await self._items.close()
