"""`guthi keys` against nodes that run in threads of this process, each with a key file of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import guthi
from guthi.blocking import BlockingNode
from guthi.cli.program import execute
from guthi.security.keyfile import read_keys
from guthi.security.keyring import ClusterKey

OLD, NEW = ClusterKey(b"o" * 32), ClusterKey(b"n" * 32)


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BlockingNode]:
    """Two nodes, alice.key and bob.key; in the current folder there is a cluster.key for the command."""
    for name in [name for name in os.environ if name.startswith("GUTHI_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    for name in ("alice", "bob", "cluster"):
        Path(f"{name}.key").write_text(f"{OLD.text()}\n")
    with ExitStack() as stack:
        alice = stack.enter_context(node("alice"))
        stack.enter_context(node("bob", join=[alice.address]))
        Path("node.toml").write_text(
            f'[node]\njoin = ["{alice.address}"]\n[security]\ncluster_key_file = "cluster.key"\n'
        )
        yield alice


def node(name: str, **arguments: Any) -> BlockingNode:
    return guthi.connect(name=name, role="peer", plugins=(), cluster_key_file=f"{name}.key", **arguments)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> Outcome:
        return Outcome(execute(["keys", *arguments]), *capsys.readouterr())

    return run


def held(run: Run) -> dict[str, list[str]]:
    outcome = run("list", "--json")
    assert outcome.code == 0, outcome.err
    return {row["name"]: row["keys"] for row in json.loads(outcome.out)}


def both(*key_ids: str) -> dict[str, list[str]]:
    return {"alice": list(key_ids), "bob": list(key_ids)}


def in_files() -> dict[str, list[ClusterKey]]:
    return {name: read_keys(Path(f"{name}.key")) for name in ("alice", "bob", "cluster")}


@pytest.mark.usefixtures("network")
def test_a_rotation_in_three_commands(run: Run) -> None:
    assert held(run) == both(OLD.fingerprint)
    added = run("add", "--json")
    assert added.code == 0, added.err
    new = added.err.split()[1].rstrip(";")
    assert held(run) == both(OLD.fingerprint, new)
    assert run("use", new).code == 0
    assert held(run) == both(new, OLD.fingerprint)
    removed = run("remove", OLD.fingerprint)
    assert removed.code == 0, removed.err
    assert held(run) == both(new)
    assert {tuple(key.fingerprint for key in keys) for keys in in_files().values()} == {(new,)}


@pytest.mark.usefixtures("network")
def test_a_key_from_a_file_is_added_and_no_output_shows_it(run: Run) -> None:
    Path("new.key").write_text(NEW.text())
    outcomes = [run("add", "new.key"), run("list"), run("use", NEW.fingerprint)]
    assert [outcome.code for outcome in outcomes] == [0, 0, 0]
    assert set(map(tuple, in_files().values())) == {(NEW, OLD)}
    shown = "".join(outcome.out + outcome.err for outcome in outcomes)
    assert "guthi1-" not in shown and NEW.secret.hex() not in shown and NEW.fingerprint in shown


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize(
    ("arguments", "mend"),
    [
        (["use", NEW.fingerprint], "is not held by: alice, bob; add it first"),
        (["remove", OLD.fingerprint], "is in use by: alice, bob; let them use another key first"),
        (["use", "no id"], "has 8 hexadecimal digits: guthi keys list"),
        (["add", "missing.key"], "no such key file"),
        (["ad"], "did you mean 'add'"),
    ],
)
def test_what_is_refused_says_why(run: Run, arguments: list[str], mend: str) -> None:
    outcome = run(*arguments)
    assert outcome.code == 2 and mend in outcome.err
    assert set(map(tuple, in_files().values())) == {(OLD,)}


def test_without_a_cluster_key_there_is_nothing_to_rotate(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run("add", "--join", "127.0.0.1:9")
    assert outcome.code == 2 and "there is no cluster key here to rotate" in outcome.err


def test_a_command_whose_key_is_in_the_environment_makes_none(
    network: BlockingNode, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUTHI_CLUSTER_KEY", OLD.text())
    outcome = run("add", "--join", str(network.address))
    assert outcome.code == 2 and "guthi keys add new.key" in outcome.err


@pytest.mark.usefixtures("network")
def test_a_command_says_what_became_of_its_own_keys(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUTHI_CLUSTER_KEY", OLD.text())
    Path("new.key").write_text(NEW.text())
    assert run("add", "new.key").code == 0
    outcome = run("use", NEW.fingerprint)
    assert outcome.code == 0
    assert "this command's own keys" in outcome.err


@pytest.mark.usefixtures("network")
def test_a_file_that_cannot_be_written_is_told_with_its_node(run: Run, tmp_path: Path) -> None:
    Path("bob.key").unlink()
    Path("bob.key").mkdir()
    outcome = run("add")
    assert outcome.code == 2
    assert "not done on bob" in outcome.err and "bob.key" in outcome.out
    assert held(run)["bob"] == [OLD.fingerprint]
    assert len(held(run)["alice"]) == 2
