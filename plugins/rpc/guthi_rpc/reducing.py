"""Combines many values into one in a tree: whenever there are enough, some are combined, wherever there is room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from guthi.errors import UsageError

__all__ = ["reduce_in_tree"]

FOLD_ITEMS = 16  # values that are combined at a time


async def reduce_in_tree(values: AsyncIterator[Any], fold: Callable[[list[Any]], Awaitable[Any]]) -> Any:
    """The one value; `fold` combines several, which have no order. Raises what `values` and `fold` raise, and
    UsageError where there is none."""
    waiting: list[Any] = []
    folding: set[asyncio.Future[Any]] = set()

    def begin() -> None:
        some, waiting[:] = waiting[:FOLD_ITEMS], waiting[FOLD_ITEMS:]
        folding.add(asyncio.ensure_future(fold(some)))

    def collect() -> None:
        for future in [future for future in folding if future.done()]:
            folding.remove(future)
            waiting.append(future.result())

    try:
        async for value in values:
            waiting.append(value)
            collect()
            if len(waiting) >= FOLD_ITEMS:
                begin()
        while folding or len(waiting) > 1:
            if len(waiting) > 1 and (not folding or len(waiting) >= FOLD_ITEMS):
                begin()
            await asyncio.wait(folding, return_when=asyncio.FIRST_COMPLETED)
            collect()
    finally:
        for future in folding:
            future.cancel()
        await asyncio.gather(*folding, return_exceptions=True)
    if not waiting:
        raise UsageError("there is nothing to combine: the input had no items")
    return waiting[0]
