"""The blocking face: a plain thread uses a node, is interrupted, leaves early, and closes what it opened."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import guthi
from guthi import BlockingNode, Config, Plugin, Service
from guthi.blocking import _Errand

PATIENCE_S = 60.0


class Desk:
    """A service with a method of every kind. The events tell a plain thread what happens on the loop."""

    def __init__(self) -> None:
        self.started, self.stopped, self.left = threading.Event(), threading.Event(), threading.Event()
        self.limit = 3

    def count(self) -> str:
        """How many there are."""
        return threading.current_thread().name

    async def wait(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.set()

    async def numbers(self) -> AsyncIterator[int]:
        try:
            for number in range(self.limit):
                await asyncio.sleep(0)
                yield number
        finally:
            self.left.set()

    @asynccontextmanager
    async def lock(self, name: str) -> AsyncIterator[str]:
        await asyncio.sleep(0)
        try:
            yield name.upper()
        except KeyError:
            return
        finally:
            self.left.set()

    async def fail(self) -> None:
        raise LookupError("no such thing")


DESK: Service[Desk] = Service("desk")


class DeskPlugin(Plugin):
    """Provides the desk."""

    name = "desk"
    provides = (DESK,)

    async def run(self, stack: AsyncExitStack) -> None:
        self.node.provide(DESK, Desk())


def connected(*join: str, **node: Any) -> BlockingNode:
    return BlockingNode(Config.from_mapping({"node": {"join": list(join), **node}}, environment={}), [DeskPlugin])


@pytest.fixture
def node() -> Iterator[BlockingNode]:
    with connected(name="alice") as node:
        yield node


@pytest.fixture
def ctrl_c_interrupts() -> Iterator[None]:
    """As at a terminal; a process that a shell starts in the background ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_script_joins_asks_and_leaves() -> None:
    with connected(name="alice") as alice:
        alice.handle("double", lambda incoming: 2 * incoming.value)
        heard: list[Any] = []
        alice.handle("news", lambda incoming: heard.append(incoming.value))
        with guthi.connect([alice.address], plugins=[], name="script") as script:
            assert script.request("alice", "double", 21) == 42
            assert [member.name for member in script.members] == ["alice"]
            assert script.member("alice").id == alice.id
            assert alice.member("script").role is guthi.Role.CLIENT
            script.cast(alice.id, "news", "spring")
            assert script.request("alice", "double", 1, timeout_s=5) == 2
            assert heard == ["spring"]
            with pytest.raises(guthi.UnknownTopic):
                script.request("alice", "nothing", None)
        assert alice.members == []


def test_many_threads_share_a_node() -> None:
    with connected(name="alice") as alice, connected(str(alice.address), name="bob") as bob:
        alice.handle("double", lambda incoming: 2 * incoming.value)
        with ThreadPoolExecutor(8) as threads:
            doubled = list(threads.map(lambda number: bob.request("alice", "double", number), range(200)))
    assert doubled == [2 * number for number in range(200)]


def test_plain_methods_run_on_the_nodes_thread(node: BlockingNode) -> None:
    desk = node.require(DESK)
    assert desk.count() == "guthi"
    assert desk.count.__doc__ == "How many there are."
    assert desk.limit == 3
    assert "numbers" in dir(desk)
    with pytest.raises(LookupError, match="no such thing"):
        desk.fail()


def test_an_async_iterator_is_iterated(node: BlockingNode) -> None:
    desk = node.require(DESK)
    assert list(desk.numbers()) == [0, 1, 2]
    assert desk.left.is_set()


def test_an_iteration_that_is_left_early_ends(node: BlockingNode) -> None:
    desk = node.require(DESK)
    for number in desk.numbers():
        assert number == 0
        break
    assert desk._target.left.wait(PATIENCE_S)
    desk._target.left.clear()
    numbers = desk.numbers()
    next(numbers)
    numbers.close()
    assert desk._target.left.is_set()
    assert list(numbers) == []


def test_a_context_is_entered_and_left(node: BlockingNode) -> None:
    desk = node.require(DESK)
    with desk.lock("printer") as name:
        assert name == "PRINTER"

    def leave_by(error: Exception) -> None:
        with desk.lock("printer"):
            raise error

    leave_by(KeyError("the context swallows it"))
    with pytest.raises(ValueError, match="this it lets through"):
        leave_by(ValueError("this it lets through"))


@pytest.mark.skipif(sys.platform == "win32", reason="a thread cannot be sent a signal there")
@pytest.mark.parametrize("seen_by", ["the waiting thread", "another thread"])
@pytest.mark.usefixtures("ctrl_c_interrupts")
def test_ctrl_c_cancels_what_is_waited_for(node: BlockingNode, seen_by: str) -> None:
    desk = node.require(DESK)
    main = threading.main_thread().ident
    assert main == threading.get_ident()

    def interrupt() -> None:
        desk._target.started.wait(PATIENCE_S)
        signal.pthread_kill(main if seen_by == "the waiting thread" else threading.get_ident(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        desk.wait()
    thread.join()
    assert desk._target.stopped.wait(PATIENCE_S)
    assert desk.count() == "guthi"  # the node goes on


@pytest.mark.parametrize("moment", range(3))
def test_an_errand_is_cancelled_at_whatever_moment(moment: int) -> None:
    states: list[str] = []

    async def work() -> None:
        states.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            states.append("ended")

    async def scenario() -> None:
        errand = _Errand(work(), asyncio.get_running_loop())
        steps = [errand.begin, lambda: None, lambda: None]
        steps.insert(moment, errand.cancel)
        for step in steps:
            step()
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert states in ([], ["begun", "ended"])
        assert errand.outcome.cancelled() == bool(states)

    asyncio.run(scenario())


def test_a_file_and_what_stands_in_it_exclude_each_other() -> None:
    with pytest.raises(guthi.UsageError, match="stand in the TOML file"):
        guthi.connect(toml="node.toml", role="peer")


def test_closing_twice_and_using_it_afterwards() -> None:
    node = connected(name="alice")
    desk = node.require(DESK)
    node.close()
    node.close()
    with pytest.raises(guthi.NodeClosed, match="the node is closed; connect again"):
        desk.count()
    with pytest.raises(guthi.NodeClosed):
        node.request("alice", "x", None)


def test_closing_while_another_thread_waits() -> None:
    node = connected(name="alice")
    desk = node.require(DESK)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(desk.wait)
        assert desk._target.started.wait(PATIENCE_S)
        node.close()
        with pytest.raises(guthi.NodeClosed, match="closed before the answer came"):
            waiting.result(PATIENCE_S)
    assert desk._target.stopped.is_set()


def test_the_nodes_own_thread_is_not_blocked(node: BlockingNode) -> None:
    desk = node.require(DESK)
    uses: list[Any] = [
        lambda: node.members,
        lambda: node.request("alice", "x", None),
        desk.count,
        desk.wait,
        node.close,
    ]
    node.handle("use", lambda incoming: uses[incoming.value]())
    node.handle("in a thread", lambda incoming: asyncio.to_thread(desk.count))
    with connected(str(node.address), name="bob") as bob:
        for number in range(len(uses)):
            with pytest.raises(guthi.UsageError, match=r"register the function with run=.*asyncio\.to_thread"):
                bob.request("alice", "use", number, timeout_s=PATIENCE_S)
        assert bob.request("alice", "in a thread", None) == "guthi"


FORK = """
import os, sys
import guthi

node = guthi.connect(plugins=[])
child = os.fork()
if not child:
    try:
        print(node.members)
    except guthi.NodeClosed as error:
        print(error, flush=True)
    node.close()
    os._exit(0)
_, status = os.waitpid(child, 0)
print(status, node.members)
node.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no process can be forked there")
def test_a_forked_process_is_refused_and_does_not_close_the_node() -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert ran.stdout.splitlines() == [
        "this process was forked, and the node stayed in the other; connect here again",
        "0 []",
    ], ran.stderr


def test_what_cannot_start_leaves_no_thread(tmp_path: Path) -> None:
    before = {*threading.enumerate()}
    with connected(name="alice") as alice, pytest.raises(guthi.AddressUnavailable):
        guthi.connect(listen=str(alice.address), plugins=[])
    with pytest.raises(guthi.ConfigError):
        guthi.connect(listen="0.0.0.0:0", plugins=[])
    with pytest.raises(guthi.ConfigError, match="does not exist"):
        guthi.connect(toml=tmp_path / "node.toml")
    deadline = time.monotonic() + PATIENCE_S
    while any(thread.name == "guthi" for thread in {*threading.enumerate()} - before):
        assert time.monotonic() < deadline


def test_a_toml_file_says_it_all(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text('[node]\nname = "carol"\n')
    with guthi.connect(toml=tmp_path / "node.toml") as carol:
        assert carol.name == "carol"
