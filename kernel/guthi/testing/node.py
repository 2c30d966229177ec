"""A simulated node: a node on a machine of its own, which the scenario starts, stops, crashes and gives work.

| state    | meaning                                  | leaves by                                         |
|----------|------------------------------------------|---------------------------------------------------|
| down     | nothing runs                             | `start`                                           |
| starting | the node has a life, but has not joined  | joining; an error of its start; `crash`           |
| running  | the node has joined                      | `stop`; the end of its `main`; `crash`            |
| stopping | the node says goodbye                    | its end; `crash`                                  |

A life is what is between a start and an end. A scenario that waits for something in a life is told, by PowerLost, when
a crash ends it: nothing else would ever answer.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from guthi.configuration.config import Config
from guthi.errors import GuthiError, JoinFailed, UsageError
from guthi.hooks import hookimpl
from guthi.membership.members import Member
from guthi.node import Node
from guthi.plugins import Plugin
from guthi.runner import load_main
from guthi.testing.machine import SimulatedMachine
from guthi.testing.processor import Power

if TYPE_CHECKING:
    from guthi.testing.world import World

__all__ = ["PowerLost", "SimulatedNode"]

T = TypeVar("T")


class PowerLost(GuthiError):
    """A machine crashed while the scenario waited for something on it."""


class _Life:
    """One life of a node. `node` is set when it has joined; `stop` asks it to end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.node: Node | None = None
        self.stop = asyncio.Event()
        self.task: asyncio.Task[None]
        self.started: asyncio.Future[Node] = loop.create_future()
        self._waiting: dict[asyncio.Future[Any], None] = {self.started: None}

    async def outcome(self, work: asyncio.Future[T]) -> T:
        """Wait for a task of this life; raises what it raises, and PowerLost. To cancel the wait cancels the task."""
        done: asyncio.Future[None] = self._loop.create_future()

        def note(_: object) -> None:
            if not done.done():
                done.set_result(None)

        self._waiting[done] = None
        work.add_done_callback(note)
        try:
            await done
        except asyncio.CancelledError:
            work.cancel()
            raise
        finally:
            del self._waiting[done]
        return work.result()

    def end(self, name: str) -> None:
        """The machine has crashed."""
        for future in self._waiting:
            if not future.done():
                future.set_exception(PowerLost(f"{name} crashed"))
                future.exception()  # looked at, for it may be that nobody waits any more


class SimulatedNode:
    """A node on a machine of its own; the same handle over all lives of the machine."""

    def __init__(self, world: World, machine: SimulatedMachine, config: Config, plugins: Sequence[type[Plugin]]):
        self._world, self._plugins = world, plugins
        self.config = config
        self.machine: SimulatedMachine = machine
        self._life: _Life | None = None

    @property
    def name(self) -> str:
        """The name of the node and of its machine."""
        return self.machine.name

    @property
    def node(self) -> Node:
        """The running node; raises UsageError while it does not run.

        What a scenario awaits on it directly does not belong to the machine: a crash never ends it, and its time is the
        world's. See `run`.
        """
        return self._running()[1]

    @property
    def runs(self) -> bool:
        """True from when the node has joined to its stop or crash."""
        return self._life is not None and self._life.node is not None and not self._life.stop.is_set()

    @property
    def is_down(self) -> bool:
        """True when nothing runs, and nothing is starting."""
        return self._life is None

    def _running(self) -> tuple[_Life, Node]:
        if self._life is None or self._life.node is None or not self.runs:
            raise UsageError(f"{self.name} does not run; start or restart it")
        return self._life, self._life.node

    async def start(self) -> Node:
        """Start the node and wait until it has joined; raises what its start raises, and PowerLost."""
        if self._life is not None:
            raise UsageError(f"{self.name} runs already")
        self.machine.boot()
        life = self._life = _Life(self._world.loop)
        life.task = self._task(self._live(life), f"life of {self.name}")
        try:
            return await life.started
        except BaseException:
            life.task.cancel()
            self._forget(life)
            raise

    def _task(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """A task that belongs to the machine as it is now."""
        return self.machine.processor.context.copy().run(self._world.loop.create_task, work, name=name)

    def _forget(self, life: _Life) -> None:
        if self._life is life:
            self._life = None

    async def _live(self, life: _Life) -> None:
        trace = self._world.trace
        try:
            main = load_main(self.config)
            node = Node(self.config, plugins=self._plugins, host=self.machine)
            node.hooks.register(_Chronicle(self._world, self.machine), "guthi-chronicle")
            async with node:
                trace.event(self._world.now, f"{self.name} started")
                life.node = node
                life.started.set_result(node)
                if main is not None:
                    node.start(_then_stop(main(node), life.stop), "main")
                await life.stop.wait()
            trace.event(self._world.now, f"{self.name} stopped")
        except Exception as error:
            if life.started.done():
                raise
            life.started.set_exception(error)
        finally:
            self._forget(life)

    async def start_until_joined(self) -> None:
        """Start, and again as long as nobody is found to join, as a supervisor would, until it runs or crashes."""
        while self.is_down:
            try:
                await self.start()
            except JoinFailed:
                continue
            except PowerLost:
                return

    async def run(self, work: Callable[[Node], Awaitable[T]]) -> T:
        """Run something on the node's machine and wait for it: `await alice.run(lambda node: node.request(…))`.

        It is paused and slow with the machine, measures time by its clock, and is gone when it crashes: then PowerLost
        is raised here. So is whatever it raises itself.
        """
        life, node = self._running()

        async def errand() -> T:
            return await work(node)

        return await life.outcome(self._task(errand(), f"errand on {self.name}"))

    async def stop(self) -> None:
        """Leave the network in good order. Raises what the node's end raises, and PowerLost."""
        life, _ = self._running()
        life.stop.set()
        await life.outcome(life.task)

    def crash(self, *, keep_disk: bool = True) -> None:
        """Lose power; with `keep_disk` False the machine comes back empty."""
        self.machine.crash()
        self._world.trace.event(self._world.now, f"{self.name} crashed")
        if self._life is not None:
            self._life.end(self.name)
        self._life = None
        if not keep_disk:
            shutil.rmtree(self.machine.disk, ignore_errors=True)

    def unfinished(self) -> list[str]:
        """The names of the tasks on the machine that are not done; after a `stop` there should be none."""
        return self._world.loop.unfinished(self.machine.processor)

    async def restart(self) -> Node:
        """Start again after a crash or a stop."""
        return await self.start()


async def _then_stop(main: Awaitable[Any], stop: asyncio.Event) -> None:
    """As `guthi run` does: the node ends with its main function."""
    try:
        await main
    finally:
        stop.set()


class _Chronicle:
    """Puts what a node holds of others into the trace: a failure is easier to understand by it."""

    def __init__(self, world: World, machine: SimulatedMachine) -> None:
        self._world, self._machine = world, machine

    def _note(self, member: Member, verb: str) -> None:
        if self._machine.power is Power.ON:
            self._world.trace.event(self._world.now, f"{self._machine.name}: {member.name} {verb}")

    @hookimpl
    def member_suspected(self, member: Member) -> None:
        self._note(member, "is suspected")

    @hookimpl
    def member_failed(self, member: Member) -> None:
        self._note(member, "failed")

    @hookimpl
    def member_recovered(self, member: Member) -> None:
        self._note(member, "recovered")

    @hookimpl
    def member_left(self, member: Member) -> None:
        self._note(member, "left")
