"""Ray: an actor for calls, two of them for a map. It starts its own processes, from the client's. In the clear."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import numpy as np
import ray

from performance.peers import service
from performance.picture import WORKERS, band, bands
from performance.shape import IN_FLIGHT, Floats, Ready, payload


class Worker:
    """What runs in the actor's process."""

    def pid(self) -> int:
        """Whose processor time counts."""
        return os.getpid()

    def add(self, a: int, b: int) -> int:
        """The small call."""
        return service.add(a, b)

    def bulk(self, size_bytes: int) -> bytes:
        """The large result."""
        return payload(size_bytes)

    def array_sum(self, values: Floats) -> float:
        """The large argument, which comes as an array."""
        return float(values.sum())


class Client:
    """Actors of a Ray on this machine."""

    def __init__(self) -> None:
        actor = cast(Any, ray.remote(num_cpus=0)(Worker))
        self._actors = [actor.remote() for _ in range(WORKERS)]
        self._actor = self._actors[0]
        self._band, self._nap = ray.remote(band), ray.remote(service.nap)
        self.server_pids = ray.get([each.pid.remote() for each in self._actors])

    async def add(self, a: int, b: int) -> int:
        """A method of the actor."""
        return cast(int, ray.get(self._actor.add.remote(a, b)))

    async def in_flight(self, calls: int) -> None:
        """Calls in batches of IN_FLIGHT, which is quicker than to wait for single ones."""
        for start in range(0, calls, IN_FLIGHT):
            batch = [self._actor.add.remote(1, 2) for _ in range(min(IN_FLIGHT, calls - start))]
            assert set(ray.get(batch)) == {3}

    async def bulk(self, size_bytes: int) -> bytes:
        """Through the object store."""
        return cast(bytes, ray.get(self._actor.bulk.remote(size_bytes)))

    async def array_sum(self, values: Floats) -> float:
        """Through the object store."""
        return cast(float, ray.get(self._actor.array_sum.remote(values)))

    async def map_add(self, items: int) -> int:
        """Items to the actors in turn."""
        return sum(ray.get([self._actors[item % WORKERS].add.remote(item, 1) for item in range(items)]))

    async def uneven(self, seconds: Sequence[float]) -> int:
        """Tasks, which go to whichever worker is free."""
        return len(ray.get([self._nap.remote(each) for each in seconds]))

    async def picture(self) -> Any:
        """Tasks."""
        return np.vstack(ray.get([self._band.remote(rows) for rows in bands()]))


class Ray:
    """A cluster of one machine."""

    async def serve(self, join: Sequence[str], ready: Ready) -> None:
        """Never asked for: the client starts the cluster."""
        await asyncio.Event().wait()

    @asynccontextmanager
    async def client(self, addresses: Sequence[str]) -> AsyncIterator[Client]:
        """Start everything, and end it."""
        ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, object_store_memory=1 << 30)
        try:
            yield Client()
        finally:
            ray.shutdown()


ADAPTERS = {"actor": Ray()}
