"""The command line in this process: what it writes where, and what becomes of errors."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import EntryPoint, version
from pathlib import Path
from typing import NamedTuple

import click
import pytest

import guthi
from guthi import plugins as plugin_module
from guthi.api import Address
from guthi.cli import client_config, print_table
from guthi.cli.nodes import _as_json, sighted
from guthi.cli.program import execute, program
from guthi.configuration.config import Config
from guthi.errors import UsageError
from guthi.membership.members import MemberState
from guthi.plugins import Plugin
from guthi.security.keyring import ClusterKey
from guthi.testing import World, simulated


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Outcome]]:
    """Runs `guthi` in an empty folder, with an environment that says nothing to it."""
    for name in [name for name in os.environ if name.startswith(("GUTHI_", "_GUTHI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*arguments: object) -> Outcome:
        code = execute([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    yield run
    sys.modules.pop("app", None)


def complaint(outcome: Outcome) -> str:
    """The one line that a mistake of the caller's ends with."""
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("guthi: error: ")
    assert outcome.err.count("\n") == 1
    return outcome.err.removeprefix("guthi: error: ").rstrip()


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The plugins that pretend to be installed: their names, and where their classes are."""
    values: dict[str, str] = {}
    monkeypatch.setattr(
        plugin_module,
        "entry_points",
        lambda group: [EntryPoint(name, value, group) for name, value in values.items()],
    )
    return values


class Tools(Plugin):
    """Brings commands that end in every way."""

    name = "tools"
    provides = (guthi.Service("tools"),)

    @classmethod
    def commands(cls) -> Sequence[click.Command]:
        ends: dict[str, BaseException] = {
            "misuse": UsageError("that cannot be;\n  do this instead"),
            "lose": guthi.PeerLost("bob", "it is far away"),
            "interrupt": KeyboardInterrupt(),
            "break": BrokenPipeError(),
            "crash": ZeroDivisionError("a bug"),
            "stop": click.exceptions.Exit(7),
        }

        def ending(error: BaseException) -> Callable[[], None]:
            def end() -> None:
                raise error

            return end

        return [click.Command(name, callback=ending(error)) for name, error in ends.items()]


class Grumpy(Plugin):
    """Has no commands to give."""

    name = "grumpy"

    @classmethod
    def commands(cls) -> Sequence[click.Command]:
        raise RuntimeError("not today")


# ---- the program


def test_alone_it_explains_itself(run: Run, installed: dict[str, str]) -> None:
    code, out, _ = run()
    assert code == 0
    assert all(name in out for name in ("demo", "init", "keygen", "nodes", "plugins", "run", "up"))
    assert run("--version") == (0, f"guthi {version('guthi')}\n", "")


@pytest.mark.parametrize("name", sorted(program.commands))
def test_every_command_has_an_example(run: Run, name: str) -> None:
    code, out, _ = run(name, "--help")
    assert code == 0
    assert f"Example:\n    guthi {name}" in out


def test_slips_are_answered_in_one_line_with_the_mend(run: Run, installed: dict[str, str]) -> None:
    assert complaint(run("rnu")) == "no command 'rnu'; did you mean 'run'? (see guthi --help)"
    assert "there are: demo, init," in complaint(run("xyz"))
    assert "'--lisen'" in complaint(run("run", "node.toml", "--lisen", "x"))
    assert "Missing argument 'FILE'" in complaint(run("up"))
    assert "write host:port, for example 127.0.0.1:6969" in complaint(run("nodes", "--join", "bob"))
    assert 'not a duration ("200ms"' in complaint(run("nodes", "--timeout", "soon"))


def test_errors_become_exit_codes(run: Run, installed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    installed["tools"] = f"{__name__}:Tools"
    assert complaint(run("misuse")) == "that cannot be; do this instead"
    assert complaint(run("lose")) == "lost bob: it is far away"
    assert run("interrupt") == (130, "", "")
    assert run("stop") == (7, "", "")
    with pytest.raises(ZeroDivisionError):
        run("crash")
    monkeypatch.setenv("GUTHI_DEBUG", "1")
    code, _, err = run("misuse")
    assert code == 2
    assert "Traceback" in err and err.endswith("guthi: error: that cannot be; do this instead\n")


def test_a_plugin_that_cannot_be_loaded_is_shown_and_harmless(run: Run, installed: dict[str, str]) -> None:
    installed.update(broken="no_such_module:Plugin", grumpy=f"{__name__}:Grumpy", tools=f"{__name__}:Tools")
    assert "misuse" in run().out
    code, out, err = run("plugins", "--json")
    problems = {row["name"]: row["problem"] for row in json.loads(out)}
    assert (code, err) == (0, "")
    assert "ModuleNotFoundError: No module named 'no_such_module'" in problems["broken"]
    assert "the commands of 'grumpy' fail: RuntimeError: not today" in problems["grumpy"]
    assert problems["tools"] == ""


def test_plugins_as_a_table(run: Run, installed: dict[str, str]) -> None:
    installed["tools"] = f"{__name__}:Tools"
    header, row = run("plugins").out.splitlines()
    assert header.split() == [
        *("NAME", "VERSION", "DISTRIBUTION", "ENABLED", "PROVIDES", "REQUIRES", "HOOKS", "PROBLEM")
    ]
    assert row.split() == ["tools", "-", "-", "-", "tools", "-", "-", "-"]


def test_a_builtin_command_imports_no_plugin(run: Run, installed: dict[str, str]) -> None:
    installed["broken"] = "no_such_module:Plugin"
    assert run("keygen").code == 0
    assert "no_such_module" not in sys.modules


# ---- init and keygen


def test_a_new_key_is_fresh_and_readable(run: Run) -> None:
    keys = [run("keygen").out for _ in range(2)]
    assert ClusterKey.parse(keys[0]) != ClusterKey.parse(keys[1])


def test_a_key_file_is_private_and_never_replaced(run: Run, tmp_path: Path) -> None:
    assert run("keygen", "--output", "k") == (0, "", "")
    file = tmp_path / "k"
    key = file.read_text()
    ClusterKey.parse(key)
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert complaint(run("keygen", "--output", "k")).startswith("k exists already")
    assert file.read_text() == key
    assert "k/deeper cannot be written" in complaint(run("keygen", "--output", "k/deeper"))


@pytest.mark.parametrize("folder", [".", "hello/world"])
def test_init_writes_a_node_that_works(run: Run, tmp_path: Path, folder: str) -> None:
    code, out, err = run("init", folder) if folder != "." else run("init")
    assert (code, out) == (0, "")
    assert "start the node: guthi run" in err
    config = Config.from_toml(tmp_path / folder / "node.toml", environment={})
    assert (config.node.listen, config.node.main) == (Address("127.0.0.1", 6969), "app:main")
    assert not config.keyring().is_open
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / folder / "cluster.key").stat().st_mode) == 0o600
    compile((tmp_path / folder / "app.py").read_text(), "app.py", "exec")


@pytest.mark.parametrize("name", ["node.toml", "cluster.key", "app.py"])
def test_init_overwrites_nothing(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    assert complaint(run("init")).startswith(f"{name} exists already")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_init_where_no_folder_can_be(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "choose another folder" in complaint(run("init", "file"))


# ---- run and up, before anything starts


def test_files_that_cannot_be_run(run: Run, tmp_path: Path) -> None:
    assert "`guthi init` writes a first node.toml" in complaint(run("run", "node.toml"))
    (tmp_path / "cluster.toml").write_text('[[cluster.nodes]]\nname = "alice"\n')
    assert "this is a cluster file; start it with `guthi up`" in complaint(run("run", "cluster.toml"))
    assert 'has no node "bob"; it has alice' in complaint(run("run", "cluster.toml", "--node", "bob"))
    (tmp_path / "node.toml").write_text("[node]\n")
    assert "there is no [[cluster.nodes]] entry" in complaint(run("up", "node.toml"))
    assert "no cluster key" in complaint(run("run", "node.toml", "--listen", "0.0.0.0:0"))
    assert "'--nodes'" in complaint(run("up", "cluster.toml", "--nodes", "0"))


def test_an_option_may_mend_the_file(run: Run, tmp_path: Path) -> None:
    """What is given on the command line counts, so the file's own address is not complained of."""
    (tmp_path / "app.py").write_text("async def main(node): print(node.name, node.address.host)\n")
    (tmp_path / "node.toml").write_text('[node]\nlisten = "0.0.0.0:6969"\nmain = "app:main"\n')
    code, out, err = run("run", "node.toml", "--listen", "127.0.0.1:0", "--name", "bob", "--json")
    ready, line = out.splitlines()
    assert (code, line, err) == (0, "bob 127.0.0.1", "")
    assert json.loads(ready).items() >= {"event": "ready", "name": "bob", "pid": os.getpid()}.items()
    code, out, err = run("run", "node.toml", "--listen", "127.0.0.1:0", "--name", "bob")
    assert (code, out) == (0, "bob 127.0.0.1\n")
    assert "sees nobody else yet; no cluster key, so for this machine only; Ctrl-C ends it" in err


# ---- demos


def a_demo(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setattr(sys.modules["guthi.cli.demo"], "entry_points", lambda group: [EntryPoint(name, value, group)])


def test_demos_are_listed_without_being_imported(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    a_demo(monkeypatch, "waves", "no_such_module:demo")
    code, out, _ = run("demo")
    assert (code, "waves" in out) == (0, True)
    assert complaint(run("demo", "wavs")).startswith("no demo 'wavs'; did you mean 'waves'?")
    assert "demo 'waves' cannot be imported: ModuleNotFoundError" in complaint(run("demo", "waves"))
    a_demo(monkeypatch, "waves", "json:loads")
    assert "which is no click command" in complaint(run("demo", "waves"))


@click.command
@click.option("--height", type=int, default=1)
def waves(height: int) -> None:
    """Make waves."""
    click.echo("~" * height)


def test_a_demo_is_run_with_its_options(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    a_demo(monkeypatch, "waves", f"{__name__}:waves")
    assert run("demo", "waves", "--height", "3") == (0, "~~~\n", "")
    assert "'--hight'" in complaint(run("demo", "waves", "--hight", "3"))


# ---- nodes


def test_the_members_of_a_network(run: Run) -> None:
    node = {"name": "alice", "zone": "lab"}
    with guthi.BlockingNode(Config.from_mapping({"node": node}, environment={})) as alice:
        code, out, err = run("nodes", "--join", alice.address, "--json")
        assert (code, err) == (0, "")
        assert json.loads(out) == [
            {
                "name": "alice", "id": str(alice.id), "address": str(alice.address), "zone": "lab", "role": "peer",
                "state": "alive", "plugins": {}, "shares_name": False, "verdict": None,
            }
        ]  # fmt: skip
        code, out, err = run("nodes", "--join", alice.address)
        header, row = out.splitlines()
        assert header.split() == ["NAME", "ID", "ADDRESS", "ZONE", "ROLE", "STATE", "PLUGINS"]
        assert row.split() == ["alice", str(alice.id), str(alice.address), "lab", "peer", "alive", "-"]
        assert alice.members == []


def test_what_is_wrong_with_whom(run: Run) -> None:
    with guthi.connect(name="bob", plugins=[]) as bob, guthi.connect(name="bob", plugins=[], join=[bob.address]):
        header, *rows = run("nodes", "--join", bob.address, "--verdicts").out.splitlines()
    assert header.split() == ["NAME", "ID", "STATE", "ACCUSER", "PATH", "EVIDENCE", "HEALTH", "CONFLICT"]
    assert [row.split("  ")[0] for row in rows] == ["bob", "bob"]
    assert all(row.endswith("others have this name") for row in rows)


@simulated
async def test_a_newcomer_sees_who_failed_before_it_came_and_why(world: World) -> None:
    for name in ("alice", "bob", "carol"):
        await world.start(name, join=["alice"] if name != "alice" else [])
    await world.until(world.is_whole)
    alice = world.nodes["alice"].node
    world.nodes["carol"].crash()
    alice.accuse(alice.member("carol"), MemberState.FAILED, path="via bob", evidence="no echo within 10 s", health=1)
    await world.sleep(2.0)
    command = (await world.start("command", join=["bob"], node={"role": "client"})).node
    others = [each for each in command.network.membership.everybody() if each.id != command.id]
    seen = [_as_json(each) for each in sighted(others, command.network.name_of)]
    assert [(each["name"], each["state"], each["verdict"]) for each in seen] == [
        ("alice", "alive", None),
        ("bob", "alive", None),
        (
            "carol",
            "failed",
            {
                "accuser": "alice",
                "accuser_id": str(alice.id),
                "path": "via bob",
                "evidence": "no echo within 10 s",
                "health": 1,
            },
        ),
    ]


def test_the_network_of_the_node_file_that_is_here(run: Run, tmp_path: Path) -> None:
    assert "--join HOST:PORT" in complaint(run("nodes"))
    with guthi.connect(name="alice", plugins=[]) as alice:
        (tmp_path / "node.toml").write_text(f'[node]\nname = "alice"\nlisten = "{alice.address}"\n')
        assert run("nodes").out.splitlines()[1].startswith("alice ")


def test_nobody_is_there(run: Run) -> None:
    message = complaint(run("nodes", "--join", "127.0.0.1:9", "--timeout", "50ms"))
    assert message.startswith("no answer from 127.0.0.1:9 within 0.05 s; check that a node runs there")


def test_a_client_takes_from_a_file_what_it_needs_to_get_in(tmp_path: Path) -> None:
    key = ClusterKey(bytes(range(32))).text()
    file = tmp_path / "node.toml"
    file.write_text(
        '[node]\nname = "alice"\nlisten = "0.0.0.0:6969"\njoin = ["10.0.0.5:6969"]\ndata_dir = "d"\nmain = "app:main"\n'
        f'plugins = ["rpc"]\n[security]\ncluster_key = "{key}"\n[plugins.rpc]\n'
    )
    config = client_config((), file, 2.0)
    node = config.node
    assert node.join == (Address("127.0.0.1", 6969), Address("10.0.0.5", 6969))
    assert (node.name, node.role, node.data_dir, node.main, node.plugins) == ("", "client", None, "", ())
    assert (node.listen, node.join_timeout) == (Address("0.0.0.0", 0), 2.0)
    assert not config.keyring().is_open
    assert client_config([Address("::1", 7)], file, 2.0, ["rpc"]).node.listen == Address("::1", 0)


def test_a_client_without_a_key_stays_on_loopback(run: Run) -> None:
    assert client_config([Address("127.0.0.1", 7)], None, 1.0).node.listen == Address("127.0.0.1", 0)
    assert "there is no cluster key" in complaint(run("nodes", "--join", "10.0.0.5:6969"))


def test_a_node_that_stands_in_its_own_list_is_asked_once(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('[node]\nlisten = "127.0.0.1:7001"\njoin = ["127.0.0.1:7001", "127.0.0.1:7002"]\n')
    assert client_config((), file, 2.0).node.join == (Address("127.0.0.1", 7001), Address("127.0.0.1", 7002))


# ---- tables


def test_a_table_in_a_pipe_is_aligned_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "zone"), [("alice", ""), ("bob-the-second", "[bold]")])
    assert capsys.readouterr().out == "NAME            ZONE\nalice           -\nbob-the-second  [bold]\n"
