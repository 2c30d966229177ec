"""Threads that nobody waits for: an executor like any other, until the process ends."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import CancelledError

import pytest

from guthi.host.threads import DaemonThreads

WAIT_S = 60.0


def test_it_is_an_executor() -> None:
    with DaemonThreads(3, "test") as threads:
        assert list(threads.map(lambda number: 2 * number, range(100))) == [2 * number for number in range(100)]
        with pytest.raises(ZeroDivisionError):
            threads.submit(lambda: 1 // 0).result(WAIT_S)
        assert threads.submit(threading.current_thread).result(WAIT_S).name.startswith("test_")
    with pytest.raises(RuntimeError, match="after shutdown"):
        threads.submit(int)


def test_as_many_work_at_a_time_as_there_may_be_threads() -> None:
    threads = DaemonThreads(3, "test")
    meeting = threading.Barrier(3)
    waiting = [threads.submit(meeting.wait, WAIT_S) for _ in range(3)]
    assert sorted(each.result(WAIT_S) for each in waiting) == [0, 1, 2]
    numbers = {threads.submit(threading.get_ident).result(WAIT_S) for _ in range(50)}
    assert len(numbers) <= 3
    threads.shutdown()


def test_what_waits_can_be_cancelled_with_the_rest() -> None:
    threads = DaemonThreads(1, "test")
    begun, go_on = threading.Event(), threading.Event()

    def work() -> bool:
        begun.set()
        return go_on.wait(WAIT_S)

    running, waiting = threads.submit(work), threads.submit(int)
    begun.wait(WAIT_S)
    threads.shutdown(cancel_futures=True)
    go_on.set()
    assert running.result(WAIT_S)
    with pytest.raises(CancelledError):
        waiting.result(WAIT_S)


def test_a_function_that_hangs_does_not_keep_the_process_from_ending() -> None:
    program = (
        "import threading\n"
        "from guthi.host.udp import SystemHost\n"
        "begun = threading.Event()\n"
        "def hang(): begun.set(); threading.Event().wait()\n"
        "SystemHost().thread_executor('test', 1, daemon=True).submit(hang)\n"
        "begun.wait()\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=WAIT_S, check=False).returncode == 0
