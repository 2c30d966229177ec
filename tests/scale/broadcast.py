"""A thousand nodes at 10 % loss, 5 % of which crash amid broadcasts: who is told, how soon, at what price."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

from tests.scale.row import Row

from guthi import Plugin
from guthi.broadcast.messages import Payload
from guthi.broadcast.plumtree import Plumtree
from guthi.testing import Link, SimulatedNode, World

LINK = Link(latency_s=0.002, jitter_s=0.004, loss=0.1)
CRASHING = 0.05
SETTLING, BEFORE, MEANWHILE, AFTER = 5, 10, 20, 10
BODY = bytes(100)


@dataclass(frozen=True)
class Phase:
    """What was seen of some broadcasts: seconds are virtual; copies are payloads that came to a node, a broadcast."""

    name: str
    broadcasts: int
    told_once: int
    missed: int
    told_twice: int
    copies: float
    median_s: float
    percentile_99_s: float
    longest_s: float


class Observer:
    """Counts, over the whole world, what nodes are told and which payloads come to them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.said_at: dict[int, float] = {}
        self.sayers: dict[int, str] = {}
        self.told: dict[int, list[tuple[str, float]]] = {}
        self.copies: Counter[str] = Counter()

    def plugin(self) -> type[Plugin]:
        observer = self

        class HearPlugin(Plugin):
            """Hears broadcasts."""

            name = "hear"

            async def run(self, stack: AsyncExitStack) -> None:
                name = self.node.name
                self.node.handle_broadcast("scale", lambda incoming: observer.hear(name, incoming.value[0]))
                observer.count_payloads(name, self.node.network.broadcasting._tree)

        return HearPlugin

    def count_payloads(self, name: str, tree: Plumtree) -> None:
        """Look at what comes to a node, and change nothing of it."""
        receive = tree.receive

        def counting(peer: object, message: object, now: float) -> object:
            self.copies[name] += isinstance(message, Payload)
            return receive(peer, message, now)  # type: ignore[arg-type]

        tree.receive = counting  # type: ignore[assignment, method-assign]

    def hear(self, name: str, number: int) -> None:
        self.told[number].append((name, self.world.now - self.said_at[number]))

    async def say(self, node: SimulatedNode) -> None:
        number = len(self.said_at)
        self.said_at[number], self.sayers[number], self.told[number] = self.world.now, node.name, []
        await node.run(lambda running: running.broadcast("scale", [number, BODY]))

    def phase(self, name: str, first: int, copies: Counter[str]) -> Phase:
        """What is seen of the broadcasts from `first` on, at those who live; `copies` as they were before."""
        living = {node.name for node in self.world.running()}
        numbers = range(first, len(self.said_at))
        once = missed = twice = 0
        latencies = []
        for number in numbers:
            times = Counter(name for name, _ in self.told[number] if name in living)
            latencies += [latency for name, latency in self.told[number] if name in living]
            for listener in living - {self.sayers[number]}:
                once += times[listener] == 1
                missed += times[listener] == 0
                twice += times[listener] > 1
        latencies.sort()
        came = sum(self.copies[name] - copies[name] for name in living)
        return Phase(
            name,
            len(numbers),
            once,
            missed,
            twice,
            came / (once + twice),
            latencies[len(latencies) // 2],
            latencies[len(latencies) * 99 // 100],
            latencies[-1],
        )


def broadcast_to(count: int, seed: int = 1) -> list[Phase]:
    """Run it with so many nodes; the phases are settled, while nodes crash, and afterwards."""
    world = World(seed, link=LINK)
    observer = Observer(world)

    async def several(name: str, times: int, each_s: float, wait_s: float) -> Phase:
        first, copies = len(observer.said_at), Counter(observer.copies)
        for _ in range(times):
            await observer.say(world.random.choice(safe))
            await world.sleep(each_s)
        await world.sleep(wait_s)
        return observer.phase(name, first, copies)

    async def scenario(world: World) -> list[Phase]:
        await world.start("n0", plugins=[observer.plugin()], disk=False)
        for number in range(1, count):
            node = world.add(f"n{number}", plugins=[observer.plugin()], join=["n0"], disk=False)
            world.background(_start(node))
        await world.until(lambda: len(world.running()) == count and world.is_whole(), within=60, each=0.1)
        nodes = list(world.nodes.values())
        victims = world.random.sample(nodes[1:], int(CRASHING * count))
        safe.extend(node for node in nodes if node not in victims)
        phases = [await several("settling", SETTLING, 1.0, 2.0), await several("settled", BEFORE, 0.5, 2.0)]
        for victim in victims:
            world.background(_crash(world, victim, world.random.uniform(0, MEANWHILE * 0.1)))
        phases.append(await several("crashing", MEANWHILE, 0.1, 12.0))
        phases.append(await several("afterwards", AFTER, 0.5, 2.0))
        return phases

    safe: list[SimulatedNode] = []
    return world.run(scenario)


async def _start(node: SimulatedNode) -> None:
    await node.start()


async def _crash(world: World, victim: SimulatedNode, after_s: float) -> None:
    await world.sleep(after_s)
    victim.crash()


def rows() -> Iterator[Row]:
    """What `make scale` prints."""
    for phase in broadcast_to(1000):
        name = f"1,000 nodes, 10 % loss, {phase.name}"
        unwanted = phase.missed + phase.told_twice
        yield Row(f"{name}: told once", "all", f"{phase.told_once}, others {unwanted}", unwanted == 0)
        goal = 1.3 if phase.name in ("settled", "afterwards") else 6.0
        yield Row.at_most(f"{name}: payload copies a node", goal, phase.copies, "")
        latencies = (
            f"{phase.median_s * 1000:.0f} / {phase.percentile_99_s * 1000:.0f} / {phase.longest_s * 1000:.0f} ms"
        )
        yield Row(f"{name}: latency, median / 99th percentile / longest", "printed", latencies, True)
