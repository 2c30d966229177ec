"""Python's own ways to compute the picture: in one process, and with multiprocessing.Pool."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any

import numpy as np

from performance.peers.service import nap
from performance.picture import WORKERS, band, bands
from performance.shape import Ready


def _increment(value: int) -> int:
    return value + 1


class Client:
    """Bands by way of some `map`."""

    def __init__(self, run: Callable[..., Any]) -> None:
        self._map = run

    async def map_add(self, items: int) -> int:
        """One by one, as the bands."""
        return sum(self._map(_increment, range(items)))

    async def uneven(self, seconds: Sequence[float]) -> int:
        """One by one."""
        return len(list(self._map(nap, seconds)))

    async def picture(self) -> Any:
        """Bands one by one, so that the workers even out."""
        return np.vstack(list(self._map(band, bands())))


@contextmanager
def _alone() -> Iterator[Callable[..., Any]]:
    yield map


@contextmanager
def _pool() -> Iterator[Callable[..., Any]]:
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        yield pool.imap


class Local:
    """No server: the client's process does it, or its children."""

    def __init__(self, start: Callable[[], AbstractContextManager[Callable[..., Any]]]) -> None:
        self._start = start

    async def serve(self, join: Sequence[str], ready: Ready) -> None:
        """Never asked for."""
        await asyncio.Event().wait()

    @asynccontextmanager
    async def client(self, addresses: Sequence[str]) -> AsyncIterator[Client]:
        """The pool is started before, as Guthi's nodes are."""
        with self._start() as run:
            yield Client(run)


ADAPTERS = {"alone": Local(_alone), "pool": Local(_pool)}
