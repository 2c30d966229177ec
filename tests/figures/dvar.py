"""How long reads and writes of distributed variables take, beside a request and its answer at the same moment.

`make figures ONLY=dvar` prints the figures of docs/dvar.md; three nodes of one process, real sockets on loopback.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from statistics import median

import guthi
from guthi_dvar import DVAR

ROUNDS = 500
READS = 20_000


def settings(name: str, *join: str) -> guthi.Config:
    node = {"name": name, "plugins": ["dvar"], "join": list(join)}
    return guthi.Config.from_mapping({"node": node}, environment={})


class Ear:
    """Notes when bob's copy became invalid."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()

    @guthi.hookimpl
    def variable_changed(self) -> None:
        self.heard.set()


async def seconds(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def measured() -> dict[str, float]:
    """Medians in seconds, all of them taken in turns."""
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(guthi.Node(settings("alice")))
        b = await stack.enter_async_context(guthi.Node(settings("bob", str(a.address))))
        await stack.enter_async_context(guthi.Node(settings("carol", str(a.address))))
        alice, bob, ear = a.require(DVAR), b.require(DVAR), Ear()
        b.handle("echo", lambda incoming: incoming.value)
        for replicas in (0, 2):
            await alice.create(f"count{replicas}", 0, replicas=replicas)
        b.hooks.register(ear, "ear")

        async def write_seen(name: str) -> float:
            await bob.get(name)
            ear.heard.clear()
            began = time.perf_counter()
            writing = asyncio.ensure_future(alice.set(name, int(began * 1e6)))
            await ear.heard.wait()
            seen_s = time.perf_counter() - began
            await writing
            return seen_s

        taken: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            taken.setdefault("request", []).append(await seconds(lambda: a.request("bob", "echo", 1)))
            for name in ("count0", "count2"):
                taken.setdefault(f"seen {name}", []).append(await write_seen(name))
                taken.setdefault(f"fetch {name}", []).append(await seconds(partial(bob.get, name)))
                taken.setdefault(f"set {name}", []).append(await seconds(partial(alice.set, name, 1)))
                await bob.get(name)
        began = time.perf_counter()
        for _ in range(READS):
            await bob.get("count0")
        taken["valid read"] = [(time.perf_counter() - began) / READS]
        return {name: median(each) for name, each in taken.items()}


def main() -> None:
    """Print the rows."""
    medians = asyncio.run(measured())
    for name, taken_s in medians.items():
        print(f"| {name} | {taken_s * 1e6:.2f} µs | {taken_s / medians['request']:.2f} |")


if __name__ == "__main__":
    main()
