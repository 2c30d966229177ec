"""How long reads and writes of distributed variables take, beside a request and its answer at the same moment.

`make figures ONLY=dvar` prints the figures of docs/dvar.md; real sockets on loopback. Reads and sets are measured among
nodes of one process, whose work adds up. When a node knows of a write is measured among nodes that have a process each,
as nodes do: all processes of a machine read one clock (CLOCK_MONOTONIC, which is `time.perf_counter` on Linux). There
the rows are taken in an order that is drawn anew each round, and what precedes each is the same: bob is asked to read,
and then all are idle, until nothing is left to be acknowledged.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from random import Random
from statistics import median, quantiles

import guthi
from guthi_dvar import DVAR, Dvar

ROUNDS = 500
READS = 20_000
PAUSE_S = 0.01  # what is still to be acknowledged is not measured along: that may wait for 5 ms


def settings(name: str, *join: str) -> guthi.Config:
    node = {"name": name, "plugins": ["mutex", "dvar"], "join": list(join)}
    return guthi.Config.from_mapping({"node": node}, environment={})


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
        alice, bob = a.require(DVAR), b.require(DVAR)
        b.handle("echo", lambda incoming: incoming.value)
        for replicas in (0, 2):
            await alice.create(f"count{replicas}", 0, replicas=replicas)

        taken: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            taken.setdefault("request", []).append(await seconds(lambda: a.request("bob", "echo", 1)))
            for name in ("count0", "count2"):
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
        for node in nodes[1:]:
            node.handle("echo", lambda incoming: incoming.value)
        owned = await owned_by(alice, {"alice", "carol"})

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


class Ear:
    """Notes when a copy of this node became invalid."""

    at = 0.0

    @guthi.hookimpl
    def variable_invalidated(self) -> None:
        self.at = time.perf_counter()


async def other(name: str, address: str) -> None:
    """Another node: reads when it is told to, says when it knew of a write, ends with standard input."""
    async with guthi.Node(settings(name, address)) as node:
        ear = Ear()
        node.hooks.register(ear, "ear")
        node.handle("echo", lambda incoming: incoming.value)
        node.handle("read", lambda incoming: node.require(DVAR).get(incoming.value))
        node.handle("known at", lambda incoming: ear.at)
        await asyncio.to_thread(sys.stdin.read)


async def measured_invalidation() -> dict[str, list[float]]:
    """From a write until bob knows that its copy is old; alice, bob and carol have a process each."""
    async with AsyncExitStack() as stack:
        alice = await stack.enter_async_context(guthi.Node(settings("alice")))
        for name in ("bob", "carol"):
            call = [sys.executable, "-m", "tests.figures.dvar", name, str(alice.address)]
            process = await asyncio.create_subprocess_exec(*call, stdin=asyncio.subprocess.PIPE)
            stack.push_async_callback(process.wait)
            assert process.stdin is not None
            stack.callback(process.stdin.close)
        while len([each for each in alice.members if any(name == "dvar" for name, _ in each.plugins)]) < 2:
            await asyncio.sleep(0.05)
        dvar = alice.require(DVAR)
        owned = await owned_by(dvar, {"alice", "carol"})
        await dvar.create("count0", 0, replicas=0)
        rows = {"request": "", "eventual, replicas=0": "count0"}
        rows |= {f"coherent, owner {who}": owned[who] for who in ("alice", "carol")}
        taken: dict[str, list[float]] = {title: [] for title in rows}
        draw = Random(0)
        for number in range(ROUNDS):
            for title in draw.sample(list(rows), len(rows)):
                name = rows[title]
                await alice.request("bob", "read", name or "count0")
                await asyncio.sleep(PAUSE_S)
                if not name:
                    taken[title].append(await seconds(lambda: alice.request("bob", "echo", 1)))
                    continue
                began = time.perf_counter()
                await dvar.set(name, number)
                taken[title].append(await alice.request("bob", "known at", None) - began)
        return taken


def main() -> None:
    """Print the rows; with arguments, be another node."""
    if len(sys.argv) > 1:
        asyncio.run(other(*sys.argv[1:]))
        return
    for title, measure in {"eventual": measured, "coherent": measured_coherent}.items():
        medians = asyncio.run(measure())
        for name, taken_s in medians.items():
            print(f"| {title}: {name} | {taken_s * 1e6:.2f} µs | {taken_s / medians['request']:.2f} |")
    taken = asyncio.run(measured_invalidation())
    for name, each in taken.items():
        first, second, third = (quartile_s * 1e6 for quartile_s in quantiles(each, n=4))
        of_request = second / 1e6 / median(taken["request"])
        print(f"| known elsewhere: {name} | {second:.0f} µs | {first:.0f} to {third:.0f} µs | {of_request:.2f} |")


if __name__ == "__main__":
    main()
