"""`guthi top` on real sockets, and what its table says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from click.testing import CliRunner
from rich.console import Console
from tests.plugins.resources.network import CALM, GIB

import guthi
from guthi_resources import RESOURCES, command
from guthi_resources.command import Row


@pytest.fixture
def server() -> Iterator[guthi.BlockingNode]:
    """A peer that runs the plugin."""
    with guthi.connect(plugins=["resources"], name="server", role="peer") as node:
        yield node


def told(server: guthi.BlockingNode, *words: str) -> str:
    result = CliRunner().invoke(command.top, [*words, "--join", str(server.address)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_top_prints_a_table_and_json(server: guthi.BlockingNode) -> None:
    assert told(server, "--once").splitlines()[1].split()[:2] == ["server", "alive"]
    (row,) = json.loads(told(server, "--json"))
    assert row["name"] == "server" and row["memory_total_bytes"] == server.require(RESOURCES).mine().memory_total_bytes


def test_where_nobody_runs_the_plugin_it_says_so() -> None:
    with guthi.connect(name="plain", role="peer") as plain, pytest.raises(guthi.UsageError, match="resources"):
        CliRunner().invoke(command.top, ["--json", "--join", str(plain.address)], catch_exceptions=False)


def test_the_picture_has_bars() -> None:
    busy = replace(CALM, cpu_percent=93.0, memory_available_bytes=4 * GIB, received_bytes_s=1536)
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(command._picture([Row("alice", "x", "alive", busy)]))
    text = console.export_text()
    assert "███████▌  93 %" in text and "██████    75 %" in text and "1.5 KiB/s" in text
    console.file.close()


def test_rows_are_sorted() -> None:
    rows = [Row(name, name, "alive", replace(CALM, cpu_percent=share)) for name, share in (("b", 5.0), ("a", 50.0))]
    assert [row.name for row in sorted(rows, key=command.ORDERS["cpu"])] == ["a", "b"]
    assert [row.name for row in sorted(rows, key=command.ORDERS["name"])] == ["a", "b"]


def test_the_blocking_face_watches(server: guthi.BlockingNode) -> None:
    readings = server.require(RESOURCES).watch()
    assert next(readings).sample.memory_total_bytes > 0
    readings.close()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_on_a_terminal_it_goes_on_until_ctrl_c(server: guthi.BlockingNode) -> None:
    ours, theirs = os.openpty()
    call = [sys.executable, "-m", "guthi", "top", "--every", "200ms", "--join", str(server.address)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "150"}
    with subprocess.Popen(call, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        seen = ""
        while seen.count("server") < 3:  # it was drawn again and again
            seen += os.read(ours, 4096).decode(errors="replace")
        process.send_signal(signal.SIGINT)
        with suppress(OSError):  # the end of a pseudo-terminal is an error
            while os.read(ours, 4096):
                pass
    os.close(ours)
    assert process.returncode == 130
