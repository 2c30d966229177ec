"""What `guthi sim` does: start a cluster in a world, let time and faults pass, and measure."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import guthi.hooks
from guthi.configuration.config import Config
from guthi.errors import UsageError
from guthi.membership.members import Member
from guthi.plugins import NoConfig, Plugin
from guthi.testing.faults import Schedule
from guthi.testing.links import Link
from guthi.testing.processor import Power
from guthi.testing.world import World

__all__ = ["Outcome", "Trial"]

STEP_S = 0.25


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trial showed. Rates are means over all nodes and the whole time.

    `complete_s` is when every node first knew every node (None: never), a verdict is a node being held for suspect or
    failed by another; it is true when the node was down or paused at that moment.
    """

    nodes: int
    seconds: float
    seed: int
    complete_s: float | None
    messages_a_node_s: float
    bytes_a_node_s: float
    verdicts_true: int
    verdicts_false: int
    trace: str
    faults: str


@dataclass(slots=True)
class _Census:
    """Who knows how many, counted as it happens: asking a thousand nodes a thousand times would cost too much.

    The count is right as long as nobody starts twice; from then on, when it says that all know all, they are asked.
    """

    world: World
    wanted: int
    known: dict[str, int] = field(default_factory=dict)
    total: int = 0
    starts: int = 0
    asked_at: float = -math.inf
    complete_s: float | None = None
    verdicts_true: int = 0
    verdicts_false: int = 0

    def started(self, name: str) -> None:
        """A node begins to live, and knows nobody."""
        self.starts += 1
        self.total -= self.known.get(name, 0)
        self.known[name] = 0

    def changed(self, name: str, by: int) -> None:
        """A node knows one more, or one less."""
        self.known[name] += by
        self.total += by
        self.look()

    def look(self) -> None:
        """Note the moment if all know all."""
        if self.complete_s is not None or self.total < self.wanted * (self.wanted - 1):
            return
        if self.starts == self.wanted or self._all_say_so():
            self.complete_s = self.world.now

    def _all_say_so(self) -> bool:
        if self.world.now - self.asked_at < STEP_S:
            return False
        self.asked_at = self.world.now
        return len(self.world.running()) == self.wanted and self.world.is_connected()

    def verdict(self, member: Member) -> None:
        """A node holds a member for suspect or failed."""
        accused = self.world.nodes.get(member.name)
        runs = accused is not None and accused.runs and accused.machine.power is Power.ON
        if accused is not None and runs and accused.node.id == member.id:
            self.verdicts_false += 1
        else:
            self.verdicts_true += 1


@dataclass(slots=True)
class Trial:
    """A cluster to simulate: `configs` are its nodes, of which the first is the one that the others join."""

    configs: Sequence[Config]
    seconds: float
    seed: int = 0
    link: Link = field(default_factory=Link)
    faults: Schedule | str | None = None  # "swarm": drawn from the seed

    def run(self, on_progress: Callable[[float], None] = lambda seconds: None) -> Outcome:
        """Simulate; `on_progress` is called with the virtual seconds that have passed."""
        if not self.configs:
            raise UsageError("a simulation needs at least one node")
        world = World(self.seed, link=self.link)
        census = _Census(world, len(self.configs))
        world.run(lambda _: self._scenario(world, census, on_progress))
        count = len(self.configs)
        return Outcome(
            nodes=count,
            seconds=self.seconds,
            seed=self.seed,
            complete_s=census.complete_s if count > 1 else 0.0,
            messages_a_node_s=world.network.sent_datagrams.total() / count / self.seconds,
            bytes_a_node_s=world.network.sent_bytes.total() / count / self.seconds,
            verdicts_true=census.verdicts_true,
            verdicts_false=census.verdicts_false,
            trace=world.trace.digest,
            faults=str(world.schedule or ""),
        )

    async def _scenario(self, world: World, census: _Census, on_progress: Callable[[float], None]) -> None:
        observer = _observer(census)
        first = self.configs[0].node.name
        for config in self.configs:
            join = [first] if config.node.name != first else []
            world.add_configured(config, join=join, plugins=[observer], disk=False)
        for node in world.nodes.values():
            world.background(node.start_until_joined(), f"start of {node.name}")
        if self.faults == "swarm":
            world.swarm(self.seconds, spare=[first])
        elif self.faults is not None:
            world.play(self.faults)
        while world.now < self.seconds:
            await asyncio.sleep(min(STEP_S, self.seconds - world.now))
            census.look()
            on_progress(world.now)


def _observer(census: _Census) -> type[Plugin]:
    class Observer(Plugin):
        """Counts what its node learns."""

        name = "guthi-observer"
        Config = NoConfig

        async def run(self, stack: AsyncExitStack) -> None:
            census.started(self.node.name)

        @guthi.hooks.hookimpl
        def member_joined(self, member: Member) -> None:
            census.changed(self.node.name, 1)

        @guthi.hooks.hookimpl
        def member_left(self, member: Member) -> None:
            census.changed(self.node.name, -1)

        @guthi.hooks.hookimpl
        def member_suspected(self, member: Member) -> None:
            census.verdict(member)

        @guthi.hooks.hookimpl
        def member_failed(self, member: Member) -> None:
            census.verdict(member)

    return Observer
