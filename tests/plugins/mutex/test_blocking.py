"""Locks from a plain thread, and the commands `guthi lock` and `guthi locks` as processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import guthi
from guthi_mutex import MUTEX, NoQuorum, command

GUTHI = [sys.executable, "-m", "guthi"]
PATIENCE_S = 30.0


@pytest.fixture
def server() -> Iterator[guthi.BlockingNode]:
    """A peer that runs the plugin."""
    with guthi.connect(plugins=["mutex"], name="server", role="peer") as node:
        yield node


def lock(server: guthi.BlockingNode, *words: str, options: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start `guthi lock render`."""
    call = [*GUTHI, "lock", "--join", str(server.address), *options, "render", "--", *words]
    return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


def until_held(server: guthi.BlockingNode) -> dict[str, Any]:
    """Wait until somebody has the lock, and give what the server knows of it."""
    for _ in range(int(PATIENCE_S / 0.05)):
        held = [info for info in server.require(MUTEX).locks() if info.fence is not None]
        if held:
            return {"holder": held[0].holder, "fence": held[0].fence}
        time.sleep(0.05)
    pytest.fail("nobody ever had the lock")


def test_from_a_plain_thread(server: guthi.BlockingNode) -> None:
    with guthi.connect(join=[str(server.address)], plugins=["mutex"]) as node:
        mutex = node.require(MUTEX)
        with mutex.lock("render", timeout=PATIENCE_S) as grant:
            assert grant.is_valid
            assert server.require(MUTEX).try_acquire("render", timeout=0.1) is None
        theirs = server.require(MUTEX).acquire("render", timeout=PATIENCE_S)
        assert theirs.fence > grant.fence
        with pytest.raises(guthi.DeadlineExceeded):
            mutex.acquire("render", timeout=0.1)
        server.require(MUTEX).release(theirs)
        owner = threading.get_ident()
        with mutex.lock("render", owner=owner), mutex.lock("render", owner=owner, timeout=PATIENCE_S):
            pass


def test_without_a_peer_there_is_no_quorum() -> None:
    with (
        guthi.connect(name="other", role="peer", plugins=[]) as other,
        guthi.connect(join=[str(other.address)], plugins=["mutex"]) as node,
        pytest.raises(NoQuorum, match="no node of this network runs the plugin mutex"),
    ):
        node.require(MUTEX).acquire("render", wait_for_majority=False)


@pytest.mark.system
def test_a_command_runs_under_the_lock(server: guthi.BlockingNode) -> None:
    script = "import os; print(os.environ['GUTHI_LOCK'], os.environ['GUTHI_FENCE']); raise SystemExit(7)"
    code, out, err = ended(lock(server, sys.executable, "-c", script))
    assert (code, err) == (7, "")
    name, fence = out.split()
    assert name == "render"
    assert server.require(MUTEX).acquire("render", timeout=PATIENCE_S).fence > int(fence)


@pytest.mark.system
def test_a_lock_that_is_not_to_be_had(server: guthi.BlockingNode) -> None:
    server.require(MUTEX).acquire("render")
    code, out, err = ended(lock(server, "true", options=("--timeout", "200ms")))
    assert (code, out) == (75, "")
    assert err == "guthi: the lock 'render' was not to be had within 0.2 s\n"


@pytest.mark.parametrize(("word", "code"), [("no-such-command", 127), ("/", 126)])
def test_a_command_that_cannot_be_run(server: guthi.BlockingNode, word: str, code: int) -> None:
    done = CliRunner().invoke(command.lock, ["--join", str(server.address), "render", "--", word])
    assert done.exit_code == code


def test_no_network_is_no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "JOIN_TIMEOUT_S", 0.2)
    done = CliRunner().invoke(command.lock, ["--join", "127.0.0.1:1", "render", "--", "true"])
    assert done.exit_code == 75
    assert "no answer from 127.0.0.1:1" in done.output


@pytest.mark.parametrize("words", [["--tiemout", "5s", "render", "--", "true"], ["render", "ls", "-l"]])
def test_an_option_that_there_is_not_is_no_word_of_the_command(words: list[str]) -> None:
    done = CliRunner().invoke(command.lock, words)
    assert done.exit_code == 2
    assert "No such option" in done.output


@pytest.mark.system
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_signal_is_passed_on_and_the_lock_released(server: guthi.BlockingNode) -> None:
    process = lock(server, sys.executable, "-c", "import time; print('on', flush=True); time.sleep(60)")
    assert process.stdout is not None and process.stdout.readline() == "on\n"
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 128 + signal.SIGTERM
    server.require(MUTEX).acquire("render", timeout=PATIENCE_S)


@pytest.mark.system
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_signal_ends_the_wait(server: guthi.BlockingNode) -> None:
    held = server.require(MUTEX).acquire("render")
    process = lock(server, "true")
    for _ in range(int(PATIENCE_S / 0.05)):
        if server.require(MUTEX).locks()[0].queue:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 128 + signal.SIGTERM
    server.require(MUTEX).release(held)
    server.require(MUTEX).acquire("render", timeout=PATIENCE_S)


@pytest.mark.system
@pytest.mark.parametrize(("options", "runs_on"), [((), False), (("--keep-going",), True)])
def test_a_command_whose_lock_is_lost(tmp_path: Path, options: tuple[str, ...], runs_on: bool) -> None:
    go_on, file = tmp_path / "go on", tmp_path / "done"
    script = f"""
import pathlib, time
print("on", flush=True)
while not pathlib.Path({str(go_on)!r}).exists():
    time.sleep(0.02)
pathlib.Path({str(file)!r}).touch()
"""
    with guthi.connect(plugins=["mutex"], name="server", role="peer") as server:
        process = lock(server, sys.executable, "-c", script, options=options)
        assert process.stdout is not None and process.stdout.readline() == "on\n"
    if runs_on:  # its lock has been lost: who leaves waits until its clients know
        go_on.touch()
    code, _, err = ended(process)
    assert code == 76
    assert "the lock 'render' was lost" in err
    assert file.exists() is runs_on


@pytest.mark.system
def test_locks_are_listed(server: guthi.BlockingNode) -> None:
    process = lock(server, sys.executable, "-c", "import time; time.sleep(60)")
    held = until_held(server)
    for options in ([], ["--json"]):
        done = CliRunner().invoke(command.locks, ["--join", str(server.address), *options], catch_exceptions=False)
        assert done.exit_code == 0
        if options:
            (info,) = json.loads(done.output)
            assert (info["name"], info["fence"], info["queue"]) == ("render", held["fence"], [])
            assert info["holder"].endswith(" by server")
        else:
            title, line = done.output.splitlines()
            assert title.split() == ["NAME", "HOLDER", "FENCE", "AGE", "QUEUE"]
            assert str(held["fence"]) in line.split()
    os.kill(process.pid, signal.SIGTERM)
    ended(process)
