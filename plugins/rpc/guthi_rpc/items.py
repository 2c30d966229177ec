"""Numbers the items of a map, and gives the next one when it is there, without ever waiting for it.

So an input that is slow, or that depends on the results before it, holds nothing up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Item", "Items"]


@dataclass(slots=True, eq=False)
class Item:
    """One item, its place in the input, and how many nodes were lost with it."""

    index: int
    value: Any
    losses: int = 0
    number: int | None = None  # of the call, once it has been given out


class Items:
    """The input of a map; `on_arrival` is called when `take` may give an item that it could not give before."""

    def __init__(self, items: Iterable[Any] | AsyncIterable[Any], on_arrival: Callable[[], None]) -> None:
        self.exhausted = False
        self._count = 0
        self._on_arrival = on_arrival
        self._ready: Iterator[Any] | None = None
        self._awaited: AsyncIterator[Any] | None = None
        self._pull: asyncio.Task[Any] | None = None
        if isinstance(items, AsyncIterable):
            self._awaited = aiter(items)
        else:
            self._ready = iter(items)

    def take(self) -> Item | None:
        """The next item; None if there is none yet, or none any more. Raises what the input raises."""
        if self.exhausted or not self._has_arrived():
            return None
        try:
            value = self._pulled() if self._ready is None else next(self._ready)
        except (StopIteration, StopAsyncIteration):
            self.exhausted = True
            return None
        self._count += 1
        return Item(self._count - 1, value)

    def _has_arrived(self) -> bool:
        if self._ready is not None:
            return True
        if self._pull is None:
            self._pull = asyncio.ensure_future(self._next())
            self._pull.add_done_callback(lambda _: self._on_arrival())
        return self._pull.done()

    def _pulled(self) -> Any:
        assert self._pull is not None
        pull, self._pull = self._pull, None
        return pull.result()

    async def _next(self) -> Any:
        assert self._awaited is not None
        return await anext(self._awaited)

    async def close(self) -> None:
        """Take nothing more; an asynchronous generator is closed."""
        self.exhausted = True
        if self._pull is not None:
            self._pull.cancel()
            await asyncio.wait([self._pull])
        close = getattr(self._awaited, "aclose", None)
        if close is not None:
            await close()
