"""`guthi demo mandelbrot` as its users run it: a right picture, deaths that are told, and never a process left behind.

Every process that a demo starts inherits a mark in its environment, by which /proc finds it whoever its parent is.
Standard error is a terminal, so that the progress bar can be seen, and tells when the picture is half done.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from guthi_mandelbrot import View, colours, render
from guthi_mandelbrot.demo import NAMED_REGIONS

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc"),
]

PATIENCE_S = 60.0
NAMES = ["alice", "bob", "carol", "dave"]
SMALL = (200, 128, 300)  # width, height, iterations; heights of which there are 64 equal bands
SLOW = (800, 640, 5000)  # seconds of work, so that there is a middle of the picture
ENDLESS = (1600, 1200, 100_000)


def picture_of(width: int, height: int, iterations: int) -> np.ndarray:
    """The default region, computed here."""
    return colours(render(View(NAMED_REGIONS["island"].widened_to(width / height), width, height, iterations)))


@pytest.fixture(scope="module")
def slow_picture() -> np.ndarray:
    return picture_of(*SLOW)


class Demo:
    """One run of the demo in a folder of its own, with its standard error on a terminal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.screen = ""
        self._mark = f"DEMO_TEST={folder}".encode()
        self._terminal, self._end_of_process = os.openpty()
        self._news = asyncio.Event()
        self._is_over = False

    async def start(self, size: tuple[int, int, int], *options: str) -> None:
        width, height, iterations = size
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GUTHI_")}
        command = [sys.executable, "-m", "guthi", "demo", "mandelbrot", "--output", "picture.png"]
        command += ["--size", f"{width}x{height}", "--iterations", str(iterations), *options]
        self.process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=self._end_of_process,
            cwd=self.folder, env={**environment, "TERM": "xterm", "COLUMNS": "120", "DEMO_TEST": str(self.folder)},
        )  # fmt: skip
        os.close(self._end_of_process)
        asyncio.get_running_loop().add_reader(self._terminal, self._read)

    def _read(self) -> None:
        try:
            text = os.read(self._terminal, 65536).decode(errors="replace")
        except OSError:  # nobody has the other end any more
            text = ""
        if not text:
            self._is_over = True
            asyncio.get_running_loop().remove_reader(self._terminal)
        self.screen += text
        self._news.set()

    async def shows(self, pattern: str) -> None:
        """Wait until standard error has it."""
        async with asyncio.timeout(PATIENCE_S):
            while not re.search(pattern, self.screen):
                assert not self._is_over, self.screen
                self._news.clear()
                await self._news.wait()

    async def end(self) -> tuple[int, str]:
        """The exit code and standard output; in the moment of its end, no process may be left."""
        async with asyncio.timeout(PATIENCE_S):
            out, _ = await self.process.communicate()
        left = self.processes()
        assert left == {}
        return self.process.returncode, out.decode()

    def processes(self) -> dict[int, list[str]]:
        """The command line of each process that runs and has the mark, by its id."""
        found = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                with suppress(OSError):  # it has ended just now, or is another user's
                    if self._mark in (folder / "environ").read_bytes().split(b"\0"):  # a zombie's is empty
                        found[int(folder.name)] = (folder / "cmdline").read_text().rstrip("\0").split("\0")
        return found

    def pid_of(self, name: str) -> int:
        (pid,) = (pid for pid, command in self.processes().items() if ["--node", name] == command[5:7])
        return pid

    def picture(self) -> np.ndarray:
        with Image.open(self.folder / "picture.png") as image:
            return np.asarray(image)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._terminal)
        os.close(self._terminal)
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    demo = Demo(tmp_path)
    yield demo
    demo.close()


async def test_the_picture_is_right_and_nothing_is_left(demo: Demo) -> None:
    await demo.start(SMALL, "--nodes", "4")
    await demo.shows("4 nodes .*64/64")
    code, out = await demo.end()
    assert code == 0, demo.screen
    heading, *rows, all_nodes, one_node, picture = out.splitlines()
    assert heading.split() == ["node", "bands", "share", "seconds", "busy"]
    assert [row.split()[0] for row in rows] == NAMES
    assert sum(int(row.split()[1]) for row in rows) == 64
    assert re.fullmatch(r"4 nodes: \d+\.\d\d s", all_nodes)
    assert re.fullmatch(r"one node alone: \d+\.\d\d s, so \d+\.\d\d times faster", one_node)
    assert picture == "picture: picture.png"
    assert np.array_equal(demo.picture(), picture_of(*SMALL))
    assert [path.name for path in demo.folder.iterdir()] == ["picture.png"]


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        pytest.param(signal.SIGINT, "one node alone .*[^0-9][1-5]?[1-9]/64", id="SIGINT"),
        pytest.param(signal.SIGTERM, "one node alone .*[^0-9][1-5]?[1-9]/64", id="SIGTERM"),
        pytest.param(signal.SIGINT, "^", id="while-nodes-start"),
    ],
)
async def test_asked_to_end_it_stops_its_nodes(demo: Demo, number: signal.Signals, moment: str) -> None:
    await demo.start(ENDLESS)
    await demo.shows(moment)
    async with asyncio.timeout(PATIENCE_S):
        while len(demo.processes()) < 3:  # itself and two nodes
            assert demo.process.returncode is None, demo.screen
            await asyncio.sleep(0.01)
    demo.process.send_signal(number)
    assert await demo.end() == (130, "")
    assert demo.screen.rstrip().endswith("stopped before the picture was complete")
    assert "Traceback" not in demo.screen
    assert list(demo.folder.iterdir()) == []


async def test_a_node_that_is_killed_is_told_and_its_bands_are_computed_by_others(
    demo: Demo, slow_picture: np.ndarray
) -> None:
    await demo.start(SLOW, "--no-baseline", "--json")
    await demo.shows("4 nodes .*[^0-9][1-5]?[1-9]/64")
    os.kill(demo.pid_of("bob"), signal.SIGKILL)
    await demo.shows("guthi: node bob was killed by SIGKILL; the others go on")
    assert demo.process.returncode is None  # it is told at once, not in the end
    code, out = await demo.end()
    assert code == 0, demo.screen
    report = json.loads(out)
    assert {node["node"]: node["lost"] for node in report["nodes"]} == {
        **dict.fromkeys(NAMES), "bob": "was killed by SIGKILL",
    }  # fmt: skip
    assert sum(node["rows"] for node in report["nodes"]) == SLOW[1]
    busy_s = sum(node["busy_s"] for node in report["nodes"])  # it grows with what else the machine has to do
    assert report["wall_s"] < busy_s + 5  # a lost node costs the two seconds of cluster.toml, not ten
    assert np.array_equal(demo.picture(), slow_picture)


async def test_it_kills_its_own_nodes_and_starts_others_on_request(demo: Demo, slow_picture: np.ndarray) -> None:
    await demo.start(SLOW, "--no-baseline", "--bands", "32", "--kill", "2", "--late", "1", "--at", "20%", "--json")
    await demo.shows("node dave-2 was started and has joined")
    code, out = await demo.end()
    assert code == 0, demo.screen
    nodes = {node["node"]: node for node in json.loads(out)["nodes"]}
    assert [name for name, node in nodes.items() if node["lost"]] == ["bob", "carol"]
    assert nodes["dave-2"]["bands"] > 0  # whoever comes late is given work
    survivors = [nodes[name] for name in ("alice", "dave", "dave-2")]
    taken = [source for node in survivors for source in node["taken_over"]]
    assert taken and set(taken) <= {"bob", "carol"}  # what the other had in hand may not have been known yet
    assert sum(node["rows"] for node in nodes.values()) == SLOW[1]
    assert np.array_equal(demo.picture(), slow_picture)


async def test_without_the_node_of_the_baseline_there_is_a_picture_and_no_speed_up(
    demo: Demo, slow_picture: np.ndarray
) -> None:
    await demo.start(SLOW)
    await demo.shows("one node alone .*[^0-9][1-5]?[1-9]/64")
    os.kill(demo.pid_of("alice"), signal.SIGKILL)
    await demo.shows("guthi: alice was to compute the picture alone; there will be no speed-up")
    code, out = await demo.end()
    assert code == 0, demo.screen
    assert re.search(r"^ alice +0 +0\.0% +0\.00 .*was killed by SIGKILL *$", out, re.MULTILINE)
    assert re.search(r"^3 of 4 nodes: \d+\.\d\d s$", out, re.MULTILINE)
    assert "faster" not in out
    assert np.array_equal(demo.picture(), slow_picture)


async def test_without_any_node_it_ends_with_an_error_that_names_them(demo: Demo) -> None:
    await demo.start(ENDLESS, "--no-baseline", "--nodes", "2")
    await demo.shows("2 nodes .*[^0-9][1-5]?[1-9]/64")
    for name in ("alice", "bob"):
        os.kill(demo.pid_of(name), signal.SIGKILL)
    assert await demo.end() == (2, "")
    assert demo.screen.splitlines()[-1].endswith(
        "guthi: error: no node is left to compute the picture: alice was killed by SIGKILL, bob was killed by SIGKILL"
    )
