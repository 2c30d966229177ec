"""Real processes: a killed node or worker costs a map nothing, and a node keeps its rhythm while user code burns."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import guthi
from guthi_rpc import RPC, Rpc, WorkerDied

pytestmark = pytest.mark.system

FUNCTIONS = '''
"""What the nodes of these tests run; as a program, one of the nodes."""
import asyncio, os, sys, time

def square(number):
    time.sleep(0.02)
    return number * number

def burn(seconds):
    """Pure Python, which never lets go of the processor by itself."""
    end, turns = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        turns += 1
    return turns

def fragile(number):
    if number == 3:
        os._exit(1)
    return number * 10

def where(number):
    time.sleep(0.02)
    return [number, os.getpid()]

def dies_once(marker):
    """Is killed, as by a system without memory, unless it finds that it was before."""
    if not os.path.exists(marker):
        open(marker, "w").close()
        os.kill(os.getpid(), 9)
    return "done"

def dies_and_counts(path):
    with open(path, "a") as file:
        file.write("died ")
    os.kill(os.getpid(), 9)

def unpicklable(number):
    return (lambda: None) if number == 3 else number * 10

def ping():
    return "pong"

async def main(name, address):
    import guthi, functions_of_nodes
    from guthi_rpc import RPC
    transport = {"timeout": "1500ms", "keepalive": "300ms"}
    own = {"name": name, "listen": "127.0.0.1:0", "join": [address], "plugins": ["rpc"]}
    tables = {"node": own, "transport": transport, "plugins": {"rpc": {"threads": 2, "processes": 2}}}
    async with guthi.Node(guthi.Config.from_mapping(tables, environment={})) as node:
        rpc = node.require(RPC)
        rpc.register(functions_of_nodes.square)
        rpc.register(functions_of_nodes.burn, name="burn in a thread", run="thread")
        rpc.register(functions_of_nodes.burn, name="burn in a process", run="process")
        rpc.register(functions_of_nodes.fragile, run="process")
        rpc.register(functions_of_nodes.unpicklable, run="process")
        rpc.register(functions_of_nodes.where, run="process")
        rpc.register(functions_of_nodes.dies_once, run="process")
        rpc.register(functions_of_nodes.dies_and_counts, run="process")
        rpc.register(functions_of_nodes.ping, run="inline")
        await asyncio.Event().wait()

if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
'''


class Site:
    """A node of this process, and others that are processes of their own."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._program, self._stack = folder / "functions_of_nodes.py", stack
        self._program.write_text(FUNCTIONS)
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self.node: guthi.Node
        self.rpc: Rpc

    async def begin(self) -> None:
        transport = {"timeout": "1500ms", "keepalive": "300ms"}
        own = {"name": "alice", "listen": "127.0.0.1:0", "plugins": ["rpc"]}
        config = guthi.Config.from_mapping({"node": own, "transport": transport}, environment={})
        self.node = await self._stack.enter_async_context(guthi.Node(config))
        self.rpc = self.node.require(RPC)

    async def start(self, *names: str) -> None:
        for name in names:
            program = (sys.executable, str(self._program), name, str(self.node.address))
            process = self.processes[name] = await asyncio.create_subprocess_exec(*program)
            self._stack.push_async_callback(self.kill, name)
            assert process.returncode is None
        await self.rpc.available("ping", nodes=len(names), timeout=60)

    async def kill(self, name: str) -> None:
        if self.processes[name].returncode is None:
            self.processes[name].kill()
            await self.processes[name].wait()


@asynccontextmanager
async def _site(folder: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        made = Site(folder, stack)
        await made.begin()
        yield made


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with _site(tmp_path) as made:
        yield made


async def test_the_kill_of_a_node_in_mid_map_costs_no_result(site: Site) -> None:
    await site.start("bob", "carol", "dave")
    results: list[Any] = []
    async for result in site.rpc.map("square", range(400)):
        results.append(result)
        if len(results) == 60:
            await site.kill("carol")
    assert sorted(result.index for result in results) == list(range(400))
    assert all(result.value == result.item**2 for result in results)
    assert {result.node for result in results[:60]} == {"bob", "carol", "dave"}
    assert {result.node for result in results[-50:]} == {"bob", "dave"}


async def test_the_kill_of_worker_processes_in_mid_map_costs_no_result(site: Site) -> None:
    await site.start("bob", "carol")
    results: list[Any] = []
    killed = set[int]()
    async for result in site.rpc.map("where", range(200)):
        results.append(result)
        if len(results) in (20, 60, 100):
            killed.add(result.value[1])
            os.kill(result.value[1], signal.SIGKILL)
    assert sorted(result.value[0] for result in results) == list(range(200))
    assert len(killed) == 3
    assert {result.value[1] for result in results} > killed  # others took their place


async def test_a_process_that_dies_is_told_or_replaced_as_the_caller_wishes(site: Site, tmp_path: Path) -> None:
    await site.start("bob")
    with pytest.raises(WorkerDied, match="killed by SIGKILL"):
        await site.rpc.call("dies_once", str(tmp_path / "first"))
    assert await site.rpc.options(idempotent=True).call("dies_once", str(tmp_path / "second")) == "done"


async def test_with_a_key_the_death_of_the_process_is_the_result(site: Site, tmp_path: Path) -> None:
    await site.start("bob")
    for _ in range(2):  # it would succeed the second time
        with pytest.raises(WorkerDied, match="killed by SIGKILL"):
            await site.rpc.options(key="k").call("dies_once", str(tmp_path / "first"))


async def test_a_call_that_kills_its_processes_ends_with_the_fourth(site: Site, tmp_path: Path) -> None:
    await site.start("bob")
    with pytest.raises(WorkerDied, match="killed by SIGKILL"):
        await site.rpc.options(idempotent=True).call("dies_and_counts", str(tmp_path / "deaths"))
    assert (tmp_path / "deaths").read_text() == "died " * 4


async def test_a_node_keeps_its_rhythm_while_every_pool_burns(site: Site) -> None:
    """Two threads and two processes of bob count as fast as they can; on few cores they have to share with its loop."""
    await site.start("bob")
    for style in ("thread", "process"):
        await site.rpc.call(f"burn in a {style}", 0.01)  # the pools are there
    burning = [site.rpc.submit(f"burn in a {style}", 3.0) for style in ("thread", "process") for _ in range(2)]
    await asyncio.sleep(0.3)
    delays_s: list[float] = []
    while not any(call.done() for call in burning):
        asked_at = time.perf_counter()
        assert await site.rpc.call("ping", timeout=20) == "pong"
        delays_s.append(time.perf_counter() - asked_at)
        assert site.node.member("bob").state is guthi.MemberState.ALIVE
        await asyncio.sleep(0.02)
    assert all([await call > 0 for call in burning])
    assert len(delays_s) > 5
    assert statistics.median(delays_s) < 0.5
    assert max(delays_s) < 1.5  # what the others wait before they suspect it


async def test_an_item_that_kills_its_worker_process_spoils_no_other(site: Site) -> None:
    await site.start("bob")
    run = site.rpc.map("fragile", range(8), chunk=8, errors="return")
    results = {result.item: result async for result in run}
    assert [results[item].value for item in range(8)] == [0, 10, 20, None, 40, 50, 60, 70]
    assert isinstance(results[3].error, WorkerDied)
    assert "ended with exit code 1" in str(results[3].error)
    assert run.progress.failed == 1


async def test_nor_does_one_whose_value_cannot_leave_its_process(site: Site) -> None:
    await site.start("bob")
    results = {each.item: each async for each in site.rpc.map("unpicklable", range(8), chunk=8, errors="return")}
    assert [results[item].value for item in range(8)] == [0, 10, 20, None, 40, 50, 60, 70]
    assert "pickle" in str(results[3].error)
