"""Processes that run a node's functions, each with a line of its own to the node.

Over the line go a call, what it reports on its way, and how it ended; so a process that dies takes one call with it,
the reason is known, and a call can be ended by ending its process. Processes are started when there is work for them,
and stay. They are spawned, because a running loop must not be forked.

concurrent.futures.ProcessPoolExecutor would do but for these three: when one of its processes dies all its calls fail,
none of them can be ended, and none can report.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, InvalidStateError
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

from guthi.errors import NotEncodable, UsageError

__all__ = ["ProcessWorkers", "WorkerLost", "can_leave", "report", "reporting"]

BEGUN = ("begun", None)  # the first word of a process on each call
IMPORTABLE = "it has to stand at the top of a module that can be imported there, and to be given plain values"
GRACE_S = 2.0  # how long a process may take to end when it is told to: a function may have told it to ignore that

reporting: ContextVar[Callable[[Any], None] | None] = ContextVar("guthi.host.workers.reporting", default=None)


def report(value: Any) -> None:
    """Tell the node something while the call is still running; raises UsageError where no call of a node runs."""
    tell = reporting.get()
    if tell is None:
        raise UsageError("this code does not run in a worker process of a node")
    tell(value)


def can_leave(value: Any) -> bool:
    """Whether a value can go from a process to another, and be made again there."""
    try:
        ForkingPickler.loads(ForkingPickler.dumps(value))
    except Exception:  # noqa: BLE001 - it may have code of its own for either
        return False
    return True


class WorkerLost(BrokenExecutor):
    """The process that ran a call is gone; the message says how it ended."""


@dataclass(slots=True, eq=False)
class _Job:
    call: Callable[[], Any]
    on_report: Callable[[Any], None]
    future: Future[Any] = field(default_factory=Future)


class ProcessWorkers:
    """At most `workers` processes; the calls wait for one in the order in which they came."""

    def __init__(self, name: str, workers: int) -> None:
        self._name, self._limit = name, workers
        self._changed = threading.Condition()
        self._jobs: deque[_Job] = deque()
        self._lines: list[_Line] = []
        self._idle = 0
        self._closed = False

    def submit(self, call: Callable[[], Any], on_report: Callable[[Any], None]) -> Future[Any]:
        """Run a call in a process; both have to be picklable there.

        `on_report` is called in a thread of its own, with what the call passes to `report`. Cancelling the future ends
        the process if it is at it. The future raises what the call raises, WorkerLost, and NotEncodable for a call or a
        value that pickle has no form for.
        """
        job = _Job(call, on_report)
        with self._changed:
            if self._closed:
                raise RuntimeError("cannot run anything after shutdown")
            self._jobs.append(job)
            if self._idle < len(self._jobs) and len(self._lines) < self._limit:
                self._lines.append(_Line(self, f"{self._name}-{len(self._lines)}"))
            self._changed.notify()
        return job.future

    def take(self) -> _Job | None:
        """For a line: wait for the next call that is still wanted; None when there will be none."""
        with self._changed:
            self._idle += 1
            try:
                while not self._closed:
                    while self._jobs:
                        job = self._jobs.popleft()
                        if not job.future.cancelled():
                            return job
                    self._changed.wait()
            finally:
                self._idle -= 1
        return None

    def shutdown(self) -> None:
        """End all processes, at once or after their grace, and wait for none; calls that wait are cancelled."""
        with self._changed:
            self._closed = True
            jobs, self._jobs = self._jobs, deque()
            self._changed.notify_all()
            lines = list(self._lines)
        for job in jobs:
            job.future.cancel()
        for line in lines:
            line.end_process()


class _Line:
    """One process and the thread that talks to it."""

    def __init__(self, workers: ProcessWorkers, name: str) -> None:
        self._workers, self._name = workers, name
        self._gate = threading.Lock()
        self._process: BaseProcess | None = None
        self._connection: Connection[Any, Any] | None = None
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        while (job := self._workers.take()) is not None:
            try:
                self._send(job)
            except Exception as error:  # noqa: BLE001 - it has no form in pickle, or no process can be started
                _settle(job, error=error)
                continue
            job.future.add_done_callback(lambda future: self.end_process() if future.cancelled() else None)
            self._follow(job)
        self.end_process()

    def _begins(self) -> bool:
        """Whether the process has taken the call in hand; one that was killed while it had nothing to do never does."""
        assert self._connection is not None
        try:
            return bool(self._connection.recv() == BEGUN)
        except (EOFError, OSError):
            return False

    def _send(self, job: _Job) -> None:
        call = _packed(job.call)
        for _ in range(2):
            try:
                self._connected().send_bytes(call)
                if self._begins():
                    return
            except OSError:  # as when it does not begin: it has died since it was last used
                pass
            self._connection = None
        raise WorkerLost("no process would begin it: each died while it was being started")

    def _connected(self) -> Connection[Any, Any]:
        if self._connection is None or self._process is None or not self._process.is_alive():
            spawn = multiprocessing.get_context("spawn")
            self._connection, far = spawn.Pipe()
            with self._gate:
                self._process = spawn.Process(target=_work, args=(far,), name=self._name, daemon=True)
                self._process.start()
            far.close()
        return self._connection

    def _follow(self, job: _Job) -> None:
        """Hear of the call until it has ended, one way or the other."""
        assert self._connection is not None
        while True:
            try:
                kind, value = self._connection.recv()
            except (EOFError, OSError):  # the end of the line, or half a message before it
                _settle(job, error=WorkerLost(self._how_it_ended()))
                return
            except Exception as error:  # noqa: BLE001 - what came cannot be unpickled in this process
                kind, value = "error", error
            if kind == "report":
                job.on_report(value)
            else:
                if not _settle(job, value, error=value if kind == "error" else None):
                    self._how_it_ended()  # it was cancelled at the last moment, and its process is being ended
                return

    def _how_it_ended(self) -> str:
        process, self._connection = self._process, None
        assert process is not None
        process.join(GRACE_S)
        code = process.exitcode
        if code is None:
            return "it closed its line to the node"
        if code >= 0:
            return f"it ended with exit code {code}: the function called os._exit, or the process could not start"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        hint = ", most often by the system when memory runs out" if name == "SIGKILL" else ""
        return f"it was killed by {name}{hint}"

    def end_process(self) -> None:
        """Tell the process to end; after its grace it is killed."""
        with self._gate:
            process = self._process
        if process is not None and process.is_alive():
            process.terminate()
            threading.Thread(target=_kill_if_stubborn, args=(process,), name=f"{self._name}-end", daemon=True).start()


def _packed(call: Callable[[], Any]) -> memoryview:
    try:
        return ForkingPickler.dumps(call)
    except Exception as error:
        raise NotEncodable(f"the function cannot go to a worker process: {error}; {IMPORTABLE}") from error


def _settle(job: _Job, value: Any = None, *, error: Exception | None = None) -> bool:
    """False where it has been cancelled meanwhile."""
    try:
        if error is None:
            job.future.set_result(value)
        else:
            job.future.set_exception(error)
    except InvalidStateError:
        return False
    return True


def _kill_if_stubborn(process: BaseProcess) -> None:
    process.join(GRACE_S)
    if process.is_alive():
        process.kill()


# ---- in the worker process


def _work(connection: Connection[Any, Any]) -> None:
    """Run one call after the other until the node is gone. Ctrl-C, which a terminal sends to all, is the node's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_the_node, name="guthi-node-watch", daemon=True).start()
    gate = threading.Lock()  # a function may report from threads of its own

    def send(kind: str, value: Any) -> None:
        with gate:
            connection.send((kind, value))

    reporting.set(partial(send, "report"))
    while True:
        try:
            connection.poll(None)
            send(*BEGUN)
            _run_one(connection.recv_bytes(), send)
        except (EOFError, OSError):
            return


def _run_one(call: bytes, send: Callable[[str, Any], None]) -> None:
    try:
        value = _unpacked(call)()
    except Exception as error:  # noqa: BLE001 - it cannot be imported, or has failed
        send("error", _picklable(error))
        return
    try:
        send("value", value)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - nothing has been sent
        send("error", NotEncodable(f"its result cannot leave its worker process: {error}; return something plainer"))


def _unpacked(call: bytes) -> Callable[[], Any]:
    try:
        made: Callable[[], Any] = ForkingPickler.loads(call)
    except Exception as error:
        raise NotEncodable(f"a worker process cannot make it again: {error}; {IMPORTABLE}") from error
    return made


def _picklable(error: Exception) -> Exception:
    """An exception may refuse to be made again by pickle, which would break the line."""
    is_plain = type(error) is NotEncodable or type(error).__module__ == "builtins"
    return error if is_plain else RuntimeError(f"{type(error).__name__}: {error}")


def _die_with_the_node() -> None:
    """While a function runs, the process would not notice by itself."""
    node = multiprocessing.parent_process()
    assert node is not None
    node.join()
    os._exit(1)
