"""Real processes: a killed node or worker costs a map nothing, and a node keeps its rhythm while user code burns."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

import guthi
from guthi_rpc import RPC, Rpc, WorkerDied

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]  # processes begin slowly where there is other work

LONG = "50s"  # nobody is to be lost because the machine has other work
FUNCTIONS = '''
"""What the nodes of these tests run; as a program, one of the nodes."""
import asyncio, os, sys, time

def square(number, word):
    """Its square, and who computed it. Who is the first to be given a word leaves it there, and never ends."""
    if word and not os.path.exists(word):
        leave(word)
        time.sleep(600)
    time.sleep(0.02)
    return [number * number, os.getpid()]

def leave(word):
    with open(word + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.replace(word + ".new", word)

def burn(word, end):
    """Pure Python, which as good as never lets go of the processor by itself, until there is a file `end`."""
    leave(word)
    turns = 0
    while not os.path.exists(end):
        for _ in range(5_000_000):
            turns += 1
    return turns

async def rhythm(ticks):
    """How many seconds of the processor this process uses from one tick of its loop to the next."""
    used_s = []
    for _ in range(ticks):
        before_s = time.process_time()
        await asyncio.sleep(0.02)
        used_s.append(time.process_time() - before_s)
    return used_s

def fragile(number):
    if number == 3:
        os._exit(1)
    return number * 10

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

async def main(name, address, timeout):
    import guthi, functions_of_nodes
    from guthi_rpc import RPC
    transport = {"timeout": timeout, "keepalive": "300ms"}
    own = {"name": name, "listen": "127.0.0.1:0", "join": [address], "plugins": ["rpc"]}
    tables = {"node": own, "transport": transport, "plugins": {"rpc": {"threads": 2, "processes": 2}}}
    async with guthi.Node(guthi.Config.from_mapping(tables, environment={})) as node:
        rpc = node.require(RPC)
        for run in ("thread", "process"):
            rpc.register(functions_of_nodes.square, name=f"square in a {run}", run=run)
            rpc.register(functions_of_nodes.burn, name=f"burn in a {run}", run=run)
        rpc.register(functions_of_nodes.fragile, run="process")
        rpc.register(functions_of_nodes.unpicklable, run="process")
        rpc.register(functions_of_nodes.dies_once, run="process")
        rpc.register(functions_of_nodes.dies_and_counts, run="process")
        rpc.register(functions_of_nodes.rhythm)
        rpc.register(functions_of_nodes.ping, run="inline")
        await asyncio.Event().wait()

if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
'''


class Site:
    """A node of this process, and others that are processes of their own; who is silent for `timeout` is lost."""

    def __init__(self, folder: Path, timeout: str, stack: AsyncExitStack) -> None:
        self._program, self._timeout, self._stack = folder / "functions_of_nodes.py", timeout, stack
        self._program.write_text(FUNCTIONS)
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self.node: guthi.Node
        self.rpc: Rpc

    async def begin(self) -> None:
        transport = {"timeout": self._timeout, "keepalive": "300ms"}
        own = {"name": "alice", "listen": "127.0.0.1:0", "plugins": ["rpc"]}
        config = guthi.Config.from_mapping({"node": own, "transport": transport}, environment={})
        self.node = await self._stack.enter_async_context(guthi.Node(config))
        self.rpc = self.node.require(RPC)

    async def start(self, *names: str) -> None:
        for name in names:
            program = (sys.executable, str(self._program), name, str(self.node.address), self._timeout)
            process = self.processes[name] = await asyncio.create_subprocess_exec(*program)
            self._stack.push_async_callback(self.kill, name)
            assert process.returncode is None
        await self.rpc.available("ping", nodes=len(names), timeout=60)

    async def kill(self, name: str) -> None:
        if self.processes[name].returncode is None:
            self.processes[name].kill()
            await self.processes[name].wait()


@asynccontextmanager
async def _site(folder: Path, timeout: str = LONG) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        made = Site(folder, timeout, stack)
        await made.begin()
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Bob and carol, for all tests that leave them alive."""
    async with _site(tmp_path_factory.mktemp("site")) as made:
        await made.start("bob", "carol")
        yield made


shared = pytest.mark.asyncio(loop_scope="module")


async def left(word: Path) -> int:
    """The id of the process that leaves this word, as soon as it does."""
    while not word.exists():
        await asyncio.sleep(0.02)
    return int(word.read_text())


def items(count: int, words: dict[int, Path]) -> list[tuple[int, str]]:
    """For `square`, with words for some."""
    return [(number, str(words.get(number, ""))) for number in range(count)]


async def test_the_kill_of_a_node_in_mid_map_costs_no_result(tmp_path: Path) -> None:
    """It is killed while it has an item in hand, which nobody else would compute if it were not given out again."""
    async with _site(tmp_path, timeout="1500ms") as site:
        await site.start("bob", "carol", "dave")
        word = tmp_path / "word"

        async def kill() -> str:
            at_work = await left(word)
            (name,) = [name for name, process in site.processes.items() if process.pid == at_work]
            await site.kill(name)
            return name

        killing = asyncio.create_task(kill())
        run = site.rpc.map("square in a thread", items(300, {60: word}), star=True)
        results = sorted([result async for result in run], key=lambda result: result.index)
        victim = await killing
        assert [result.value[0] for result in results] == [number**2 for number in range(300)]
        assert victim in results[60].lost_on and results[60].node != victim
        assert run.progress.again > 0


@shared
async def test_the_kill_of_worker_processes_in_mid_map_costs_no_result(site: Site, tmp_path: Path) -> None:
    """Three are killed at work, of a node that has two, so others have to take their place."""
    words = {number: tmp_path / f"word{number}" for number in (20, 60, 100)}

    async def kill(word: Path) -> int:
        os.kill(at_work := await left(word), signal.SIGKILL)
        return at_work

    killing = {number: asyncio.create_task(kill(word)) for number, word in words.items()}
    run = site.rpc.map("square in a process", items(200, words), star=True, on="bob")
    results = sorted([result async for result in run], key=lambda result: result.index)
    killed = {number: await task for number, task in killing.items()}
    assert [result.value[0] for result in results] == [number**2 for number in range(200)]
    assert len(set(killed.values())) == 3
    assert all(results[number].value[1] != pid for number, pid in killed.items())


@shared
async def test_a_process_that_dies_is_told_or_replaced_as_the_caller_wishes(site: Site, tmp_path: Path) -> None:
    with pytest.raises(WorkerDied, match="killed by SIGKILL"):
        await site.rpc.call("dies_once", str(tmp_path / "first"))
    assert await site.rpc.options(idempotent=True).call("dies_once", str(tmp_path / "second")) == "done"


@shared
async def test_with_a_key_the_death_of_the_process_is_the_result(site: Site, tmp_path: Path) -> None:
    for _ in range(2):  # it would succeed the second time
        with pytest.raises(WorkerDied, match="killed by SIGKILL"):
            await site.rpc.options(key="k").call("dies_once", str(tmp_path / "first"))


@shared
async def test_a_call_that_kills_its_processes_ends_with_the_fourth(site: Site, tmp_path: Path) -> None:
    with pytest.raises(WorkerDied, match="killed by SIGKILL"):
        await site.rpc.options(idempotent=True).call("dies_and_counts", str(tmp_path / "deaths"))
    assert (tmp_path / "deaths").read_text() == "died " * 4


@shared
async def test_a_node_keeps_its_rhythm_while_every_pool_burns(site: Site, tmp_path: Path) -> None:
    """Two threads and two processes of bob count as fast as they can; on few cores they have to share with its loop.

    How late the loop is, is measured by what bob's process used of the processor meanwhile: its threads burn on as long
    as they have it, and other work on the machine does not count.
    """
    words, end = [tmp_path / f"word{number}" for number in range(4)], tmp_path / "end"
    styles = ("thread", "thread", "process", "process")
    burning = [
        site.rpc.submit(f"burn in a {style}", str(word), str(end), on="bob")
        for style, word in zip(styles, words, strict=True)
    ]
    for word in words:
        await left(word)
    for _ in range(10):
        assert await site.rpc.call("ping", on="bob") == "pong"
        assert site.node.member("bob").state is guthi.MemberState.ALIVE
    used_s = await site.rpc.call("rhythm", 50, on="bob")
    assert not any(call.done() for call in burning)
    assert statistics.median(used_s) < 0.5
    assert max(used_s) < 1.5
    end.touch()
    assert all([await call > 0 for call in burning])


@shared
async def test_an_item_that_kills_its_worker_process_spoils_no_other(site: Site) -> None:
    run = site.rpc.map("fragile", range(8), chunk=8, errors="return")
    results = {result.item: result async for result in run}
    assert [results[item].value for item in range(8)] == [0, 10, 20, None, 40, 50, 60, 70]
    assert isinstance(results[3].error, WorkerDied)
    assert "ended with exit code 1" in str(results[3].error)
    assert run.progress.failed == 1


@shared
async def test_nor_does_one_whose_value_cannot_leave_its_process(site: Site) -> None:
    results = {each.item: each async for each in site.rpc.map("unpicklable", range(8), chunk=8, errors="return")}
    assert [results[item].value for item in range(8)] == [0, 10, 20, None, 40, 50, 60, 70]
    assert "pickle" in str(results[3].error)
