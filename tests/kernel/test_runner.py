"""What a process runs, and what ends it: the function that the configuration names, and requests to end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from guthi.configuration.config import Config
from guthi.errors import ConfigError
from guthi.node import Node
from guthi.runner import load_main, run_loop, run_node, until_asked_to_end

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Path]:
    """The file of a module that `main` may name; the import system forgets it afterwards."""
    known, path = set(sys.modules), list(sys.path)
    yield tmp_path / "an_app_of_the_test.py"
    sys.path[:] = path
    for name in set(sys.modules) - known:
        if name.startswith("an_app"):
            del sys.modules[name]


def a_config(app: Path, main: str = "an_app_of_the_test:main") -> Config:
    return Config.from_mapping({"node": {"name": "alice", "main": main}}, source=app.parent / "n.toml", environment={})


def test_main_is_found_beside_the_file(app: Path) -> None:
    app.write_text("async def main(node): return node\n")
    main = load_main(a_config(app))
    assert main is not None and main.__module__ == "an_app_of_the_test"
    assert load_main(a_config(app, "")) is None


@pytest.mark.parametrize(
    ("source", "main", "message"),
    [
        ("", "an_app_of_the_test:main", r"write `async def main\(node\)` in .*an_app_of_the_test.py"),
        ("def main(node): ...", "an_app_of_the_test:main", r"write `async def main\(node\)`"),
        ("", "an_app_elsewhere:main", r"main = \"an_app_elsewhere:main\": no module 'an_app_elsewhere' in /"),
        ("", "an_app_elsewhere.inner:main", "no module 'an_app_elsewhere'"),
    ],
)
def test_a_main_that_cannot_be_run(app: Path, source: str, main: str, message: str) -> None:
    app.write_text(source)
    with pytest.raises(ConfigError, match=message):
        load_main(a_config(app, main))


def test_what_importing_the_app_raises_is_the_apps_own(app: Path) -> None:
    app.write_text("import no_such_library\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        load_main(a_config(app))


def test_a_node_ends_when_its_main_returns(app: Path) -> None:
    app.write_text("async def main(node):\n    node.greeting = f'hello {node.name}'\n")
    seen: list[Node] = []
    run_loop(run_node(a_config(app), seen.append))
    assert vars(seen[0])["greeting"] == "hello alice"


def test_what_main_raises_is_raised(app: Path) -> None:
    app.write_text("async def main(node):\n    raise LookupError('lost')\n")
    with pytest.raises(LookupError, match="lost"):
        run_loop(run_node(a_config(app), lambda node: None))


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_work_and_lets_it_say_goodbye(number: signal.Signals) -> None:
    said: list[str] = []

    async def work() -> None:
        os.kill(os.getpid(), number)
        try:
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), number)  # impatience does not cut the goodbye short
            for _ in range(5):
                await asyncio.sleep(0.01)
            said.append("goodbye")

    assert run_loop(until_asked_to_end(work())) is True
    assert said == ["goodbye"]
    assert signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL)


@posix
async def test_what_will_not_end_is_ended_by_force_when_it_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guthi.runner.GRACE_S", 0.05)
    forced = asyncio.Event()
    monkeypatch.setattr("guthi.runner._end_by_force", forced.set)
    begun = asyncio.Event()

    async def stubborn() -> None:
        begun.set()
        while not forced.is_set():
            try:
                await forced.wait()
            except asyncio.CancelledError:
                pass

    task = asyncio.ensure_future(until_asked_to_end(stubborn()))
    await begun.wait()
    for _ in range(2):  # the second comes too early, and does nothing
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0)
    await asyncio.sleep(0.06)
    assert not forced.is_set()
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(10):
        assert await task


class Draining:
    """Work that waits to be cut short, and what is to be done before; `said` is what happened, in order."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()
        self.end = asyncio.ensure_future(until_asked_to_end(self.work(), before=self.before))

    async def work(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.said.append("cut short")

    async def before(self) -> None:
        self.said.append("drains")
        self.begun.set()
        await self.may_end.wait()
        self.said.append("drained")


async def signalled(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    await asyncio.sleep(0.01)


@posix
async def test_sigterm_lets_it_finish_what_it_does_for_others() -> None:
    draining = Draining()
    await asyncio.sleep(0)
    await signalled(signal.SIGTERM)
    await draining.begun.wait()
    assert draining.said == ["drains"]
    draining.may_end.set()
    assert await draining.end is True
    assert draining.said == ["drains", "drained", "cut short"]


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_second_request_does_not_wait_for_that(number: signal.Signals) -> None:
    draining = Draining()
    await asyncio.sleep(0)
    await signalled(signal.SIGTERM)
    await draining.begun.wait()
    await signalled(number)
    assert await draining.end is True
    assert draining.said == ["drains", "cut short"]


@posix
async def test_ctrl_c_does_without() -> None:
    draining = Draining()
    await asyncio.sleep(0)
    await signalled(signal.SIGINT)
    assert await draining.end is True
    assert draining.said == ["cut short"]


@posix
async def test_a_failure_before_the_end_is_told_and_keeps_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise LookupError("lost")

    task = asyncio.ensure_future(until_asked_to_end(asyncio.sleep(600), before=fail))
    await asyncio.sleep(0)
    await signalled(signal.SIGTERM)
    assert await task is True
    assert "before the end failed" in caplog.text


async def test_work_that_ends_by_itself() -> None:
    assert await until_asked_to_end(asyncio.sleep(0)) is False


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    task = asyncio.create_task(until_asked_to_end(asyncio.sleep(600)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
