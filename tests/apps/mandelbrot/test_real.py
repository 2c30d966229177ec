"""Real processes: the one that began the picture is killed, another finishes it, and this one watches it fill."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from guthi import Config, Node, PeerLost
from guthi.api import Address
from guthi_mandelbrot import EscapeTimes, View, colours, render, spectator
from guthi_mandelbrot.canvas import Canvas
from guthi_mandelbrot.demo import NAMED_REGIONS
from guthi_mandelbrot.job import view_numbers
from guthi_mandelbrot.painting import BEGIN
from guthi_mandelbrot.spectator import spectate
from guthi_rpc import RPC

VIEW = View(NAMED_REGIONS["seahorse"].widened_to(4 / 3), 640, 480, 3000)


async def demo(output: Path, *options: str) -> Process:
    size = ["--size", f"{VIEW.width}x{VIEW.height}", "--iterations", str(VIEW.iterations), "--region", "seahorse"]
    command = ["-m", "guthi", "demo", "mandelbrot", "--no-baseline", "--json", *size, "--output", str(output), *options]
    return await asyncio.create_subprocess_exec(sys.executable, *command, stdout=PIPE, stderr=PIPE)


async def address_to_watch(process: Process) -> Address:
    assert process.stderr is not None
    while line := (await process.stderr.readline()).decode():
        if "--watch" in line:
            return Address.parse(line.split()[-1])
    raise AssertionError("the demo has not said how it can be watched")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.timeout(120)
async def test_the_initiator_is_killed_and_another_finishes_while_this_process_watches(tmp_path: Path) -> None:
    output = tmp_path / "picture.png"
    process = await demo(output, "--nodes", "3", "--bands", "40", "--kill-initiator", "--at", "20%")
    try:
        seen = await spectate(await address_to_watch(process))
        told, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    assert np.array_equal(seen, render(VIEW))
    with Image.open(output) as image:
        assert np.array_equal(np.asarray(image), colours(render(VIEW)))
    report = json.loads(told)
    assert report["leaders"][0] == "alice"
    assert set(report["leaders"][1:]) & {"bob", "carol"}
    assert {node["node"]: node["lost"] for node in report["nodes"]} == {
        "alice": "was killed by SIGKILL",
        "bob": None,
        "carol": None,
    }
    rows = {node["node"]: node["rows"] for node in report["nodes"]}
    assert rows["bob"] + rows["carol"] > rows["alice"]


async def test_who_watches_is_told_when_nobody_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    is_seeing, filled = asyncio.Event(), spectator.filled

    async def filled_and_told(canvas: Canvas) -> EscapeTimes:
        is_seeing.set()
        return await filled(canvas)

    monkeypatch.setattr(spectator, "filled", filled_and_told)
    settings = {"node": {"name": "alice", "plugins": ["rpc", "dvar", "mandelbrot"]}}
    alice = Node(Config.from_mapping(settings, environment={}))
    async with alice:
        view = View(VIEW.region, 640, 480, 100_000)  # no time is enough for it here
        await alice.require(RPC).call(BEGIN, "p", *view_numbers(view), 400)
        watching = asyncio.create_task(spectate(alice.address))
        await is_seeing.wait()
    with pytest.raises(PeerLost, match="before the picture was whole"):
        await watching
