"""Numbers the items of a map, and gives the next one when it is there, without ever waiting for it.

So an input that is slow, or that depends on the results before it, holds nothing up. An asynchronous input is read
ahead, by as many items as were taken of it so far and at most AHEAD: so chunks can be filled, and an input of which
little is taken is not drained.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Item", "Items"]

AHEAD = 4096


@dataclass(slots=True, eq=False)
class Item:
    """One item, its place in the input, and which nodes were lost with it."""

    index: int
    value: Any
    losses: int = 0
    lost_on: tuple[str, ...] = ()
    number: int | None = None  # of the call, once it has been given out


class Items:
    """The input of a map; `on_arrival` is called when `take` may give an item that it could not give before."""

    def __init__(self, items: Iterable[Any] | AsyncIterable[Any], on_arrival: Callable[[], None]) -> None:
        self.exhausted = False
        self._count = 0
        self._reading = _Reading(aiter(items), on_arrival) if isinstance(items, AsyncIterable) else None
        self._source: Iterator[Any] = iter(items) if self._reading is None else self._reading  # type: ignore[arg-type]

    def take(self) -> Item | None:
        """The next item; None if there is none yet, or none any more. Raises what the input raises."""
        if self.exhausted or (self._reading is not None and not self._reading.has_arrived(self._count)):
            return None
        try:
            value = next(self._source)
        except (StopIteration, StopAsyncIteration):
            self.exhausted = True
            return None
        self._count += 1
        return Item(self._count - 1, value)

    async def close(self) -> None:
        """Take nothing more; an asynchronous generator is closed."""
        self.exhausted = True
        if self._reading is not None:
            await self._reading.close()


class _Reading(Iterator[Any]):
    """Reads an asynchronous input ahead; as an iterator it gives what has arrived, and raises what the input raised."""

    def __init__(self, source: AsyncIterator[Any], on_arrival: Callable[[], None]) -> None:
        self._source, self._on_arrival = source, on_arrival
        self._arrived: deque[Any] = deque()
        self._task: asyncio.Task[None] | None = None
        self._end: BaseException | None = None
        self._limit = 1

    def has_arrived(self, taken: int) -> bool:
        """Whether `take` has something to give or to raise; so many were taken before."""
        self._limit = min(max(taken, 1), AHEAD)
        if self._task is None and self._end is None and len(self._arrived) < self._limit:
            self._task = asyncio.ensure_future(self._read())
        return bool(self._arrived) or self._end is not None

    def __next__(self) -> Any:
        if self._arrived:
            return self._arrived.popleft()
        assert self._end is not None
        raise self._end

    async def _read(self) -> None:
        try:
            while len(self._arrived) < self._limit:
                self._arrived.append(await anext(self._source))
                self._on_arrival()
        except asyncio.CancelledError:
            raise
        except BaseException as end:  # noqa: BLE001 - whoever takes the items is to see it
            self._end = end
            self._on_arrival()
        finally:
            self._task = None

    async def close(self) -> None:
        """Read nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await close()
