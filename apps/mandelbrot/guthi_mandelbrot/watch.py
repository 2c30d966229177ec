"""What the demo does when one of its nodes dies: it says so at once, and waits for nothing that only the dead could do.

The network needs seconds to miss a node, because silence may be anything. The demo is the parent of the processes, so
the system tells it in the same moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from guthi.launcher import NodeProcess

__all__ = ["deaths_told", "unless_all_end"]

T = TypeVar("T")


@asynccontextmanager
async def deaths_told(nodes: Iterable[NodeProcess], tell: Callable[[str], None]) -> AsyncIterator[None]:
    """Within the block, `tell` is given one line for each node that ends."""

    async def watch(node: NodeProcess) -> None:
        await node.wait()
        tell(f"guthi: node {node.name} {node.fate}; the others go on")

    watches = [asyncio.ensure_future(watch(node)) for node in nodes]
    try:
        yield
    finally:
        await _cancelled(watches)


async def unless_all_end(nodes: Iterable[NodeProcess], work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` gives; None, and the work is cancelled, when all of these nodes have ended before."""

    async def all_end() -> None:
        for node in nodes:
            await node.wait()

    working, ending = asyncio.ensure_future(work), asyncio.ensure_future(all_end())
    try:
        await asyncio.wait((working, ending), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        await _cancelled((working, ending))


async def _cancelled(tasks: Iterable[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
