"""Real child processes: they start in order, say why they cannot, and none outlives its launcher.

The child is a few lines that keep the contract of `guthi run --supervised`. It holds a connection to a witness, a
server in the test: the end of the connection is the end of the process, whatever ended it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from guthi.api import Address
from guthi.configuration.cluster import Cluster
from guthi.configuration.config import Config
from guthi.errors import ConfigError, UsageError
from guthi.launcher import Launcher, LaunchFailed, run_command

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(sys.platform == "win32", reason="the children use POSIX signals"),
]

PATIENCE_S = 60.0

CHILD = r"""
import json, os, signal, socket, subprocess, sys
witness, mode, name, *join = sys.argv[1:]
line = socket.create_connection(("127.0.0.1", int(witness)))
def say(text):
    line.sendall((text + "\n").encode())
say(" ".join([name, *join]))
def ready(port):
    address = f"{'0.0.0.0' if mode == 'wildcard' else '127.0.0.1'}:{port}"
    print("a line of the app", "[1]", '{"event": 3}', sep="\n")
    print(json.dumps({"event": "ready", "name": name, "id": "x", "address": address, "pid": os.getpid()}), flush=True)
if mode == "dies":
    print("Traceback: much of it", file=sys.stderr)
    sys.exit("error: the port is busy")
if mode == "hangs":
    line.recv(1)
if mode == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready(7)
    line.recv(1)
if mode == "parent":  # a worker that inherits all pipes, the line to the witness too
    os.set_inheritable(line.fileno(), True)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], close_fds=False)
if mode == "chatty":
    print("x" * 1_000_000, "short", sep="\n", file=sys.stderr, flush=True)
if mode == "patient":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # only its standard input can end it
else:
    signal.signal(signal.SIGTERM, lambda *_: (say("bye"), sys.exit(0)))
ready({"alice": 1001, "bob": 1002}.get(name, 1003))
sys.stdin.read()
say("bye")
"""


class Witness:
    """Knows which children live, what each was told to join, and which said goodbye."""

    def __init__(self) -> None:
        self.port = 0
        self.joins: dict[str, list[str]] = {}
        self.goodbyes: list[str] = []
        self.living = 0
        self._changed = asyncio.Event()

    async def attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name, *join = (await reader.readline()).decode().split()
        self.joins[name] = join
        self.living += 1
        self._changed.set()
        while line := await reader.readline():
            self.goodbyes.append(f"{name}: {line.decode().strip()}")
        self.living -= 1
        self._changed.set()
        writer.close()

    async def until(self, living: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.living != living:
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def attending() -> AsyncIterator[Witness]:
    witness = Witness()
    server = await asyncio.start_server(witness.attend, "127.0.0.1", 0)
    witness.port = server.sockets[0].getsockname()[1]
    async with server:
        yield witness
        await witness.until(living=0)


@pytest.fixture
async def witness() -> AsyncIterator[Witness]:
    """Every test ends with a look at whether a child is left."""
    async with attending() as witness:
        yield witness


def a_cluster(folder: Path, *names: str, **keys: str) -> Cluster:
    entries = [
        f"[[cluster.nodes]]\nname = {name!r}\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
        for name in names
    ]
    path = folder / "cluster.toml"
    path.write_text("".join(entries))
    return Cluster.from_toml(path, environment={})


def children(witness: Witness, **modes: str) -> Callable[[Config, Sequence[Address]], list[str]]:
    def command(config: Config, join: Sequence[Address]) -> list[str]:
        name = config.node.name
        mode = modes.get(name, "good")
        return [sys.executable, "-c", CHILD, str(witness.port), mode, name, *map(str, join)]

    return command


async def test_the_others_join_at_the_address_that_the_first_one_got(tmp_path: Path, witness: Witness) -> None:
    async with Launcher(command=children(witness)) as launcher:
        await launcher.start(a_cluster(tmp_path, "alice", "bob", "carol"))
        await witness.until(living=3)
        assert witness.joins == {"alice": [], "bob": ["127.0.0.1:1001"], "carol": ["127.0.0.1:1001"]}
        assert next(iter(launcher.processes)) == "alice"
        bob = launcher.processes["bob"]
        assert (bob.address, bob.returncode) == (Address("127.0.0.1", 1002), None)
        assert len({child.pid for child in launcher.processes.values()}) == 3
    assert {child.returncode for child in launcher.processes.values()} == {0}
    await witness.until(living=0)
    assert sorted(set(witness.goodbyes)) == ["alice: bye", "bob: bye", "carol: bye"]


async def test_configured_join_lists_are_kept_where_ports_are_configured(tmp_path: Path, witness: Witness) -> None:
    cluster = a_cluster(tmp_path, "alice", "bob", join='["127.0.0.1:7"]')
    first = cluster.nodes[0].with_overrides(node={"listen": "127.0.0.1:1001"})
    async with Launcher(command=children(witness)) as launcher:
        await launcher.start(Cluster((first, *cluster.nodes[1:]), cluster.source))
        await witness.until(living=2)
        assert witness.joins["bob"] == []


async def test_nodes_without_a_join_list_join_the_first_also_at_a_configured_port(
    tmp_path: Path, witness: Witness
) -> None:
    cluster = a_cluster(tmp_path, "alice", "bob")
    first = cluster.nodes[0].with_overrides(node={"listen": "127.0.0.1:1001"})
    async with Launcher(command=children(witness)) as launcher:
        await launcher.start(Cluster((first, *cluster.nodes[1:]), cluster.source))
        await witness.until(living=2)
        assert witness.joins["bob"] == ["127.0.0.1:1001"]


async def test_a_wildcard_is_joined_through_loopback(tmp_path: Path, witness: Witness) -> None:
    async with Launcher(command=children(witness, alice="wildcard")) as launcher:
        await launcher.start(a_cluster(tmp_path, "alice", "bob"))
        await witness.until(living=2)
        assert witness.joins["bob"] == ["127.0.0.1:1001"]


async def test_a_child_that_dies_before_it_is_ready_says_why(tmp_path: Path, witness: Witness) -> None:
    async with Launcher(command=children(witness, bob="dies")) as launcher:
        with pytest.raises(LaunchFailed) as caught:
            await launcher.start(a_cluster(tmp_path, "alice", "bob", "carol"))
        error = caught.value
        assert str(error) == "node bob ended before it was ready (exit code 1): error: the port is busy"
        assert (error.name, error.output) == ("bob", ("Traceback: much of it", "error: the port is busy"))
    await witness.until(living=0)


async def test_a_program_that_does_not_exist(tmp_path: Path) -> None:
    async with Launcher(command=lambda config, join: ["/nowhere/guthi"]) as launcher:
        with pytest.raises(LaunchFailed, match="node alice cannot be started"):
            await launcher.start(a_cluster(tmp_path, "alice"))


async def test_a_child_that_never_gets_ready(tmp_path: Path, witness: Witness) -> None:
    async with Launcher(command=children(witness, alice="hangs"), ready_timeout_s=0.5) as launcher:
        with pytest.raises(LaunchFailed, match=r"node alice was not ready within 0\.5 s"):
            await launcher.start(a_cluster(tmp_path, "alice"))
    assert launcher.processes["alice"].returncode == -signal.SIGTERM


async def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path, witness: Witness) -> None:
    async with Launcher(command=children(witness, alice="deaf"), grace_s=0.2) as launcher:
        await launcher.start(a_cluster(tmp_path, "alice"))
    assert launcher.processes["alice"].returncode == -signal.SIGKILL


async def test_workers_of_a_node_go_with_it(tmp_path: Path, witness: Witness) -> None:
    async with asyncio.timeout(PATIENCE_S):
        async with Launcher(command=children(witness, alice="parent", bob="parent")) as launcher:
            await launcher.start(a_cluster(tmp_path, "alice", "bob"))
            launcher.kill("bob")
            await witness.until(living=1)
        await witness.until(living=0)
    assert [child.returncode for child in launcher.processes.values()] == [0, -signal.SIGKILL]


async def test_a_killed_node_says_no_goodbye_and_can_be_started_again(tmp_path: Path, witness: Witness) -> None:
    cluster = a_cluster(tmp_path, "alice", "bob")
    async with Launcher(command=children(witness)) as launcher:
        await launcher.start(cluster)
        bob = launcher.processes["bob"]
        launcher.kill("bob")
        await bob.wait()
        await witness.until(living=1)
        assert (bob.returncode, witness.goodbyes) == (-signal.SIGKILL, [])
        launcher.kill("bob")  # a second time changes nothing
        again = await launcher.start_node(cluster.node("bob"), [Address("127.0.0.1", 9)])
        assert launcher.processes["bob"] is again
        await witness.until(living=2)
        assert (again.returncode, witness.joins["bob"]) == (None, ["127.0.0.1:9"])


async def test_what_cannot_be_started_or_killed(tmp_path: Path, witness: Witness) -> None:
    cluster = a_cluster(tmp_path, "alice")
    async with Launcher(command=children(witness)) as launcher:
        await launcher.start(cluster)
        with pytest.raises(UsageError, match='"alice" is running already'):
            await launcher.start(cluster)
        with pytest.raises(UsageError, match='no node "bob" was started; there are alice'):
            launcher.kill("bob")


@pytest.mark.parametrize(("key", "value"), [("listen", '"127.0.0.1:7"'), ("data_dir", '"same"')])
async def test_nodes_that_cannot_live_on_one_machine_are_not_started(tmp_path: Path, key: str, value: str) -> None:
    async with Launcher() as launcher:
        with pytest.raises(ConfigError, match=f"two nodes have {key} = "):
            await launcher.start(a_cluster(tmp_path, "alice", "bob", **{key: value}))
        assert launcher.processes == {}


async def test_output_is_passed_on_with_the_name_in_front(tmp_path: Path, witness: Witness) -> None:
    lines: list[str] = []
    async with Launcher(command=children(witness, alice="chatty"), echo=lines.append) as launcher:
        await launcher.start(a_cluster(tmp_path, "alice"))
    assert "alice | a line of the app" in lines
    assert "alice | short" in lines
    assert not any("ready" in line for line in lines)
    assert max(len(line) for line in launcher.processes["alice"].output) < 100_000


@pytest.mark.parametrize("mode", ["good", "hangs", "deaf"])
async def test_a_cancelled_launcher_leaves_nothing(tmp_path: Path, witness: Witness, mode: str) -> None:
    async def job() -> None:
        async with Launcher(command=children(witness, bob=mode), grace_s=0.2) as launcher:
            await launcher.start(a_cluster(tmp_path, "alice", "bob"))
            await asyncio.Event().wait()

    task = asyncio.create_task(job())
    await witness.until(living=2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await witness.until(living=0)


async def test_a_second_cancellation_kills_at_once(tmp_path: Path, witness: Witness) -> None:
    launcher = Launcher(command=children(witness, alice="deaf"), grace_s=600.0)
    await launcher.start(a_cluster(tmp_path, "alice"))
    stopping = asyncio.create_task(launcher.stop())
    await asyncio.sleep(0)  # it has asked the child, and waits
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert launcher.processes["alice"].returncode == -signal.SIGKILL


LAUNCHER = """
import asyncio, signal, sys
from pathlib import Path
from guthi.configuration.cluster import Cluster
from guthi.launcher import Launcher

def command(config, join):
    return [sys.executable, "-c", CHILD, sys.argv[1], sys.argv[2], config.node.name]

async def main():
    async with Launcher(command=command) as launcher:
        await launcher.start(Cluster.from_toml(sys.argv[3], environment={}))
        print("started", flush=True)
        await asyncio.Event().wait()

# A test run in the background (`make check &`) hands down an ignored SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)
asyncio.run(main())
"""


@asynccontextmanager
async def a_launcher_process(tmp_path: Path, witness: Witness, mode: str) -> AsyncIterator[asyncio.subprocess.Process]:
    source = a_cluster(tmp_path, "alice", "bob").source
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", f"CHILD = {CHILD!r}\n{LAUNCHER}", str(witness.port), mode, str(source),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"started\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_children_end_when_the_launcher_is_killed(tmp_path: Path, witness: Witness) -> None:
    async with a_launcher_process(tmp_path, witness, "patient") as process:
        await witness.until(living=2)
        process.kill()
        await witness.until(living=0)


async def test_ctrl_c_ends_the_launcher_which_ends_the_children(tmp_path: Path, witness: Witness) -> None:
    async with a_launcher_process(tmp_path, witness, "good") as process:
        await witness.until(living=2)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == -signal.SIGINT
        await witness.until(living=0)
    assert sorted(set(witness.goodbyes)) == ["alice: bye", "bob: bye"]


def test_the_command_of_a_real_node(tmp_path: Path) -> None:
    cluster = a_cluster(tmp_path, "alice")
    join = [Address("127.0.0.1", 5), Address("::1", 6)]
    assert run_command(cluster.nodes[0], join) == [
        sys.executable, "-m", "guthi", "run", str(tmp_path / "cluster.toml"), "--node", "alice", "--supervised",
        "--join", "127.0.0.1:5", "--join", "[::1]:6",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="comes from no file"):
        run_command(Config(), [])
