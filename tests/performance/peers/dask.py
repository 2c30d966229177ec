"""Dask: an actor for calls, tasks for a map. It starts its own processes, from the client's. In the clear."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import distributed
import numpy as np

from performance.peers import service
from performance.picture import WORKERS, band, bands
from performance.shape import IN_FLIGHT, Floats, Ready, payload


class Worker:
    """The actor."""

    def add(self, a: int, b: int) -> int:
        """The small call."""
        return service.add(a, b)

    def bulk(self, size_bytes: int) -> bytes:
        """The large result."""
        return payload(size_bytes)

    def array_sum(self, values: Floats) -> float:
        """The large argument, which comes as an array."""
        return float(values.sum())


def _increment(value: int) -> int:
    return value + 1


class Client:
    """An actor, and the workers beside it."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._actor = client.submit(Worker, actor=True).result()
        self.server_pids = list(client.run(os.getpid).values())

    async def add(self, a: int, b: int) -> int:
        """A method of the actor."""
        return cast(int, self._actor.add(a, b).result())

    async def in_flight(self, calls: int) -> None:
        """Calls in batches of IN_FLIGHT."""
        for start in range(0, calls, IN_FLIGHT):
            batch = [self._actor.add(1, 2) for _ in range(min(IN_FLIGHT, calls - start))]
            assert {each.result() for each in batch} == {3}

    async def bulk(self, size_bytes: int) -> bytes:
        """Straight from the worker."""
        return cast(bytes, self._actor.bulk(size_bytes).result())

    async def array_sum(self, values: Floats) -> float:
        """Straight to the worker."""
        return cast(float, self._actor.array_sum(values).result())

    async def map_add(self, items: int) -> int:
        """Tasks by way of the scheduler."""
        return sum(self._client.gather(self._client.map(_increment, range(items), pure=False)))

    async def uneven(self, seconds: Sequence[float]) -> int:
        """Tasks by way of the scheduler."""
        return len(self._client.gather(self._client.map(service.nap, seconds, pure=False)))

    async def picture(self) -> Any:
        """Tasks."""
        return np.vstack(self._client.gather(self._client.map(band, bands(), pure=False)))


class Dask:
    """A cluster of one machine."""

    async def serve(self, join: Sequence[str], ready: Ready) -> None:
        """Never asked for: the client starts the cluster."""
        await asyncio.Event().wait()

    @asynccontextmanager
    async def client(self, addresses: Sequence[str]) -> AsyncIterator[Client]:
        """Start everything, and end it; the scheduler runs in a thread of the client's process."""
        with (
            distributed.LocalCluster(WORKERS, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield Client(client)


ADAPTERS = {"actor": Dask()}
