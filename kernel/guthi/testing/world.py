"""A world: machines, links, nodes and faults on virtual time, all of it decided by one seed.

    from guthi.testing import World

    async def scenario(world):
        alice = await world.start("alice", plugins=["rpc"])
        bob = await world.start("bob", plugins=["rpc"], join=["alice"])
        world.network.partition(["alice"], ["bob"])
        ...

    World(seed=1).run(scenario)

Nodes are guthi's own, unchanged, cryptography included. A world belongs to one `run`.
"""

from __future__ import annotations

import asyncio
import random as global_random
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import wraps
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from guthi.api import Address, NodeId
from guthi.config import Config
from guthi.errors import GuthiError, JoinFailed, UsageError
from guthi.keyring import ClusterKey
from guthi.node import Node
from guthi.plugins import Plugin
from guthi.runner import load_main
from guthi.testing.faults import Schedule
from guthi.testing.links import Link
from guthi.testing.loop import VirtualLoop
from guthi.testing.machine import Power, SimulatedMachine
from guthi.testing.network import SimulatedNetwork
from guthi.testing.trace import Trace

__all__ = ["SimulatedNode", "World", "simulated"]

T = TypeVar("T")

PORT = 6969
DEFAULT_LINK = Link()


class SimulatedNode:
    """A node on a machine of its own; the same handle over all lives of the machine."""

    def __init__(self, world: World, machine: SimulatedMachine, config: Config, plugins: Sequence[type[Plugin]]):
        self._world, self._config, self._plugins = world, config, plugins
        self.machine: SimulatedMachine = machine
        self._node: Node | None = None
        self._life: asyncio.Task[None] | None = None
        self._stop: asyncio.Event | None = None

    @property
    def name(self) -> str:
        """The name of the node and of its machine."""
        return self.machine.name

    @property
    def node(self) -> Node:
        """The running node; raises UsageError while it does not run."""
        if self._node is None:
            raise UsageError(f"{self.name} does not run; start or restart it")
        return self._node

    @property
    def runs(self) -> bool:
        """True between a start and a stop or crash."""
        return self._node is not None

    async def start(self) -> Node:
        """Start the node and wait until it has joined; raises what its start raises."""
        if self._life is not None:
            raise UsageError(f"{self.name} runs already")
        self.machine.boot()
        started: asyncio.Future[Node] = self._world.loop.create_future()
        self._life = self.machine.processor.context.run(
            self._world.loop.create_task, self._live(started), name=f"life of {self.name}"
        )
        try:
            self._node = await started
        except BaseException:
            self._life = None
            raise
        return self._node

    async def _live(self, started: asyncio.Future[Node]) -> None:
        self._stop = asyncio.Event()
        try:
            main = load_main(self._config)
            async with Node(self._config, plugins=self._plugins, host=self.machine) as node:
                self._world.trace.event(self._world.loop.now, f"{self.name} started")
                started.set_result(node)
                if main is not None:
                    node.start(_until_done(main(node)), "main")
                await self._stop.wait()
        except Exception as error:
            if started.done():
                raise
            started.set_exception(error)

    async def stop(self) -> None:
        """Leave the network in good order."""
        life, stop = self._life, self._stop
        if life is None or stop is None:
            raise UsageError(f"{self.name} does not run")
        self._node = self._life = None
        self.machine.processor.context.run(stop.set)
        await life
        self._world.trace.event(self._world.loop.now, f"{self.name} stopped")

    def crash(self, *, keep_disk: bool = True) -> None:
        """Lose power; with `keep_disk` False the machine comes back empty."""
        self._node = self._life = None
        self.machine.crash()
        self._world.trace.event(self._world.loop.now, f"{self.name} crashed")
        if not keep_disk:
            shutil.rmtree(self.machine.disk, ignore_errors=True)

    async def restart(self) -> Node:
        """Start again after a crash or a stop."""
        return await self.start()

    async def start_until_joined(self) -> None:
        """Start, and again as long as nobody is found to join, as a supervisor would."""
        while not self.runs:
            try:
                await self.start()
            except JoinFailed:
                continue


class World:
    """Everything that a scenario needs; `seed` decides every chance in it."""

    def __init__(self, seed: int = 0, *, link: Link = DEFAULT_LINK) -> None:
        self.seed = seed
        self.random = Random(f"guthi world {seed}")
        self.loop = VirtualLoop()
        self.trace = Trace()
        self.network: SimulatedNetwork = SimulatedNetwork(self.loop, Random(f"guthi network {seed}"), self.trace, link)
        self.nodes: dict[str, SimulatedNode] = {}
        self._cluster_key = ClusterKey.generate(Random(f"guthi key {seed}").randbytes)
        self._disks: Path | None = None
        self.schedule: Schedule | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._used = self._closed = False

    def run(self, scenario: Callable[[World], Awaitable[T]]) -> T:
        """Run a scenario to its end; then all nodes are switched off. Raises what it raises, and Stalled."""
        if self._used:
            raise UsageError("a world runs one scenario; make a new one")
        self._used = True
        state = global_random.getstate()
        global_random.seed(f"guthi app {self.seed}")  # apps that use the module's generator are decided by the seed too
        try:
            return self.loop.run(self._scenario(scenario))
        finally:
            global_random.setstate(state)
            self.close()

    async def _scenario(self, scenario: Callable[[World], Awaitable[T]]) -> T:
        return await scenario(self)

    def close(self) -> None:
        """Switch everything off; done by `run` at its end."""
        if self._closed:
            return
        self._closed = True
        for task in self._background:
            task.cancel()
        if self._background and not self.loop.is_closed():
            self.loop.run_until_complete(asyncio.gather(*self._background, return_exceptions=True))
        for node in self.nodes.values():
            node.machine.bury()
        self.loop.close()
        if self._disks is not None:
            shutil.rmtree(self._disks, ignore_errors=True)

    # ---- nodes

    async def start(
        self,
        name: str,
        *,
        plugins: Sequence[str | type[Plugin]] = (),
        join: Sequence[str] = (),
        **tables: Mapping[str, Any],
    ) -> SimulatedNode:
        """Make a machine and start a node of that name on it.

        `plugins` are names of installed plugins, or classes; `join` are names of nodes; `tables` are the tables of a
        TOML file: `node={"zone": "lab"}`, `transport={"timeout": "2s"}`, `mutex={...}` for [plugins.mutex].
        """
        node = self.add(name, plugins=plugins, join=join, **tables)
        await node.start()
        return node

    def add(
        self,
        name: str,
        *,
        plugins: Sequence[str | type[Plugin]] = (),
        join: Sequence[str] = (),
        **tables: Mapping[str, Any],
    ) -> SimulatedNode:
        """As `start`, without starting it."""
        names = [plugin for plugin in plugins if isinstance(plugin, str)]
        classes = [plugin for plugin in plugins if not isinstance(plugin, str)]
        kernel_tables: dict[str, Any] = {key: tables[key] for key in ("transport", "gossip") if key in tables}
        node = {"name": name, "plugins": names, **tables.get("node", {})}
        others = {key: table for key, table in tables.items() if key not in ("node", "transport", "gossip")}
        config = Config.from_mapping(
            {"node": node, "plugins": others, **kernel_tables},
            name,
            enabled=[plugin.name for plugin in classes],
            environment={},
        )
        return self.add_configured(config, join=join, plugins=classes)

    def add_configured(
        self, config: Config, *, join: Sequence[str] = (), plugins: Sequence[type[Plugin]] = (), disk: bool = True
    ) -> SimulatedNode:
        """Make a machine for a node that is configured already, as from a file; its addresses and key are replaced.

        Without `disk` the node has no folder, so that it has another identity after each start.
        """
        name = config.node.name
        if name in self.nodes:
            raise UsageError(f"there is a node {name!r} already; restart it, or choose another name")
        number = len(self.nodes) + 1
        ip = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        random = Random(f"guthi machine {self.seed} {name}")
        machine = SimulatedMachine(name, ip, self.loop, self.network, random, self._disk(name))
        self.network.add(machine)
        settled = config.with_overrides(
            security={"cluster_key": self._cluster_key.text()},
            node={
                "listen": Address(ip, PORT),
                "join": [Address(peer, PORT) for peer in join],
                "data_dir": machine.disk if disk else None,
            },
        )
        self.nodes[name] = SimulatedNode(self, machine, settled, plugins)
        return self.nodes[name]

    def _disk(self, name: str) -> Path:
        if self._disks is None:
            self._disks = Path(tempfile.mkdtemp(prefix="guthi-world-"))
        return self._disks / name

    # ---- faults

    def background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside the scenario; it is cancelled at the world's end."""
        task = self.loop.create_task(work)
        self._background.add(task)
        return task

    def play(self, schedule: Schedule | str) -> asyncio.Task[None]:
        """Begin to let the faults of a schedule happen; await the task to be there when the last one has."""
        self.schedule = schedule if isinstance(schedule, Schedule) else Schedule.parse(schedule)
        return self.background(self.schedule.play(self))

    def swarm(self, seconds: float, *, spare: Sequence[str] = ()) -> asyncio.Task[None]:
        """As `play`, with a schedule that this world's seed draws for its nodes; see Schedule.draw."""
        return self.play(Schedule.draw(self.random, list(self.nodes), seconds, spare=spare))

    # ---- time and conditions

    @property
    def now(self) -> float:
        """Seconds since the world began."""
        return self.loop.now

    async def sleep(self, seconds: float) -> None:
        """Let the world go on for a while."""
        await asyncio.sleep(seconds)

    async def until(self, condition: Callable[[], bool], *, within: float = 60.0, each: float = 0.01) -> float:
        """Wait until a condition holds, looking every `each` seconds; returns the time it took.

        Raises GuthiError after `within` seconds.
        """
        started_at = self.loop.now
        while not condition():
            if self.loop.now - started_at > within:
                raise GuthiError(f"still not so after {within:g} virtual seconds: {condition!r}")
            await asyncio.sleep(each)
        return self.loop.now - started_at

    def running(self) -> list[SimulatedNode]:
        """The nodes that run on machines with power, in the order in which they were added."""
        return [node for node in self.nodes.values() if node.runs and node.machine.power is Power.ON]

    def is_connected(self) -> bool:
        """True when every running node sees all running nodes as present; it may see others that are gone."""
        return self._sees(lambda seen, running: seen >= running)

    def is_whole(self) -> bool:
        """True when every running node sees exactly the running nodes as present."""
        return self._sees(lambda seen, running: seen == running)

    def _sees(self, holds: Callable[[set[NodeId], set[NodeId]], bool]) -> bool:
        running = self.running()
        ids = {node.node.id for node in running}
        return all(holds({member.id for member in node.node.members} | {node.node.id}, ids) for node in running)


async def _until_done(work: Awaitable[Any]) -> None:
    await work


def simulated(scenario: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make a test of a coroutine function whose first argument is `world`; see `guthi.testing.pytest_plugin`."""

    @wraps(scenario)
    def test(world: World, **fixtures: Any) -> None:
        world.run(lambda _: scenario(world, **fixtures))

    return test
