"""`guthi demo whiteboard` as its users run it: three pages that are there, and nothing left when it is over."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from guthi_whiteboard.demo import demo
from guthi_whiteboard.staging import NODE_FILE, write_cluster

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

PATIENCE_S = 120.0


def test_three_nodes_a_page_each_and_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "guthi",
        "demo",
        "whiteboard",
        "--print",
        "--board",
        "Our Plans",
        "--folder",
        "net",
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GUTHI_")}
    # A shell has Ctrl-C ignored for what runs in the background, and its children inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment)
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        found = [re.fullmatch(r"(\w+)  (http://\S+)#our%20plans  \(pid (\d+)\)\n", line) for line in lines]
        assert [each and each[1] for each in found] == ["alice", "bob", "carol"], lines
        for each in found:
            assert each is not None
            with urllib.request.urlopen(each[2], timeout=PATIENCE_S) as answer:
                assert b"/whiteboard/page/app.js" in answer.read()
        nodes = [psutil.Process(int(each[3])) for each in found if each is not None]
        process.stdout.readline()  # what to do
        nodes[2].kill()
        assert process.stdout.readline() == "carol was killed by SIGKILL; the others go on\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
        assert not any(node.is_running() and node.status() != psutil.STATUS_ZOMBIE for node in nodes)
    finally:
        process.kill()
        process.wait()
        process.stdout.close() if process.stdout is not None else None
    assert sorted(each.name for each in (tmp_path / "net").glob("*.toml")) == ["alice.toml", "bob.toml", "carol.toml"]


def test_a_bad_board_is_refused_before_anything_starts(tmp_path: Path) -> None:
    outcome = CliRunner().invoke(demo, ["--board", "../x", "--folder", str(tmp_path / "net")])
    assert outcome.exit_code == 2 and "a board's name is" in outcome.output
    assert not (tmp_path / "net").exists()


def test_what_is_in_a_folder_is_used_as_it_is(tmp_path: Path) -> None:
    mine = NODE_FILE.format(name="alice").replace("timeout = ", "handshake_timeout = ")
    (tmp_path / "alice.toml").write_text(mine)
    cluster = write_cluster(tmp_path, 2)
    assert [each.node.name for each in cluster.nodes] == ["alice", "bob"]
    assert (tmp_path / "alice.toml").read_text() == mine
    assert cluster.nodes[0].transport.handshake_timeout == 2.0
