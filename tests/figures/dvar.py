"""How long reads and writes of distributed variables take, beside a request and its answer at the same moment.

`make figures ONLY=dvar` prints the figures of docs/dvar.md; nodes of one process, real sockets on loopback.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from statistics import median

import guthi
from guthi_dvar import DVAR, Dvar

ROUNDS = 500
READS = 20_000


def settings(name: str, *join: str) -> guthi.Config:
    node = {"name": name, "plugins": ["mutex", "dvar"], "join": list(join)}
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


async def measured_coherent() -> dict[str, float]:
    """The same of coherent variables: four nodes, so that a write has three others that hold the value."""
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(guthi.Node(settings("alice")))]
        for name in ("bob", "carol", "dave"):
            nodes.append(await stack.enter_async_context(guthi.Node(settings(name, str(nodes[0].address)))))
        services = {node.name: node.require(DVAR) for node in nodes}
        alice, others = services["alice"], [services[name] for name in ("bob", "carol", "dave")]
        ear = Ear()
        for node in nodes[1:]:
            node.handle("echo", lambda incoming: incoming.value)
        owned = await owned_by(alice, {"alice", "carol"})
        nodes[1].hooks.register(ear, "ear")

        async def write_seen(name: str) -> float:
            ear.heard.clear()
            began = time.perf_counter()
            writing = asyncio.ensure_future(alice.set(name, int(began * 1e6)))
            await ear.heard.wait()
            seen_s = time.perf_counter() - began
            await writing
            return seen_s

        taken: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            taken.setdefault("request", []).append(await seconds(lambda: nodes[0].request("bob", "echo", 1)))
            taken.setdefault("three requests at once", []).append(
                await seconds(
                    lambda: asyncio.gather(*(nodes[0].request(n, "echo", 1) for n in ("bob", "carol", "dave")))
                )
            )
            for owner in ("alice", "carol"):
                name = owned[owner]
                await services["bob"].get(name)
                taken.setdefault(f"seen, owner {owner}", []).append(await write_seen(name))
                await asyncio.gather(*(each.get(name) for each in others))
                taken.setdefault(f"set, owner {owner}", []).append(await seconds(partial(alice.set, name, 1)))
                taken.setdefault(f"fetch, owner {owner}", []).append(await seconds(partial(services["dave"].get, name)))
        await services["bob"].get(owned["carol"])
        began = time.perf_counter()
        for _ in range(READS):
            await services["bob"].get(owned["carol"])
        taken["valid read"] = [(time.perf_counter() - began) / READS]
        return {name: median(each) for name, each in taken.items()}


async def owned_by(alice: Dvar, wanted: set[str]) -> dict[str, str]:
    """Variables without replicas, each owned by one of these nodes."""
    found: dict[str, str] = {}
    for number in range(100):
        if wanted <= set(found):
            break
        name = f"v{number}"
        await alice.create(name, 0, coherence="coherent", replicas=0)
        found.setdefault((await alice.info(name)).places[0], name)
    return found


def main() -> None:
    """Print the rows."""
    for title, measure in (("eventual", measured), ("coherent", measured_coherent)):
        medians = asyncio.run(measure())
        for name, taken_s in medians.items():
            print(f"| {title}: {name} | {taken_s * 1e6:.2f} µs | {taken_s / medians['request']:.2f} |")


if __name__ == "__main__":
    main()
