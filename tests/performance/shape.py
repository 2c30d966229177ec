"""What a peer of the benchmark looks like: a server to start, a client to measure, and the work a client may offer.

A client offers a work item by having its method; what it does not have is not measured. Blocking libraries block
inside their coroutines, which costs them about 0.1 µs a call and lets one loop measure all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cache
from random import Random
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

__all__ = [
    "ARRAY_VALUES",
    "BULK_BYTES",
    "IN_FLIGHT",
    "LISTED_FILES",
    "SECTIONS",
    "Adapter",
    "Arrays",
    "Bulk",
    "Calls",
    "Copies",
    "Files",
    "Floats",
    "Idles",
    "InFlight",
    "Locks",
    "Maps",
    "Missing",
    "Pictures",
    "Ready",
    "Trees",
    "Uneven",
    "Writes",
    "in_tasks",
    "naps",
    "payload",
]

IN_FLIGHT = 64
BULK_BYTES = 64 << 20
ARRAY_VALUES = 1_000_000  # float64: 8 MB
LISTED_FILES = 10_000
SECTIONS = 200  # of each contender
NAP_S = 0.004

Floats: TypeAlias = npt.NDArray[np.float64]


class Missing(Exception):
    """The peer cannot be measured on this machine; the text says what it lacks."""


class Ready(Protocol):
    """What a server calls when it serves."""

    def __call__(self, address: object, *further_pids: int) -> None:
        """`address` goes to the clients as text; `further_pids` are processes that serve as well."""


class Adapter(Protocol):
    """One peer."""

    async def serve(self, join: Sequence[str], ready: Ready) -> None:
        """Serve until the process ends; `join` has the addresses of the servers that were started before."""

    def client(self, addresses: Sequence[str]) -> AbstractAsyncContextManager[Any]:
        """A connected client of these servers; raises Missing.

        It may have `server_pids`, the processes that serve when it starts them itself.
        """


@runtime_checkable
class Calls(Protocol):
    """A small call, one at a time."""

    async def add(self, a: int, b: int) -> int:
        """The sum, computed by the server."""


@runtime_checkable
class InFlight(Protocol):
    """Many small calls at a time."""

    async def in_flight(self, calls: int) -> None:
        """Call `add` that many times, IN_FLIGHT at any time, in this peer's own best way; check every answer."""


@runtime_checkable
class Bulk(Protocol):
    """A large result."""

    async def bulk(self, size_bytes: int) -> Any:
        """What the server's `payload` gives, as anything that has a buffer."""


@runtime_checkable
class Files(Protocol):
    """A file on the server's disk."""

    async def file(self) -> int:
        """Take the file with `payload(BULK_BYTES)`, piece by piece; returns how many bytes came."""


@runtime_checkable
class Trees(Protocol):
    """A tree of files that are kept where they are read."""

    listed_s: float

    async def read_again(self) -> float:
        """Read a file that was read before; returns the seconds."""

    async def read_here(self) -> float:
        """Read the same file from a disk of this machine; returns the seconds."""

    async def listing(self) -> int:
        """List a folder of LISTED_FILES; `listed_s` is how long that took."""

    async def noticed(self, times: int) -> list[float]:
        """How many seconds after another program has written a file the client is told, so many times."""


@runtime_checkable
class Arrays(Protocol):
    """A large argument."""

    async def array_sum(self, values: Floats) -> float:
        """The sum of the array, computed by the server."""


@runtime_checkable
class Maps(Protocol):
    """Many tiny tasks over two workers."""

    async def map_add(self, items: int) -> int:
        """The sum of `add(i, 1)` for every i below `items`."""


@runtime_checkable
class Pictures(Protocol):
    """Real work over two workers."""

    async def picture(self) -> Any:
        """The escape times of `performance.picture.VIEW`."""


@runtime_checkable
class Uneven(Protocol):
    """Tasks over two workers of which one in a hundred takes fifty times as long as the others."""

    async def uneven(self, seconds: Sequence[float]) -> int:
        """Sleep so long in each task; returns how many there were."""


@runtime_checkable
class Locks(Protocol):
    """Several processes that contend for one lock."""

    async def sections(self, each: int) -> None:
        """So many critical sections of each, one after another; check that they were."""


@runtime_checkable
class Copies(Protocol):
    """A value of which the reader has a copy."""

    async def read_valid(self, times: int) -> None:
        """Read it so often, while the copy is valid."""


@runtime_checkable
class Writes(Protocol):
    """A value that one writes, and of which another has a copy."""

    async def seen(self) -> float:
        """Write it; returns how many seconds later the reader knows that its copy is not valid any more."""


@runtime_checkable
class Idles(Protocol):
    """Servers that have nothing to do."""

    async def settle(self) -> None:
        """Wait until the start is over."""


def naps(tasks: int) -> list[float]:
    """Seconds for each task: NAP_S, but 50 times as much for one in a hundred, in the same places for every peer."""
    seconds = [NAP_S] * (tasks - tasks // 100) + [50 * NAP_S] * (tasks // 100)
    Random(1).shuffle(seconds)
    return seconds


@cache
def payload(size_bytes: int) -> bytes:
    """The same random bytes in every process: what compresses would flatter the peers that compress."""
    return np.random.default_rng(size_bytes).bytes(size_bytes)


async def in_tasks(add: Callable[[int, int], Awaitable[int]], calls: int) -> None:
    """InFlight for peers with an asynchronous `add`: IN_FLIGHT tasks, each with one call at a time."""

    async def worker(share: int) -> None:
        for _ in range(share):
            assert await add(1, 2) == 3

    async with asyncio.TaskGroup() as group:
        for index in range(IN_FLIGHT):
            group.create_task(worker((calls + index) // IN_FLIGHT))
