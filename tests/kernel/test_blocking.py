"""The blocking face: a plain thread uses a node, is interrupted, leaves early, and closes what it opened."""

from __future__ import annotations

import asyncio
import signal
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

PATIENCE_S = 10.0


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
def test_ctrl_c_cancels_what_is_waited_for(node: BlockingNode) -> None:
    desk = node.require(DESK)
    main = threading.main_thread().ident
    assert main == threading.get_ident()

    def interrupt() -> None:
        desk._target.started.wait(PATIENCE_S)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        desk.wait()
    thread.join()
    assert desk._target.stopped.wait(PATIENCE_S)
    assert desk.count() == "guthi"  # the node goes on


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


def test_what_cannot_start_leaves_no_thread(tmp_path: Path) -> None:
    with connected(name="alice") as alice, pytest.raises(guthi.AddressUnavailable):
        guthi.connect(listen=str(alice.address), plugins=[])
    with pytest.raises(guthi.ConfigError):
        guthi.connect(listen="0.0.0.0:0", plugins=[])
    with pytest.raises(guthi.ConfigError, match="does not exist"):
        guthi.connect(toml=tmp_path / "node.toml")
    deadline = time.monotonic() + PATIENCE_S
    while any(thread.name == "guthi" for thread in threading.enumerate()):
        assert time.monotonic() < deadline


def test_a_toml_file_says_it_all(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text('[node]\nname = "carol"\n')
    with guthi.connect(toml=tmp_path / "node.toml") as carol:
        assert carol.name == "carol"
