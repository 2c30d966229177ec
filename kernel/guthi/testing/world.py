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
import os
import random as global_random
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import wraps
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from guthi.api import Address, NodeId
from guthi.configuration.config import Config
from guthi.errors import DeadlineExceeded, UsageError
from guthi.plugins import Plugin
from guthi.security.keyring import ClusterKey
from guthi.testing.faults import Schedule
from guthi.testing.journal import Journal
from guthi.testing.links import Link
from guthi.testing.loop import Stalled, VirtualLoop
from guthi.testing.machine import SimulatedMachine
from guthi.testing.network import SimulatedNetwork
from guthi.testing.node import SimulatedNode
from guthi.testing.processor import Power
from guthi.testing.reality import one_thread
from guthi.testing.swarm import draw
from guthi.testing.trace import Trace

__all__ = ["World", "simulated"]

T = TypeVar("T")

PORT = 6969
MEMORY = "/dev/shm"
KERNEL_TABLES = ("transport", "gossip", "broadcast")
DEFAULT_LINK = Link()


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
        self.journal: Journal = Journal(self.loop)
        self._used = self._closed = False

    def run(self, scenario: Callable[[World], Awaitable[T]]) -> T:
        """Run a scenario to its end; then all machines are switched off.

        Raises what it raises; Stalled when nothing can ever happen again; and, when it ended well, Unhandled for an
        error in the world that nobody handled (see `guthi.testing.journal`).
        """
        if self._used:
            raise UsageError("a world runs one scenario; make a new one")
        if asyncio._get_running_loop() is not None:
            raise UsageError("a world has a loop of its own and does not run inside another; write @simulated instead")
        self._used = True
        state = global_random.getstate()
        global_random.seed(f"guthi app {self.seed}")  # apps that use the module's generator are decided by the seed too
        try:
            with one_thread(), self.journal.listen():
                try:
                    return self._judged(scenario)
                finally:
                    self.close()
        finally:
            global_random.setstate(state)

    def _judged(self, scenario: Callable[[World], Awaitable[T]]) -> T:
        try:
            result = self.loop.run(self._scenario(scenario))
        except BaseException as error:
            for unhandled in self.journal.unhandled():
                error.add_note(f"besides, {unhandled}")
            paused = [name for name, node in self.nodes.items() if node.machine.power is Power.PAUSED]
            if isinstance(error, Stalled) and paused:
                error.add_note(f"paused, and so unable to do anything: {', '.join(paused)}")
            raise
        errors = self.journal.unhandled()
        if errors:
            for other in errors[1:]:
                errors[0].add_note(f"besides, {other}")
            raise errors[0]
        return result

    async def _scenario(self, scenario: Callable[[World], Awaitable[T]]) -> T:
        return await scenario(self)

    def close(self) -> None:
        """Switch everything off; done by `run` at its end."""
        if self._closed:
            return
        self._closed = True
        for node in self.nodes.values():
            node.machine.crash()
        if not self.loop.is_closed():
            self.loop.cancel_scenario()
            self.loop.bury()
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
        disk: bool = True,
        **tables: Mapping[str, Any],
    ) -> SimulatedNode:
        """Make a machine and start a node of that name on it.

        `plugins` are names of installed plugins, or classes; `join` are names of nodes; `tables` are the tables of a
        TOML file: `node={"zone": "lab"}`, `transport={"timeout": "2s"}`, `mutex={...}` for [plugins.mutex]. Without
        `disk` the node has no folder, which is cheaper; it has another identity after each start then.
        """
        node = self.add(name, plugins=plugins, join=join, disk=disk, **tables)
        await node.start()
        return node

    def add(
        self,
        name: str,
        *,
        plugins: Sequence[str | type[Plugin]] = (),
        join: Sequence[str] = (),
        disk: bool = True,
        **tables: Mapping[str, Any],
    ) -> SimulatedNode:
        """As `start`, without starting it."""
        names = [plugin for plugin in plugins if isinstance(plugin, str)]
        classes = [plugin for plugin in plugins if not isinstance(plugin, str)]
        kernel_tables: dict[str, Any] = {key: tables[key] for key in KERNEL_TABLES if key in tables}
        node = {"name": name, "plugins": names, **tables.get("node", {})}
        others = {key: table for key, table in tables.items() if key not in ("node", *KERNEL_TABLES)}
        config = Config.from_mapping(
            {"node": node, "plugins": others, **kernel_tables},
            name,
            enabled=[plugin.name for plugin in classes],
            environment={},
        )
        return self.add_configured(config, join=join, plugins=classes, disk=disk)

    def add_configured(
        self, config: Config, *, join: Sequence[str] = (), plugins: Sequence[type[Plugin]] = (), disk: bool = True
    ) -> SimulatedNode:
        """Make a machine for a node that is configured already, as from a file; its addresses and key are replaced."""
        name = config.node.name
        if name in self.nodes:
            raise UsageError(f"there is a node {name!r} already; restart it, or choose another name")
        number = len(self.nodes) + 1
        ip = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        random = Random(f"guthi machine {self.seed} {name}")
        machine = SimulatedMachine(name, ip, self.loop, self.network, random, self._disk(name))
        machine.path_bytes = config.transport.max_datagram
        machine.receive_buffer_bytes = config.transport.receive_buffer
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
            in_memory = MEMORY if os.access(MEMORY, os.W_OK) else None  # nodes sync their disks, which takes real time
            self._disks = Path(tempfile.mkdtemp(prefix="guthi-world-", dir=in_memory))
        return self._disks / name

    # ---- faults

    def background(self, work: Coroutine[Any, Any, None], name: str | None = None) -> asyncio.Task[None]:
        """Run something beside the scenario; it is cancelled at the world's end, and fails the world if it fails."""
        return self.loop.create_task(work, name=name)

    def play(self, schedule: Schedule | str) -> asyncio.Task[None]:
        """Begin to let the faults of a schedule happen; await the task to be there when the last one has.

        Raises UsageError for what is no schedule, or names nodes that this world does not have.
        """
        self.schedule = schedule if isinstance(schedule, Schedule) else Schedule.parse(schedule)
        self.schedule.check(self.zones())
        return self.background(self.schedule.play(self), "faults")

    def swarm(self, seconds: float, *, spare: Sequence[str] = (), drift: bool = False) -> asyncio.Task[None]:
        """As `play`, with a schedule that this world's seed draws for its nodes; see `guthi.testing.swarm`."""
        return self.play(draw(self.random, list(self.nodes), seconds, spare=spare, drift=drift))

    def expect(self, pattern: str) -> None:
        """An error whose text this regular expression finds may go unhandled without failing the world."""
        self.journal.expect(pattern)

    def zones(self) -> dict[str, str]:
        """The zone of every node, by name."""
        return {name: node.config.node.zone for name, node in self.nodes.items()}

    def in_zone(self, zone: str) -> list[str]:
        """The names of the nodes in a zone, as for `network.set_link` and `network.cut`."""
        return [name for name, its in self.zones().items() if its == zone]

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

        Raises DeadlineExceeded after `within` seconds.
        """
        started_at = self.loop.now
        while not condition():
            if self.loop.now - started_at > within:
                what = getattr(condition, "__qualname__", repr(condition))
                raise DeadlineExceeded(f"still not so after {within:g} virtual seconds: {what}")
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


def simulated(scenario: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make a test of a coroutine function whose first argument is `world`; see `guthi.testing.pytest_plugin`."""

    @wraps(scenario)
    def test(world: World, **fixtures: Any) -> None:
        world.run(lambda _: scenario(world, **fixtures))

    return test
