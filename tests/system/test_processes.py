"""Real processes by the real command line: bad input, joining, leaving, killing. Nothing is ever left running.

Test nodes run an app that answers `echo`, and never answers `forever`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import guthi
from guthi.configuration.config import Config
from guthi.membership.members import MemberState
from guthi.security.keyring import ClusterKey

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(sys.platform == "win32", reason="processes are ended by POSIX signals"),
]

PATIENCE_S = 60.0  # for what has to happen at all; how soon, simulated worlds tell
GUTHI = [sys.executable, "-m", "guthi"]

APP = """
import asyncio
async def main(node):
    node.handle("echo", lambda incoming: incoming.value)
    node.handle("forever", lambda incoming: asyncio.Event().wait())
    await asyncio.Event().wait()
"""
TOGETHER = """
import asyncio, pathlib
async def main(node):  # goes on when all three have joined
    folder = pathlib.Path(__file__).parent
    (folder / f"{node.name}.ready").touch()
    while len(list(folder.glob("*.ready"))) < 3:
        await asyncio.sleep(0.01)
"""
NODE = """
[node]
name = "alice"
main = "app:main"
[transport]
timeout = "1s"
keepalive = "300ms"
handshake_timeout = "1s"
"""
CLUSTER = (
    NODE.replace('name = "alice"', 'listen = "127.0.0.1:0"')
    + "".join(f'[[cluster.nodes]]\nname = "{name}"\n' for name in ("alice", "bob", "carol"))
)  # fmt: skip


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie that merely waits to be counted."""
    try:
        os.kill(pid, 0)
        with suppress(FileNotFoundError):  # no Linux
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:  # it may end between the opening of that file and the reading
        return False
    return True


async def all_end(*pids: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while any(map(is_running, pids)):
            await asyncio.sleep(0.02)


class Guthi:
    """`guthi` processes that work in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[asyncio.subprocess.Process] = []
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("GUTHI_")}

    def write(self, **files: str) -> None:
        for name, text in files.items():
            (self.folder / name.replace("_", ".")).write_text(text)

    async def start(self, *arguments: object, program: Sequence[str] = GUTHI) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *program, *map(str, arguments), stdin=pipe, stdout=pipe, stderr=pipe,
            cwd=self.folder, env=self.environment, start_new_session=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    async def ready(self, *arguments: object) -> tuple[asyncio.subprocess.Process, dict[str, Any]]:
        """Start `guthi run`; returns the process and its ready line."""
        process = await self.start("run", *arguments, "--json")
        return process, json.loads(await line_of(process))

    async def up(self) -> tuple[asyncio.subprocess.Process, dict[str, tuple[str, int]]]:
        """Start `guthi up`; returns the process and its table: address and pid by name."""
        process = await self.start("up", "cluster.toml")
        assert (await line_of(process)).split() == ["NAME", "ADDRESS", "PID"]
        rows = [(await line_of(process)).split() for _ in range(3)]
        return process, {name: (address, int(pid)) for name, address, pid in rows}

    async def done(self, *arguments: object) -> tuple[int, str, str]:
        """Run to the end; returns exit code, standard output and standard error."""
        return await end_of(await self.start(*arguments))

    async def by_shell(self, script: str) -> tuple[int, str, str]:
        """As `done`, of a shell script: it can redirect and close standard streams."""
        return await end_of(await self.start("-c", script, program=["/bin/sh"]))

    async def complaint(self, *arguments: object) -> str:
        """Run something that the caller has to mend: it says so in one line, and no process is left."""
        process = await self.start(*arguments)
        code, out, err = await end_of(process)
        assert (code, out) == (2, ""), err
        assert err.startswith("guthi: error: ") and err.count("\n") == 1, err
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
        return err.removeprefix("guthi: error: ").rstrip()


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None and process.stderr is not None
    async with asyncio.timeout(PATIENCE_S):
        line = (await process.stdout.readline()).decode()
        assert line, (await process.stderr.read()).decode()
        return line


async def end_of(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate()
        return await process.wait(), out.decode(), err.decode()


@pytest.fixture
async def cli(tmp_path: Path) -> AsyncIterator[Guthi]:
    cli = Guthi(tmp_path)
    cli.write(app_py=APP, node_toml=NODE, cluster_toml=CLUSTER)
    yield cli
    for process in cli.started:
        if process.returncode is None:
            with suppress(ProcessLookupError):  # it ends just now
                os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


def a_client(*join: str, key: str | None = None) -> guthi.Node:
    security = {} if key is None else {"cluster_key": key}
    transport = {"timeout": "1s", "keepalive": "300ms", "handshake_timeout": "1s"}
    node = {"name": "test", "role": "client", "join": list(join)}
    tables = {"node": node, "transport": transport, "security": security}
    return guthi.Node(Config.from_mapping(tables, environment={}))


async def until_state(node: guthi.Node, member: guthi.Member, state: MemberState) -> None:
    """Wait until a node thinks so of a member."""
    async with asyncio.timeout(PATIENCE_S):
        while node.member(member.id).state is not state:
            await asyncio.sleep(0.005)


# ---- bad input


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('[node]\nlisen = "127.0.0.1:0"\n', 'unknown key "lisen" in [node]; did you mean "listen"?'),
        ('[node]\nplugins = ["mutx"]\n', "plugin 'mutx' is not installed; "),
        ("[node\n", "node.toml is not TOML: "),
        ('[node]\njoin = ["127.0.0.1:9"]\njoin_timeout = "100ms"\n', "no answer from 127.0.0.1:9 within 0.1 s; check "),
        ('[node]\nlisten = "0.0.0.0:0"\n', "and there is no cluster key: make one with `guthi keygen > cluster.key`"),
        ('[node]\nlisten = "0.0.0.0:0"\n[security]\ncluster_key_file = "k"\n', "make one with `guthi keygen > "),
        (
            '[node]\nlisten = "192.0.2.1:7"\n[security]\ncluster_key = "KEY"\n',
            "192.0.2.1 is no address of this machine",
        ),
        ('[node]\nmain = "nowhere:main"\n', "no module 'nowhere' in "),
        ('[node]\nmain = "app:APP"\n', "write `async def APP(node)` in "),
    ],
    ids=[
        "unknown-key",
        "unknown-plugin",
        "malformed-TOML",
        "nobody-answers",
        "open-without-a-key",
        "key-file-missing",
        "foreign-address",
        "no-such-module",
        "no-such-function",
    ],
)
async def test_bad_input_is_one_line_with_the_mend(cli: Guthi, text: str, cause: str) -> None:
    cli.write(node_toml=text.replace("KEY", ClusterKey(bytes(range(32))).text()))
    assert cause in await cli.complaint("run", "node.toml")


@pytest.mark.parametrize(
    ("call", "cause"),
    [
        ('call("multiply")', "no node has a function 'multiply'"),
        ('call("add", object())', "argument 1 of 'add': an object cannot travel; register its class"),
    ],
    ids=["unknown-function", "no-form"],
)
async def test_a_call_that_cannot_be_is_one_line_with_the_mend(cli: Guthi, call: str, cause: str) -> None:
    cli.write(
        node_toml='[node]\nmain = "app:main"\nplugins = ["rpc"]\n',
        app_py="from guthi_rpc import RPC\nasync def main(node):\n    rpc = node.require(RPC)\n"
        f"    rpc.register(lambda x: x, name='add')\n    await rpc.{call}\n",
    )
    code, _, complaint = await end_of(await cli.start("run", "node.toml", "--json"))
    assert code == 2
    assert complaint.startswith("guthi: error: ") and complaint.count("\n") == 1
    assert cause in complaint


async def test_a_busy_port(cli: Guthi) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as busy:
        busy.bind(("127.0.0.1", 0))
        port = busy.getsockname()[1]
        cause = f"cannot listen on 127.0.0.1:{port}: port {port} is taken by another process; stop it, or choose"
        assert cause in await cli.complaint("run", "node.toml", "--listen", f"127.0.0.1:{port}")
        cli.write(cluster_toml=CLUSTER + f'listen = "127.0.0.1:{port}"\n')
        message = await cli.complaint("up", "cluster.toml")
        assert message.startswith("node carol ended before it was ready (exit code 2): cannot listen on 127.0.0.1:")


async def test_another_key_is_another_network(cli: Guthi) -> None:
    keys = [ClusterKey(bytes([number] * 32)).text() for number in (1, 2)]
    cli.write(
        node_toml=f'{NODE}[security]\ncluster_key = "{keys[0]}"\n',
        other_toml=f'{NODE}[security]\ncluster_key = "{keys[1]}"\n'.replace(
            '"app:main"', '"app:main"\njoin_timeout = 1'
        ),
    )
    alice, ready = await cli.ready("node.toml")
    message = await cli.complaint("run", "other.toml", "--name", "mallory", "--join", ready["address"])
    assert message.startswith(f"no answer from {ready['address']} within 1 s; ")
    assert message.endswith("and that it has the same cluster key")
    async with a_client(ready["address"], key=keys[0]) as client:
        known = client.network.membership.snapshot()
        assert {member.name for member in known} == {"alice", "test"}
    alice.terminate()
    assert (await end_of(alice))[0] == 0


async def test_a_bug_in_the_app_shows_its_traceback(cli: Guthi) -> None:
    cli.write(app_py="async def main(node):\n    return 1 / 0\n")
    code, _, err = await cli.done("run", "node.toml")
    assert code == 1
    assert "Traceback" in err and "ZeroDivisionError" in err
    cli.write(app_py=TOGETHER + "    return 1 / 0\n")
    code, _, err = await cli.done("up", "cluster.toml")
    assert code == 1
    assert err.count("ZeroDivisionError: division by zero") == 3


async def test_a_bug_that_keeps_a_node_from_starting_shows_its_traceback(cli: Guthi) -> None:
    cli.write(app_py="import no_such_library\n")
    code, out, err = await cli.done("up", "cluster.toml")
    assert (code, out) == (2, "")
    assert "alice | Traceback" in err
    assert "guthi: error: node alice ended before it was ready (exit code 1): ModuleNotFoundError" in err


# ---- a node and its end


async def test_init_and_run_as_the_help_says(cli: Guthi) -> None:
    assert (await cli.done("init", "hello"))[0] == 0
    alice, ready = await cli.ready("hello/node.toml", "--listen", "127.0.0.1:0")
    bob, _ = await cli.ready("hello/node.toml", "--name", "bob", "--listen", "127.0.0.1:0", "--join", ready["address"])
    assert await line_of(bob) == "hello bob, this is alice\n"
    for process in (bob, alice):
        process.send_signal(signal.SIGINT)
        assert await end_of(process) == (0, "", "")


async def test_sigterm_says_goodbye(cli: Guthi) -> None:
    alice, ready = await cli.ready("node.toml")
    assert ready.items() >= {"event": "ready", "name": "alice", "pid": alice.pid}.items()
    async with a_client(ready["address"]) as client:
        member = client.member("alice")
        assert str(member.id) == ready["id"]
        assert await client.request(member, "echo", [1, 2]) == [1, 2]
        alice.terminate()
        await until_state(client, member, MemberState.LEFT)  # and not FAILED, which is for who says nothing
        assert client.members == []
        assert await end_of(alice) == (0, "", "")


async def test_a_function_that_cannot_be_interrupted_does_not_hold_the_process(cli: Guthi) -> None:
    cli.write(app_py="import asyncio, time\nasync def main(node):\n    await asyncio.to_thread(time.sleep, 600)\n")
    impatient = "import guthi.runner; guthi.runner.GRACE_S = 0.2; from guthi.cli import main; main()"
    process = await cli.start("run", "node.toml", "--json", program=[sys.executable, "-c", impatient])
    assert '"ready"' in await line_of(process)
    process.terminate()
    assert (await end_of(process))[0] == 0


@pytest.mark.parametrize(
    ("end", "code", "words"), [("raise LookupError('lost')", 1, "LookupError: lost"), ("raise SystemExit(7)", 7, "")]
)
async def test_a_busy_thread_does_not_hold_a_process_whose_app_has_failed(
    cli: Guthi, end: str, code: int, words: str
) -> None:
    cli.write(
        app_py="import asyncio, time\nasync def main(node):\n"
        "    asyncio.get_running_loop().run_in_executor(None, time.sleep, 600)\n    " + end
    )
    impatient = "import guthi.runner; guthi.runner.GRACE_S = 0.2; from guthi.cli import main; main()"
    process = await cli.start("run", "node.toml", "--json", program=[sys.executable, "-c", impatient])
    status, _, err = await end_of(process)
    assert status == code
    assert err.rstrip().endswith(words)


async def test_a_supervised_node_ends_with_its_input(cli: Guthi) -> None:
    alice, _ = await cli.ready("node.toml", "--supervised")
    assert alice.stdin is not None
    alice.stdin.close()
    assert (await end_of(alice))[0] == 0


async def test_a_supervised_node_ends_even_when_its_app_holds_the_loop(cli: Guthi) -> None:
    cli.write(app_py="import time\nasync def main(node):\n    time.sleep(600)\n")
    impatient = "import guthi.runner; guthi.runner.GRACE_S = 0.2; from guthi.cli import main; main()"
    process = await cli.start("run", "node.toml", "--supervised", program=[sys.executable, "-c", impatient])
    assert '"ready"' in await line_of(process)
    assert process.stdin is not None
    process.stdin.close()
    assert (await end_of(process))[0] == -signal.SIGKILL


async def test_a_reader_that_goes_away_is_no_error(cli: Guthi) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    for command in ("plugins", "keygen", "--help"):
        process = await asyncio.create_subprocess_exec(
            *GUTHI, command, stdout=writing, stderr=asyncio.subprocess.PIPE, cwd=cli.folder, env=cli.environment
        )
        _, err = await process.communicate()
        assert (process.returncode, err) == (0, b""), command
    os.close(writing)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="it stands for a full disk")
@pytest.mark.parametrize("command", ["plugins", "keygen", "--help", "run node.toml --json"])
async def test_a_full_disk_is_one_line(cli: Guthi, command: str) -> None:
    code, _, err = await cli.by_shell(f"exec {' '.join(GUTHI)} {command} >/dev/full")
    assert (code, err) == (2, "guthi: error: cannot write: No space left on device; make room, or write elsewhere\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="it stands for a full disk")
async def test_where_words_cannot_be_written_the_exit_code_stands(cli: Guthi) -> None:
    assert await cli.by_shell(f"exec {' '.join(GUTHI)} run node.toml 2>/dev/full") == (2, "", "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
async def test_a_process_may_lack_standard_streams(cli: Guthi, closed: str) -> None:
    cli.write(app_py="async def main(node):\n    print('done')\n")
    script = f"exec {' '.join(GUTHI)} run node.toml --json {closed}"
    code, _, err = await cli.by_shell(script)
    assert (code, err) == (0, "")


# ---- a cluster and its end


async def test_three_nodes_come_up_and_know_one_another(cli: Guthi) -> None:
    up, table = await cli.up()
    assert set(table) == {"alice", "bob", "carol"}
    code, out, err = await cli.done("nodes", "--join", table["bob"][0], "--json")
    assert (code, err) == (0, "")
    seen = {node["name"]: (node["address"], node["role"], node["state"]) for node in json.loads(out)}
    assert seen == {name: (address, "peer", "alive") for name, (address, _) in table.items()}
    up.send_signal(signal.SIGINT)
    assert await end_of(up) == (0, "", "")
    assert not any(is_running(pid) for _, pid in table.values())


async def test_killing_up_ends_its_nodes(cli: Guthi) -> None:
    up, table = await cli.up()
    up.kill()
    await all_end(*(pid for _, pid in table.values()))


async def test_up_ends_when_all_nodes_have(cli: Guthi) -> None:
    cli.write(app_py=TOGETHER + "    print('hello')\n")
    code, _, err = await cli.done("up", "cluster.toml")
    assert code == 0
    assert "bob | hello" in err
    assert err.count("has ended with exit code 0") == 3


async def test_a_killed_node_is_lost_and_the_others_go_on(cli: Guthi) -> None:
    up, table = await cli.up()
    async with a_client(table["alice"][0]) as client:
        bob = client.member("bob")
        assert await client.request(bob, "echo", "hello") == "hello"
        waiting = asyncio.create_task(client.request(bob, "forever", None))
        os.kill(table["bob"][1], signal.SIGKILL)
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(guthi.PeerLost, match="lost bob"):
                await waiting
            with pytest.raises(guthi.PeerLost, match="no answer from"):
                await client.request(bob, "echo", "are you there?")
        for name in ("alice", "carol"):
            assert await client.request(name, "echo", name) == name
    assert up.stderr is not None
    assert await up.stderr.readline() == b"guthi: node bob was killed by SIGKILL; the others go on\n"
    assert is_running(table["alice"][1]) and is_running(table["carol"][1])
    up.terminate()
    assert (await end_of(up))[0] == 1
    await all_end(*(pid for _, pid in table.values()))
