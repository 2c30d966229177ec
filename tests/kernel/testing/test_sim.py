"""`guthi sim`: a table or JSON, one hash for one seed, and one line for a slip."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from guthi.cli.program import execute

CLUSTER = """
[transport]
timeout = "2s"
keepalive = "1s"

[[cluster.nodes]]
name = "alice"
listen = "127.0.0.1:6969"
zone = "attic"

[[cluster.nodes]]
name = "bob"
listen = "127.0.0.1:6970"
zone = "cellar"
"""


@pytest.fixture(autouse=True)
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("GUTHI_", "_GUTHI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    Path("cluster.toml").write_text(CLUSTER)


def outcome(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, object]:
    assert execute(["sim", "cluster.toml", "--json", *options]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_one_seed_gives_one_hash(capsys):
    options = ["--nodes", "6", "--seconds", "5s", "--loss", "5%", "--faults", "swarm", "--seed"]
    first, again, other = (outcome(capsys, *options, seed) for seed in ("1", "1", "2"))
    assert {**first, "wall_s": 0} == {**again, "wall_s": 0}
    assert first["trace"] != other["trace"]
    assert first["nodes"] == 6 and first["seconds"] == 5 and first["faults"]


def test_loss_and_latency_are_of_the_network(capsys):
    fine = outcome(capsys, "--seconds", "5s")
    lossy = outcome(capsys, "--seconds", "5s", "--loss", "40%")
    far = outcome(capsys, "--seconds", "5s", "--latency", "200ms")
    assert isinstance(fine["complete_s"], float) and isinstance(far["complete_s"], float)
    assert far["complete_s"] > fine["complete_s"] + 0.39
    assert lossy["trace"] != fine["trace"]


def test_the_table_says_what_the_issue_asks_for(capsys):
    assert execute(["sim", "cluster.toml", "--nodes", "4", "--seconds", "2s", "--faults", "1s crash bob-2"]) == 0
    text = capsys.readouterr().out
    for line in [
        "virtual seconds",
        "every node knew every node after",
        "messages a node a second",
        "bytes a node a second",
        "verdicts true, false",
        "seed",
        "trace",
        "wall seconds",
        "1s crash bob-2",
    ]:
        assert line in text


def test_faults_know_zones(capsys):
    cut = outcome(capsys, "--seconds", "3s", "--faults", "0s cut zone:attic zone:cellar")
    assert cut["complete_s"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.toml"], "nowhere.toml"),
        (["cluster.toml", "--nodes", "0"], "--nodes"),
        (["cluster.toml", "--seconds", "0s"], "--seconds"),
        (["cluster.toml", "--seconds", "soon"], "write for example 5s"),
        (["cluster.toml", "--loss", "120%"], "'120%' is not a chance; write for example 5% or 0.05"),
        (["cluster.toml", "--loss", "nan"], "is not a chance"),
        (["cluster.toml", "--latency", "-1s"], "--latency"),
        (["cluster.toml", "--seed", "one"], "--seed"),
        (["cluster.toml", "--faults", "3s crush bob"], "there is no fault 'crush'"),
        (["cluster.toml", "--faults", "3s crash carol"], "there is no node 'carol'; there are alice, bob"),
        (["cluster.toml", "--faults", "3s slow bob -1"], "seconds, 0 or more"),
    ],
)
def test_a_slip_is_told_in_one_line(capsys, arguments, message):
    assert execute(["sim", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert message in said.err
