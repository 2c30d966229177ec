"""What other programs do to exports is noticed: soon, once a burst, and also when the system has lost notices."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plugins.gutfs.local import local_files

from guthi.host.udp import SystemHost
from guthi_gutfs.config import ExportTable, GutfsConfig
from guthi_gutfs.disk import Disk
from guthi_gutfs.entries import Change, ChangeKind
from guthi_gutfs.exports.files import LocalFiles
from guthi_gutfs.tracking import debouncing
from guthi_gutfs.tracking.debouncing import Debouncer, Look
from guthi_gutfs.tracking.observing import Observing
from guthi_gutfs.tracking.tracker import Tracker


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 3), st.sampled_from(["/a", "/a/b", "/c", None]))))
def test_each_notice_is_looked_at_once_and_within_the_interval(notices: list[tuple[float, str | None]]) -> None:
    debouncer, now = Debouncer(1.0), 0.0
    waiting: dict[str | None, float] = {}

    def look(until: float) -> None:
        nonlocal now
        while debouncer.deadline is not None and debouncer.deadline <= until:
            now = debouncer.deadline
            assert debouncer.due(now - 0.001) is None
            look = debouncer.due(now)
            assert look is not None and look.at_all is (None in waiting)
            assert look.at_all or set(look.paths) == waiting.keys()
            assert all(now - began <= 1.0 + 1e-9 for began in waiting.values())
            waiting.clear()
        now = until

    for pause, path in notices:
        look(now + pause)
        waiting.setdefault(path, now)
        debouncer.overflowed(now) if path is None else debouncer.noticed(path, now)
    look(now + 2)
    assert not waiting and debouncer.due(now) is None


def test_too_many_paths_become_a_look_at_all() -> None:
    debouncer = Debouncer(1.0)
    for number in range(debouncing.MOST_PATHS + 1):
        debouncer.noticed(f"/{number}", 0.0)
    debouncer.noticed("/more", 0.5)
    assert debouncer.due(1.0) == Look((), at_all=True)


@asynccontextmanager
async def tracked(data: Path, **keys: Any) -> AsyncIterator[tuple[LocalFiles, list[Change]]]:
    """The files of a node, and what has changed since they were looked at for the first time."""
    disk = Disk(SystemHost(1200, 1 << 16))
    async with local_files([ExportTable(data, "/d", writable=True)], most_entries=1_000_000) as files:
        changes: list[Change] = []
        files.subscribe(changes.extend)
        tracker = Tracker(files, GutfsConfig(**keys), disk)
        work = asyncio.create_task(tracker.run())
        await asyncio.sleep(0.2)
        try:
            yield files, changes
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            disk.close()


async def until(condition: Callable[[], bool], within_s: float = 20.0) -> float:
    began = time.perf_counter()
    while not condition():
        assert time.perf_counter() - began < within_s, "it did not come"
        await asyncio.sleep(0.002)
    return time.perf_counter() - began


def told(changes: list[Change]) -> list[tuple[ChangeKind, str]]:
    return [(each.kind, each.entry.path) for each in changes]


async def test_what_the_system_tells(tmp_path: Path) -> None:
    async with tracked(tmp_path, debounce=0.05) as (_, changes):
        (tmp_path / "a").write_text("a")
        await until(lambda: (ChangeKind.CREATED, "/d/a") in told(changes))
        (tmp_path / "a").write_text("changed")
        await until(lambda: (ChangeKind.CHANGED, "/d/a") in told(changes))
        (tmp_path / "a").rename(tmp_path / "b")
        await until(lambda: (ChangeKind.MOVED, "/d/b") in told(changes))
        (tmp_path / "x" / "y").mkdir(parents=True)
        (tmp_path / "x" / "y" / "c").write_text("c")
        await until(lambda: (ChangeKind.CREATED, "/d/x/y/c") in told(changes))
        (tmp_path / "b").unlink()
        await until(lambda: (ChangeKind.DELETED, "/d/b") in told(changes))


async def test_a_burst_is_one_change(tmp_path: Path) -> None:
    async with tracked(tmp_path, debounce=0.3) as (_, changes):
        for number in range(50):
            (tmp_path / "a").write_text("x" * number)
        await until(lambda: len(changes) > 0)
        await asyncio.sleep(0.5)
        assert told(changes) == [(ChangeKind.CREATED, "/d/a")]


async def test_it_takes_about_the_debounce_interval(tmp_path: Path) -> None:
    async with tracked(tmp_path, debounce=0.05) as (_, changes):
        delays = []
        for number in range(5):
            count = len(changes)
            (tmp_path / str(number)).touch()
            delays.append(await until(lambda count=count: len(changes) > count))  # type: ignore[misc]
        assert min(delays) < 0.05 + 0.1


async def test_own_writes_are_told_once(tmp_path: Path) -> None:
    async with tracked(tmp_path, debounce=0.05) as (files, changes):
        await files.write("/d/a", b"text", writer="bob")
        await files.append("/d/a", b"text", writer="bob")
        await files.rename("/d/a", "/d/b", writer="bob")
        await asyncio.sleep(0.4)
        assert [each.entry.version.writer for each in changes] == ["bob"] * len(changes)
        assert len(changes) == 4


# It tracks a folder, and says so when it knows of what was made there last.
TRACKING = """
import asyncio, logging, sys
from pathlib import Path
from tests.plugins.gutfs.tracking.test_tracking import tracked

async def main():
    async with tracked(Path(sys.argv[1]), debounce=0.05, rescan_interval=3600.0) as (files, changes):
        print("tracks", flush=True)
        while not {f"/d/{number}" for number in range(10)} <= {each.entry.path for each in changes}:
            await asyncio.sleep(0.05)
        print("found", flush=True)

logging.basicConfig(stream=sys.stdout)
asyncio.run(main())
"""


@pytest.mark.system
@pytest.mark.skipif(sys.platform != "linux", reason="the size of the queue is that of inotify")
def test_what_the_system_lost_is_found(tmp_path: Path) -> None:
    """While the tracking process stands still, more happens than the system's queue holds; then come ten folders."""
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if most > 100_000:
        pytest.skip("the system's queue is too large to fill")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
    call = [sys.executable, "-c", TRACKING, str(tmp_path)]
    with subprocess.Popen(call, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None and process.stdout.readline() == "tracks\n"
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)  # on a busy machine its threads stop later than the signal is sent
        for _ in range(most // 2 + 100):
            os.close(os.open(tmp_path / "churn", os.O_CREAT))
            os.unlink(tmp_path / "churn")
        for number in range(10):
            (tmp_path / str(number)).mkdir()
        process.send_signal(signal.SIGCONT)
        said = process.communicate(timeout=60)[0]
    assert "overflow" in said and said.endswith("found\n")


async def test_where_the_system_cannot_tell_it_is_polled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(Observing, "start", refuse)
    async with tracked(tmp_path, poll_interval=0.05) as (_, changes):
        (tmp_path / "a").touch()
        await until(lambda: (ChangeKind.CREATED, "/d/a") in told(changes))
        assert "inotify watch limit reached" in caplog.text


async def test_polling_and_off(tmp_path: Path) -> None:
    async with tracked(tmp_path, tracking="poll", poll_interval=0.05) as (_, changes):
        (tmp_path / "a").touch()
        await until(lambda: (ChangeKind.CREATED, "/d/a") in told(changes))
    async with tracked(tmp_path, tracking="off") as (files, changes):
        (tmp_path / "b").touch()
        await asyncio.sleep(0.2)
        assert changes == []
        await files.stat("/d/b")
        assert told(changes) == [(ChangeKind.CREATED, "/d/b")]
