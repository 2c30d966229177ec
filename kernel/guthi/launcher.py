"""How the nodes of a cluster are started and stopped as processes of this machine, so that none is left behind.

The contract with the child, which is `guthi run FILE --node NAME --supervised`:

- it prints one JSON line on standard output once it has joined:
  {"event": "ready", "name": "bob", "id": "…", "address": "127.0.0.1:41234", "pid": 4711};
- it ends when its standard input closes. The launcher holds the other end, so even a launcher that is killed takes
  its nodes along;
- on SIGTERM it leaves the network and ends.

A child is asked to end (input closed, SIGTERM), and killed after a time of grace. On POSIX it leads a session of its
own: Ctrl-C in the terminal reaches the launcher alone, which then stops the nodes, and what a node has started itself
(worker processes) is killed with the node's group.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeAlias

from guthi.api import Address
from guthi.configuration.cluster import Cluster
from guthi.configuration.config import Config
from guthi.errors import ConfigError, GuthiError, UsageError

__all__ = ["Command", "LaunchFailed", "Launcher", "NodeProcess", "run_command"]

Command: TypeAlias = Callable[[Config, Sequence[Address]], list[str]]
"""Makes a child's command line out of its configuration and the addresses to join (empty: as configured)."""

Echo: TypeAlias = Callable[[str], None]

_STDIN, _STDOUT, _STDERR = range(3)
_TAIL_LINES = 40
_LINE_BYTES = 1 << 16
_LAST_WORDS_S = 1.0


class LaunchFailed(GuthiError):
    """A node did not start. `name` is the node, `output` the last lines of its standard error."""

    def __init__(self, name: str, reason: str, output: Sequence[str] = ()) -> None:
        last_line = next((line for line in reversed(output) if line.strip()), "")
        cause = last_line.strip().removeprefix("guthi: error: ")
        super().__init__(f"node {name} {reason}" + (f": {cause}" if cause else ""))
        self.name = name
        self.output = tuple(output)


def run_command(config: Config, join: Sequence[Address]) -> list[str]:
    """The command line of a real node: `guthi run FILE --node NAME --supervised`."""
    if config.source is None:
        raise UsageError(f'node "{config.node.name}" comes from no file; a process can only be started from one')
    run = [sys.executable, "-m", "guthi", "run", str(config.source), "--node", config.node.name, "--supervised"]
    return run + [word for address in join for word in ("--join", str(address))]


class NodeProcess(asyncio.SubprocessProtocol):
    """One child process, from its start to its end.

    A protocol and not asyncio's streams: their `wait` lasts until all pipes are closed, which a worker process that
    has inherited them can put off for ever.
    """

    def __init__(self, name: str, echo: Echo | None) -> None:
        self.name = name
        self.address: Address | None = None
        """Where the node listens; known when it is ready."""
        self._echo = echo
        self._transport: Any = None  # a SubprocessTransport; uvloop's is not a subclass of it
        self._settled = asyncio.Event()  # ready or ended
        self._ended = asyncio.Event()
        self._silent = asyncio.Event()  # ended, and all output has been read
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._partial = {_STDOUT: b"", _STDERR: b""}

    @property
    def pid(self) -> int:
        """The process id, which stays known after the end."""
        return int(self._transport.get_pid())

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative: the signal that ended it (POSIX)."""
        code: int | None = self._transport.get_returncode()
        return code

    @property
    def fate(self) -> str:
        """What has become of it, as the rest of a sentence that begins with its name."""
        if self.returncode is None:
            return "is running"
        if self.returncode < 0:
            return f"was killed by {signal.Signals(-self.returncode).name}"
        return f"has ended with exit code {self.returncode}"

    @property
    def output(self) -> tuple[str, ...]:
        """The last lines of its standard error."""
        return tuple(self._tail)

    async def wait(self) -> None:
        """Until it has ended; then `returncode` is known."""
        await self._ended.wait()

    async def wait_ready(self, timeout_s: float) -> Address:
        """The address on which it listens, once it has joined. Raises LaunchFailed: it ended, or took too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        if self.address is not None:
            return self.address
        if not self._ended.is_set():
            raise LaunchFailed(self.name, f"was not ready within {timeout_s:g} s", self.output)
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):
                await self._silent.wait()
        raise LaunchFailed(self.name, f"ended before it was ready (exit code {self.returncode})", self.output)

    def ask_to_end(self) -> None:
        """Close its input and send SIGTERM; on Windows, where a console program hears no signal, terminate it."""
        if not self._ended.is_set():
            self._transport.get_pipe_transport(_STDIN).close()
            with suppress(ProcessLookupError):
                if sys.platform == "win32":
                    self._transport.terminate()
                else:
                    # Not `terminate`: it polls, and so takes the exit code away from asyncio's watcher (255).
                    os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, with all that it has started."""
        if not self._ended.is_set():
            self._kill_group()

    async def reap(self) -> None:
        """Wait for the end, then release the pipes."""
        await self.wait()
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        *lines, partial = (self._partial[fd] + data).split(b"\n")
        self._partial[fd] = partial[-_LINE_BYTES:]
        for line in lines:
            self._hear(fd, line)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if self._partial.get(fd):
            self._hear(fd, self._partial.pop(fd))

    def process_exited(self) -> None:
        # Now, and never later: the system may give the number of a group that is gone to somebody else.
        self._kill_group()
        self._ended.set()
        self._settled.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._silent.set()

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):  # macOS: no permission for a group of zombies
            if sys.platform == "win32":
                self._transport.kill()
            else:
                os.killpg(self.pid, signal.SIGKILL)

    def _hear(self, fd: int, raw: bytes) -> None:
        line = raw.decode(errors="replace").rstrip()
        address = _ready_address(line) if fd == _STDOUT and self.address is None else None
        if address is not None:
            self.address = address
            self._settled.set()
            return
        if fd == _STDERR:
            self._tail.append(line)
        if self._echo is not None:
            self._echo(f"{self.name} | {line}")


class Launcher:
    """Starts the nodes of a cluster as processes, and stops them when its `async with` block is left, however.

    `command` makes the command line of a node; `echo` is given each line that a node writes, after its name.
    A node has `ready_timeout_s` to join, and `grace_s` to end when it is asked to.
    """

    def __init__(
        self,
        *,
        command: Command = run_command,
        echo: Echo | None = None,
        ready_timeout_s: float = 20.0,
        grace_s: float = 3.0,
    ) -> None:
        self.processes: dict[str, NodeProcess] = {}
        self._command = command
        self._echo = echo
        self._ready_timeout_s = ready_timeout_s
        self._grace_s = grace_s

    async def __aenter__(self) -> Launcher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self, cluster: Cluster) -> None:
        """Start the first node, then all others at once; returns when all have joined.

        When the system chooses the first node's port, or a node has no join list, it is told to join the first.
        Raises LaunchFailed, and ConfigError when two nodes cannot live on one machine.
        """
        _refuse_collisions(cluster.nodes)
        first, *others = cluster.nodes
        leader = await self.start_node(first)
        entry = (await leader.wait_ready(self._ready_timeout_s)).from_here
        try:
            async with asyncio.TaskGroup() as group:
                for config in others:
                    told = first.node.listen.port == 0 or not config.node.join
                    group.create_task(self.start_node(config, (entry, *config.node.join) if told else ()))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def start_node(self, config: Config, join: Sequence[Address] = ()) -> NodeProcess:
        """Start one node, for the first time or after it has ended; `join` goes before its own list.

        Raises LaunchFailed; UsageError when a node of that name runs.
        """
        name = config.node.name
        old = self.processes.get(name)
        if old is not None and old.returncode is None:
            raise UsageError(f'node "{name}" is running already; stop it first')
        if old is not None:
            await old.reap()
        child = self.processes[name] = await self._spawn(name, self._command(config, join))
        await child.wait_ready(self._ready_timeout_s)
        return child

    def kill(self, name: str) -> None:
        """End a node as a crash would, without a farewell. Raises UsageError when there is none of that name."""
        if name not in self.processes:
            raise UsageError(f'no node "{name}" was started; there are {", ".join(self.processes) or "none"}')
        self.processes[name].kill()

    async def stop(self) -> None:
        """End all nodes. When it returns, or is cancelled, none is left running."""
        children = list(self.processes.values())
        try:
            for child in children:
                child.ask_to_end()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._grace_s):
                    for child in children:
                        await child.wait()
        finally:
            for child in children:
                child.kill()
            for child in children:
                await child.reap()

    async def _spawn(self, name: str, command: list[str]) -> NodeProcess:
        loop = asyncio.get_running_loop()
        try:
            _, child = await loop.subprocess_exec(
                lambda: NodeProcess(name, self._echo), *command, **_apart_from_terminal()
            )
        except OSError as error:
            raise LaunchFailed(name, f"cannot be started: {error}") from error
        return child


def _apart_from_terminal() -> dict[str, Any]:
    # Ctrl-C goes to a whole foreground group; the nodes are stopped by the launcher, in order.
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _ready_address(line: str) -> Address | None:
    """The address of a ready line; None for any other line, since an app may print what it likes."""
    try:
        message = json.loads(line)
        if message["event"] == "ready":
            return Address.parse(message["address"])
    except (ValueError, TypeError, LookupError, AttributeError, ConfigError, RecursionError):
        pass
    return None


def _refuse_collisions(nodes: Sequence[Config]) -> None:
    """Nodes of several machines may share a port and a folder; those of one machine may not."""
    listens = [str(config.node.listen) for config in nodes if config.node.listen.port != 0]
    folders = [str(config.node.data_dir) for config in nodes if config.node.data_dir is not None]
    for what, values in (("listen", listens), ("data_dir", folders)):
        for value in sorted({value for value in values if values.count(value) > 1}):
            raise ConfigError(f"two nodes have {what} = {value}, which one machine cannot do; give each its own")
