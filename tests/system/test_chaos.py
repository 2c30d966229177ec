"""A short slice of `make chaos`: three hosts, a cut and a kill under load, every checker, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.chaos.namespaces import ROOT, why_there_are_no_hosts
from tests.chaos.run import chaos
from tests.chaos.schedule import Planned

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(why_there_are_no_hosts()), reason=why_there_are_no_hosts()),
]

HOSTS = ("alice", "bob", "carol")
FAULTS = [
    Planned(2.0, 2.0, "cut", ("carol",)),
    Planned(2.0, 2.0, "loss", HOSTS, 0.1),
    Planned(5.0, 1.0, "kill", ("bob",)),
]
KILLED = """
import asyncio, sys
from pathlib import Path
from tests.chaos.cluster import Cluster

async def main():
    async with Cluster.of(Path(sys.argv[1]), ["alice"]) as cluster:
        print(cluster.hosts["alice"].pid, flush=True)
        cluster.hosts["alice"].stop()  # not even a process that stands still may be left
        await asyncio.Event().wait()

asyncio.run(main())
"""


def processes_of(folder: Path) -> list[int]:
    """Those that have the folder in their command line."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdecimal() and str(folder).encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:  # it has ended just now
            continue
    return found


async def none_is_left(folder: Path) -> None:
    async with asyncio.timeout(60):
        while processes_of(folder):
            await asyncio.sleep(0.05)


@pytest.mark.timeout(600)
async def test_a_cut_and_a_kill_break_no_promise(tmp_path: Path) -> None:
    outcome = await chaos(tmp_path, FAULTS, 8.0, 1, lambda _: None, HOSTS, calm_s=1.0)
    assert {checker: found for checker, found in outcome.violations.items() if found} == {}
    assert [each.kind for each in outcome.spells] == ["cut", "loss", "kill"]
    done = {each.work for each in outcome.entries if each.kind == "returned"}
    assert done == {"rpc", "dvar", "eventual", "mutex", "gutfs", "broadcast"}
    await none_is_left(tmp_path)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
async def test_nothing_outlives_the_harness(tmp_path: Path, number: signal.Signals) -> None:
    with (tmp_path / "log").open("wb") as log:
        harness = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED, str(tmp_path / "run"), stdout=subprocess.PIPE, stderr=log,
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    assert harness.stdout is not None
    async with asyncio.timeout(120):
        assert await harness.stdout.readline(), (tmp_path / "log").read_text()
        assert len(processes_of(tmp_path / "run")) >= 3  # the harness, the host's keeper, the node
        harness.send_signal(number)
        await harness.wait()
    await none_is_left(tmp_path / "run")
