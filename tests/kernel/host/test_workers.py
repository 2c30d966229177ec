"""Worker processes: each dies alone and with a reason, can be ended in the middle of a call, and outlives no node."""

from __future__ import annotations

import functools
import importlib
import operator
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import pytest

from guthi.errors import NotEncodable, UsageError
from guthi.host.workers import ProcessWorkers, WorkerLost, report

WAIT_S = 60.0


@pytest.fixture
def workers() -> Iterator[ProcessWorkers]:
    made = ProcessWorkers("test", 1)
    yield made
    made.shutdown()


def submit(workers: ProcessWorkers, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
    return workers.submit(functools.partial(function, *arguments), lambda _: None)


def run(workers: ProcessWorkers, function: Callable[..., Any], *arguments: Any) -> Any:
    return submit(workers, function, *arguments).result(WAIT_S)


FUNCTIONS = """
import os, threading
from contextvars import copy_context
from guthi.host.workers import report

def report_all(values):
    for value in values:
        report(value)
    return len(values)

def report_from_a_thread(value):
    thread = threading.Thread(target=copy_context().run, args=(report, value))  # else it would not know of the call
    thread.start()
    thread.join()

class Stubborn(Exception):  # pickle cannot make it again
    def __init__(self, left, right):
        super().__init__(f"{left} and {right}")

def raise_stubborn():
    raise Stubborn(1, 2)

class Strange:  # can be pickled, but not unpickled elsewhere
    def __reduce__(self):
        return made_in, (os.getpid(),)

def made_in(pid):
    if os.getpid() != pid:
        raise RuntimeError("made elsewhere")

class NeverMade:  # can be pickled, but never unpickled
    def __reduce__(self):
        return never, ()

def never():
    raise LookupError("no way in")

def make_unpicklable():
    return lambda: None
"""


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module that worker processes can import, as they cannot a test."""
    (tmp_path / "functions_for_workers.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("functions_for_workers")
    del sys.modules["functions_for_workers"]


def test_a_process_serves_one_call_after_the_other(workers: ProcessWorkers) -> None:
    pids = {run(workers, os.getpid) for _ in range(3)}
    assert len(pids) == 1 and os.getpid() not in pids
    with pytest.raises(ZeroDivisionError):
        run(workers, operator.truediv, 1, 0)
    assert run(workers, os.getpid) in pids


def test_there_are_as_many_processes_as_are_needed_and_no_more() -> None:
    workers = ProcessWorkers("test", 2)
    try:
        assert len({run(workers, os.getpid) for _ in range(4)}) == 1
        first, second = submit(workers, time.sleep, 1), submit(workers, os.getpid)
        assert second.result(WAIT_S) != os.getpid()
        first.result(WAIT_S)
        assert len({each.result(WAIT_S) for each in [submit(workers, os.getpid) for _ in range(20)]}) <= 2
    finally:
        workers.shutdown()


def test_reports_come_in_order_and_before_the_value(workers: ProcessWorkers, functions: Any) -> None:
    heard: list[Any] = []
    assert workers.submit(functools.partial(functions.report_all, [1, "two", None]), heard.append).result(WAIT_S) == 3
    assert heard == [1, "two", None]
    workers.submit(functools.partial(functions.report_from_a_thread, "thread"), heard.append).result(WAIT_S)
    assert heard[3:] == ["thread"]


def test_outside_a_worker_there_is_nobody_to_report_to() -> None:
    with pytest.raises(UsageError, match="does not run in a worker process"):
        report(1)


def test_kill_9_is_told_and_the_process_replaced(workers: ProcessWorkers) -> None:
    pid = run(workers, os.getpid)
    with pytest.raises(WorkerLost, match="it was killed by SIGKILL, most often by the system when memory runs out"):
        run(workers, os.kill, pid, signal.SIGKILL)
    with pytest.raises(WorkerLost, match=r"ended with exit code 3: the function called os\._exit"):
        run(workers, os._exit, 3)
    assert run(workers, os.getpid) not in (pid, os.getpid())


def test_one_that_dies_idle_is_replaced_unnoticed(workers: ProcessWorkers) -> None:
    pid = run(workers, os.getpid)
    os.kill(pid, signal.SIGKILL)
    _until(lambda: not _is_running(pid))
    assert run(workers, os.getpid) != pid


def test_cancelling_ends_the_process_and_no_other_call(workers: ProcessWorkers) -> None:
    pid = run(workers, os.getpid)
    busy, waiting = submit(workers, time.sleep, 60), submit(workers, abs, -7)
    time.sleep(0.1)
    assert busy.cancel()
    _until(lambda: not _is_running(pid))
    assert waiting.result(WAIT_S) == 7
    assert run(workers, os.getpid) != pid


def test_a_call_that_is_cancelled_as_it_ends_takes_no_other_with_it(workers: ProcessWorkers) -> None:
    """Whether the value or the cancelling comes first, the next call has a process of its own or a live one."""
    run(workers, abs, 1)
    for pause_s in (0.0, 0.0002, 0.0005, 0.001):
        ending, following = submit(workers, abs, -1), submit(workers, abs, -2)
        time.sleep(pause_s)
        ending.cancel()
        assert following.result(WAIT_S) == 2


def test_one_that_is_cancelled_before_its_turn_is_never_run(workers: ProcessWorkers, functions: Any) -> None:
    heard: list[Any] = []
    busy = submit(workers, time.sleep, 0.5)
    queued = workers.submit(functools.partial(functions.report_all, [1]), heard.append)
    assert queued.cancel()
    busy.result(WAIT_S)
    assert run(workers, abs, -1) == 1
    assert heard == []


def test_what_cannot_be_pickled_is_the_callers_to_see(workers: ProcessWorkers, functions: Any) -> None:
    pid = run(workers, os.getpid)
    with pytest.raises(NotEncodable, match=r"cannot go to a worker process: .*pickle.*; it has to stand at the top"):
        workers.submit(lambda: 1, lambda _: None).result(WAIT_S)
    with pytest.raises(NotEncodable, match=r"its result cannot leave its worker process: .*pickle.*; return"):
        run(workers, functions.make_unpicklable)
    with pytest.raises(NotEncodable, match=r"a worker process cannot make it again: no way in; it has to stand at the"):
        run(workers, abs, functions.NeverMade())
    with pytest.raises(RuntimeError, match="Stubborn: 1 and 2"):
        run(workers, functions.raise_stubborn)
    with pytest.raises(RuntimeError, match="made elsewhere"):
        run(workers, functions.Strange)
    assert run(workers, os.getpid) == pid  # none of them cost the process


def test_a_result_may_be_large(workers: ProcessWorkers) -> None:
    assert len(run(workers, bytes, 50_000_000)) == 50_000_000


def test_shutdown_ends_what_runs_and_cancels_what_waits(workers: ProcessWorkers) -> None:
    pid = run(workers, os.getpid)
    busy, waiting = submit(workers, time.sleep, 60), submit(workers, abs, -1)
    time.sleep(0.1)
    started_at = time.monotonic()
    workers.shutdown()
    assert time.monotonic() - started_at < 1
    with pytest.raises(CancelledError):
        waiting.result(WAIT_S)
    with pytest.raises(WorkerLost):
        busy.result(WAIT_S)
    _until(lambda: not _is_running(pid))
    with pytest.raises(RuntimeError, match="after shutdown"):
        submit(workers, abs, -1)
    workers.shutdown()


NODE = """
import functools, os, time
from guthi.host.workers import ProcessWorkers
if __name__ == "__main__":
    workers = ProcessWorkers("node", 2)
    print(workers.submit(os.getpid, print).result(), flush=True)
    workers.submit(functools.partial(time.sleep, 600), print)
    time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_do_not_outlive_their_node_whatever_ends_it(how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", NODE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as node:
        assert node.stdout is not None
        pid = int(node.stdout.readline())
        assert _is_running(pid)
        node.send_signal(how)
        node.wait(WAIT_S)
        _until(lambda: not _is_running(pid))


def _until(condition: Callable[[], bool]) -> None:
    for _ in range(int(WAIT_S / 0.01)):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it never came to be so")


def _is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
