"""`guthi logs` on real sockets, and the view of the web server."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from tests.kernel.nodes import names, until
from tests.plugins.web.network import a_client, a_web_node

import guthi
from guthi_logs import command

app = logging.getLogger("app.logs")


@pytest.fixture
def server() -> Iterator[guthi.BlockingNode]:
    """A peer that runs the plugin."""
    with guthi.connect(plugins=["logs"], name="server", role="peer") as node:
        yield node


def told(server: guthi.BlockingNode, *words: str) -> str:
    result = CliRunner().invoke(command.logs, [*words, "--join", str(server.address)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_last_lines_are_printed(server: guthi.BlockingNode) -> None:
    app.error("the oven is too hot")
    lines = [json.loads(line) for line in told(server, "--json", "--contains", "OVEN").splitlines()]
    assert [(line["node"], line["level"], line["text"]) for line in lines] == [
        ("server", "error", "the oven is too hot")
    ]
    assert "error   server app.logs: the oven is too hot" in told(server, "--level", "error", "--node", "server")


def test_where_nobody_runs_the_plugin_it_says_so() -> None:
    with guthi.connect(name="plain", role="peer") as plain, pytest.raises(guthi.UsageError, match="logs"):
        CliRunner().invoke(command.logs, ["--join", str(plain.address)], catch_exceptions=False)


def test_further_lines_are_printed_as_they_come(server: guthi.BlockingNode) -> None:
    app.error("first")
    call = [sys.executable, "-m", "guthi", "logs", "-f", "--json", "--contains", "st", "--level", "error"]
    with subprocess.Popen([*call, "--join", str(server.address)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["text"] == "first"
        app.error("and the last")
        assert json.loads(process.stdout.readline())["text"] == "and the last"
        process.terminate()


async def test_the_web_server_shows_the_lines_of_all_nodes() -> None:
    plugins = ["logs", "web"]
    async with a_web_node("alice", plugins=plugins) as alice, a_web_node("bob", alice, plugins=["logs"]) as bob:
        await until(lambda: names(alice) == {"bob"})
        async with a_client(alice) as client:
            rows = (await client.get("/api/events")).json()
            assert {row["node"] for row in rows} == {"alice", "bob"}
            assert any(row["text"].startswith("bob joined") and row["level"] == "info" for row in rows)
            assert bob.name == "bob"
            found = (await client.get("/api/events", params={"contains": "started at"})).json()
            assert {row["text"].split()[0] for row in found} == {"alice", "bob"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines", "two\n                     lines"),
        ("\x1b]0;mine\x07", "\\x1b]0;mine\\x07"),
        ("a\rb\x00\u202e", "a\\rb\\x00\\u202e"),
        ("tab\tand \u00fc", "tab\tand \u00fc"),
    ],
)
def test_no_text_steers_the_terminal_or_forges_a_line(text: str, shown: str) -> None:
    assert command.printable(text) == shown
