"""Connects a map with the network: whom it may ask, how an item becomes a call, and how values are combined."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from guthi import NodeId, UsageError
from guthi_rpc.asking import Asking
from guthi_rpc.batches import Batch, Shape
from guthi_rpc.calling import MAX_LOSSES, RETRY_S, Calling, deadline_after, time_left
from guthi_rpc.context import current_deadline
from guthi_rpc.directory import Directory
from guthi_rpc.dispatch import Dispatch
from guthi_rpc.errors import NotComputed
from guthi_rpc.finding import Finder
from guthi_rpc.items import Item
from guthi_rpc.mapping import MapRun, MapSettings
from guthi_rpc.options import DEFAULT, Options, Where
from guthi_rpc.results import Outcome

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Mapper", "read_errors"]

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
        chosen: set[NodeId] | None = None

        async def find() -> None:
            nonlocal chosen
            chosen = await self._finder.limited_to(name, on)

        def providers() -> dict[NodeId, int]:
            usable = self._dispatch.usable(name)
            return {node: self._directory.workers(node) + 1 for node in usable if chosen is None or node in chosen}

        work = partial(self._compute, name, star, Options(timeout=timeout_s, priority=priority))
        name_of = self._node.network.name_of
        return MapRun(items, work, providers, self._changed, name_of, settings, function=name, prepare=find)

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
        try:
            arguments = tuple(_starred(item.value)) if star else (item.value,)
            question = self._calling.question(name, arguments, {}, options)
            self._calling.resume(question, item.number)
            item.number = question.number
            answer = await self._asking.ask(node, question, time_left(deadline_after(options.timeout)))
            self._calling.done(question.number)
            return Outcome(*answer)
        except NotComputed:
            raise
        except Exception as error:  # noqa: BLE001 - the item's own, and the map decides what becomes of it
            return Outcome(None, 0.0, error)

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
