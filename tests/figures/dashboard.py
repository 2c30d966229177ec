"""What open pages cost a node: fifty nodes, ten pages, and the processor's time of the node that serves them.

    PYTHONPATH=. .venv/bin/python -m tests.figures.dashboard [NODES] [PAGES] [SECONDS]

The node is a process of its own; the others live together in a second one, the pages in a third. The figures of
docs/dashboard.md are from here.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import websockets

import guthi

PLUGINS = ["resources", "logs", "web", "dashboard"]
VIEWS = ["nodes", "links", "resources", "events"]
SETTLE_S = 5.0


class Cost(NamedTuple):
    """Per cent of one core, without pages and with them, and what the pages received."""

    alone_percent: float
    with_pages_percent: float
    bytes_s_a_page: float

    @property
    def extra_percent(self) -> float:
        """What the pages add."""
        return self.with_pages_percent - self.alone_percent


async def others(count: int, join: str) -> None:
    """The rest of the network, until standard input ends."""
    async with AsyncExitStack() as stack:
        for number in range(count):
            node = {"name": f"node{number:02}", "join": [join], "join_timeout": "30s", "plugins": PLUGINS[:2]}
            config = guthi.Config.from_mapping({"node": node}, environment={})
            await stack.enter_async_context(guthi.Node(config))
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def pages(count: int, url: str) -> None:
    """Pages that follow all, until standard input ends; then the bytes a second that each got on average.

    They are ready when each has been told of everything.
    """
    clock = asyncio.get_running_loop().time
    waited_for = {(number, view) for number in range(count) for view in VIEWS}
    all_told = asyncio.Event()
    received = 0

    async def page(number: int) -> None:
        nonlocal received
        async with websockets.connect(url) as socket:
            await socket.send(json.dumps({"watch": VIEWS}))
            async for message in socket:
                received += len(message)
                waited_for.discard((number, json.loads(message)["view"]))
                if not waited_for:
                    all_told.set()

    tasks = [asyncio.create_task(page(number)) for number in range(count)]
    await all_told.wait()
    received, ready_at = 0, clock()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    print(received / count / (clock() - ready_at), flush=True)


@contextmanager
def a_helper(*words: str) -> Iterator[subprocess.Popen[str]]:
    """This module in another process, doing what the words say."""
    call = [sys.executable, "-m", "tests.figures.dashboard", *words]
    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


async def share(process: psutil.Process, seconds: float) -> float:
    """Per cent of one core that a process uses meanwhile; where there is other work, meanwhile is longer."""
    clock = asyncio.get_running_loop().time
    before, began_at = process.cpu_times(), clock()
    await asyncio.sleep(seconds)
    after, ended_at = process.cpu_times(), clock()
    return 100 * (after.user + after.system - before.user - before.system) / (ended_at - began_at)


def url_of(address: str) -> str:
    """Where the node's live views are, as `guthi web` tells."""
    told = subprocess.run(
        [sys.executable, "-m", "guthi", "web", "--json", "--join", address], capture_output=True, text=True, check=True
    )
    rows = {row["name"]: row["url"] for row in json.loads(told.stdout)}
    return str(rows["measured"]).replace("http", "ws") + "api/live"


async def measure(nodes: int, count: int, seconds: float, settle_s: float = SETTLE_S) -> Cost:
    """A network of `nodes`, `count` pages on one of them."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "node.toml"
        file.write_text(f'[node]\nname = "measured"\nplugins = {json.dumps(PLUGINS)}\n')
        call = [sys.executable, "-m", "guthi", "run", str(file), "--supervised"]
        with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                address = json.loads(process.stdout.readline())["address"]
                with a_helper("others", str(nodes - 1), address):
                    return await _measure_pages(psutil.Process(process.pid), address, count, seconds, settle_s)
            finally:
                process.terminate()


async def _measure_pages(process: psutil.Process, address: str, count: int, seconds: float, settle_s: float) -> Cost:
    await asyncio.sleep(settle_s)
    alone = await share(process, seconds)
    with a_helper("pages", str(count), url_of(address)) as helper:
        await asyncio.sleep(settle_s)
        busy = await share(process, seconds)
        assert helper.stdin is not None and helper.stdout is not None
        helper.stdin.close()
        return Cost(alone, busy, float(helper.stdout.readline()))


def main() -> None:
    """Measure, or be one of those who are measured with."""
    match sys.argv[1:]:
        case ["others", count, join]:
            asyncio.run(others(int(count), join))
        case ["pages", count, url]:
            asyncio.run(pages(int(count), url))
        case words:
            nodes, open_pages, seconds = [*map(int, words), *(50, 10, 20)[len(words) :]]
            cost = asyncio.run(measure(nodes, open_pages, float(seconds)))
            print(f"{nodes} nodes, {open_pages} pages, {seconds} s: {cost}, extra {cost.extra_percent:.1f} % of a core")


if __name__ == "__main__":
    main()
