"""Connects a map with the network: whom it may ask, how an item becomes a call, and how values are combined."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from guthi import NodeId, UsageError
from guthi_rpc.asking import Asking
from guthi_rpc.batches import Batch, Shape
from guthi_rpc.calling import MAX_LOSSES, RETRY_S, Calling, check_name, deadline_after, time_left
from guthi_rpc.context import current_deadline
from guthi_rpc.directory import Directory
from guthi_rpc.dispatch import Dispatch
from guthi_rpc.errors import NotComputed, WorkerDied
from guthi_rpc.finding import Finder
from guthi_rpc.items import Item
from guthi_rpc.mapping import MapRun, MapSettings
from guthi_rpc.options import DEFAULT, Options, Where
from guthi_rpc.progress import Progress
from guthi_rpc.questions import Answer, Question
from guthi_rpc.results import Outcome

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Mapper", "read_errors"]

MOST_REMEMBERED = 64

log = logging.getLogger("guthi_rpc.mapper")


class Mapper:
    """The maps of one node."""

    def __init__(
        self,
        node: Node,
        directory: Directory,
        dispatch: Dispatch,
        finder: Finder,
        asking: Asking,
        calling: Calling,
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        self._node, self._directory, self._dispatch, self._finder = node, directory, dispatch, finder
        self._asking, self._calling, self._changed = asking, calling, changed
        self.progress: deque[Progress] = deque(maxlen=MOST_REMEMBERED)

    def run(
        self,
        name: str,
        items: Iterable[Any] | AsyncIterable[Any],
        settings: MapSettings,
        *,
        star: bool = False,
        on: Sequence[Where] | Where | None = None,
        timeout_s: float | None = None,
        priority: int = 0,
    ) -> MapRun:
        """A map that begins with its first result; see Rpc.map."""
        check_name(name)
        chosen: set[NodeId] | None = None

        async def find() -> None:
            nonlocal chosen
            chosen = await self._finder.limited_to(name, on)

        def providers() -> dict[NodeId, int]:
            usable = self._dispatch.usable(name)
            return {node: self._directory.workers(node) + 1 for node in usable if chosen is None or node in chosen}

        work = partial(self._compute, name, star, Options(timeout=timeout_s, priority=priority))
        name_of = self._node.network.name_of
        run = MapRun(items, work, providers, self._changed, name_of, settings, function=name, prepare=find)
        self.progress.append(run.progress)
        return run

    async def _compute(
        self, name: str, star: bool, options: Options, node: NodeId, items: Sequence[Item]
    ) -> list[Outcome]:
        if len(items) > 1:
            values = [_starred(item.value) if star else item.value for item in items]
            batch = Batch(name, values, Shape.STAR if star else Shape.ITEM, self._calling.number(), options.priority)
            timeout_s = None if options.timeout is None else options.timeout * len(items)
            try:
                return await self._asking.ask_batch(node, batch, time_left(deadline_after(timeout_s)))
            except NotComputed:
                raise
            except Exception:
                log.debug("a chunk of %r is run again, item by item", name, exc_info=True)
        return [await self._call(name, star, options, node, item) for item in items]

    async def _call(self, name: str, star: bool, options: Options, node: NodeId, item: Item) -> Outcome:
        question = self._calling.question(name, (), {}, options)
        try:
            question.arguments = tuple(_starred(item.value)) if star else (item.value,)
            if item.number is None:
                item.number = question.number
            else:  # another node had it, or has it still
                question.number, question.attempt = item.number, item.losses
                await self._calling.resume(question)
            answer = await self._answer(node, question, deadline_after(options.timeout))
        except NotComputed:
            raise  # whoever gets it next goes on from its checkpoints
        except Exception as error:  # noqa: BLE001 - the item's own, and the map decides what becomes of it
            self._calling.done(question)
            return Outcome(None, 0.0, error)
        except BaseException:
            self._calling.done(question)
            raise
        self._calling.done(question)
        return Outcome(*answer)

    async def _answer(self, node: NodeId, question: Question, deadline: float | None) -> Answer:
        """The node's answer; where a process dies under the item, another one goes on from its last checkpoint."""
        for _ in range(MAX_LOSSES - 1):
            try:
                return await self._asking.ask(node, question, time_left(deadline))
            except WorkerDied:
                await self._calling.resume(question)
        return await self._asking.ask(node, question, time_left(deadline))

    async def fold(self, name: str, values: Sequence[Any]) -> Any:
        """The values combined, two by two, by one call after the other on whichever node is free."""
        losses = 0
        while True:
            node = await self._calling.provider(self._calling.question(name, (), {}, DEFAULT), DEFAULT)
            try:
                batch = Batch(name, values, Shape.FOLD, self._calling.number())
                (outcome,) = await self._asking.ask_batch(node, batch, time_left(current_deadline()))
            except NotComputed as failure:
                losses += 1
                if losses == MAX_LOSSES:
                    raise failure.reason from None
                await asyncio.sleep(RETRY_S)
                continue
            if outcome.error is not None:
                raise outcome.error
            return outcome.value


def _starred(item: Any) -> list[Any]:
    if isinstance(item, tuple | list):
        return list(item)
    raise UsageError(f"with star=True an item is a tuple or a list of arguments, not {type(item).__name__}")


def read_errors(word: str) -> bool:
    """Whether errors of the function are results; raises UsageError."""
    if word not in ("raise", "return"):
        raise UsageError(f'errors={word!r}: "raise" ends the map with the first one, "return" gives them as results')
    return word == "return"
