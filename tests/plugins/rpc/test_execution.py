"""Where functions run, that they neither hold the node up nor end it, and what becomes of their workers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import operator
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest

from guthi.api import NodeId
from guthi.errors import NodeClosed, RemoteError
from guthi.host.udp import SystemHost
from guthi_rpc import Run, WorkerDied
from guthi_rpc.context import Context
from guthi_rpc.execution import Execution
from guthi_rpc.functions import describe_function
from guthi_rpc.turns import Full

CONTEXT = Context("f", (NodeId(bytes(16)), 1))
STEERING = [SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration]


@pytest.fixture
async def execution() -> AsyncIterator[Execution]:
    made = Execution(SystemHost(), "bob", threads=2, processes=1, queue=100)
    yield made
    made.close()


async def run(execution: Execution, call: Any, *arguments: Any, style: Run | None = None) -> Any:
    answer = execution.run(describe_function(call, "f", style), arguments, {}, CONTEXT)
    value, seconds = await answer if isinstance(answer, Awaitable) else answer
    assert seconds >= 0
    return value


async def test_where_each_style_runs(execution: Execution) -> None:
    async def coroutine() -> int:
        return threading.get_ident()

    here = threading.get_ident()
    assert await run(execution, coroutine) == here
    assert await run(execution, threading.get_ident, style=Run.INLINE) == here
    assert await run(execution, threading.get_ident, style=Run.THREAD) != here
    assert await run(execution, os.getpid, style=Run.PROCESS) != os.getpid()


async def test_an_inline_function_is_answered_without_a_task(execution: Execution) -> None:
    answer = execution.run(describe_function(operator.add, None, Run.INLINE), (1, 2), {}, CONTEXT)
    assert isinstance(answer, tuple)
    assert answer[0] == 3


async def test_an_inline_function_may_return_something_to_await(execution: Execution) -> None:
    assert await run(execution, lambda: asyncio.sleep(0, "later"), style=Run.INLINE) == "later"


@pytest.mark.parametrize("style", [Run.INLINE, Run.THREAD], ids=str)
@pytest.mark.parametrize("error", STEERING, ids=lambda each: each.__name__)
async def test_nothing_that_a_function_raises_ends_the_loop(
    execution: Execution, style: Run, error: type[BaseException]
) -> None:
    def fail() -> None:
        raise error("out")

    with pytest.raises(RemoteError, match=error.__name__):
        await run(execution, fail, style=style)
    assert execution.running == 0


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
async def test_nor_what_a_coroutine_raises(execution: Execution, error: type[BaseException]) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise error("out")

    with pytest.raises(RemoteError, match=error.__name__):
        await run(execution, fail)
    assert execution.running == 0


async def test_nor_what_a_process_raises(execution: Execution) -> None:
    with pytest.raises(RemoteError, match="SystemExit: 7"):
        await run(execution, sys.exit, 7, style=Run.PROCESS)
    with pytest.raises(ZeroDivisionError) as caught:
        await run(execution, operator.truediv, 1, 0, style=Run.PROCESS)
    assert "in the worker process" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    "error", [concurrent.futures.CancelledError, concurrent.futures.BrokenExecutor, concurrent.futures.TimeoutError]
)
async def test_errors_that_futures_use_themselves_are_the_functions_own(
    execution: Execution, error: type[Exception]
) -> None:
    def fail() -> None:
        raise error("mine")

    with pytest.raises(error, match="mine"):
        await run(execution, fail)


async def test_cancelling_cancels_a_coroutine(execution: Execution) -> None:
    seen: list[str] = []

    async def wait() -> None:
        try:
            seen.append("started")
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")

    task = asyncio.create_task(run(execution, wait))
    await asyncio.sleep(0)
    assert (seen, execution.running) == (["started"], 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (seen, execution.running) == (["started", "cancelled"], 0)


async def test_a_call_that_waits_for_a_thread_can_be_cancelled(execution: Execution) -> None:
    go = threading.Event()
    ran: list[int] = []
    busy = [asyncio.create_task(run(execution, go.wait, 20, style=Run.THREAD)) for _ in range(2)]
    queued = asyncio.create_task(run(execution, ran.append, 1, style=Run.THREAD))
    await asyncio.sleep(0)
    queued.cancel()
    await asyncio.wait([queued])
    go.set()
    assert await asyncio.gather(*busy) == [True, True]
    assert ran == []


async def test_a_thread_goes_on_with_the_next_call_while_the_loop_is_busy(execution: Execution) -> None:
    """Who waits for the loop between two calls is idle for as long as the loop sends the result of the first."""
    ran = [threading.Event() for _ in range(6)]
    calls = [asyncio.create_task(run(execution, each.set, style=Run.THREAD)) for each in ran]
    await asyncio.sleep(0)
    assert all(each.wait(60) for each in ran)  # which blocks the loop
    await asyncio.gather(*calls)


async def test_of_calls_that_wait_for_a_thread_the_urgent_go_first() -> None:
    execution = Execution(SystemHost(), "bob", threads=1, processes=1, queue=100)
    go, order = threading.Event(), list[str]()

    def call(name: str, priority: int) -> asyncio.Task[Any]:
        context = Context("f", (NodeId(bytes(16)), 1), priority=priority)
        function = describe_function(order.append, "f", Run.THREAD)
        answer = execution.run(function, (name,), {}, context)
        assert isinstance(answer, Awaitable)
        return asyncio.ensure_future(answer)

    busy = asyncio.create_task(run(execution, go.wait, 20, style=Run.THREAD))
    await asyncio.sleep(0.05)
    calls = [call(name, int(name[0]) - 5) for name in ("5a", "5b", "9a", "1a", "9b", "5c")]
    await asyncio.sleep(0)
    left = calls.pop(1)
    left.cancel()
    await asyncio.wait([left])
    go.set()
    await asyncio.gather(busy, *calls)
    assert order == ["9a", "9b", "5a", "5c", "1a"]
    execution.close()


@pytest.mark.parametrize("style", [Run.THREAD, Run.PROCESS], ids=str)
async def test_full_is_when_all_places_and_the_queue_are_taken(style: Run) -> None:
    execution = Execution(SystemHost(), "bob", threads=1, processes=1, queue=2)
    calls = [asyncio.create_task(run(execution, time.sleep, 0.2, style=style)) for _ in range(3)]
    assert not execution.is_full(style)
    await asyncio.sleep(0.1)
    assert execution.is_full(style)
    assert not execution.is_full(Run.INLINE)
    with pytest.raises(Full):
        await run(execution, time.sleep, 0, style=style)
    calls[2].cancel()
    await asyncio.wait([calls[2]])
    assert not execution.is_full(style)
    await asyncio.gather(*calls[:2])
    execution.close()


async def test_the_wait_for_a_worker_is_not_counted(execution: Execution) -> None:
    go = threading.Event()
    describe = functools.partial(describe_function, name="f", run=Run.THREAD)
    busy = [execution.run(describe(go.wait), (20,), {}, CONTEXT) for _ in range(2)]
    quick = execution.run(describe(int), (), {}, CONTEXT)
    tasks = [asyncio.ensure_future(each) for each in [*busy, quick] if isinstance(each, Awaitable)]
    await asyncio.sleep(0.05)
    go.set()
    answers = await asyncio.gather(*tasks)
    assert answers[2][1] < answers[0][1]


async def test_a_worker_that_dies_is_told_and_replaced(execution: Execution) -> None:
    before = await run(execution, os.getpid, style=Run.PROCESS)
    with pytest.raises(WorkerDied, match="a worker process of bob died"):
        await run(execution, os._exit, 1, style=Run.PROCESS)
    assert await run(execution, os.getpid, style=Run.PROCESS) not in (before, os.getpid())


async def test_a_worker_that_dies_takes_no_call_with_it_that_had_not_begun(execution: Execution) -> None:
    """The one process of this node dies twice while five calls wait for it."""
    styles: list[tuple[Any, int]] = [(os._exit, 1), (abs, -1), (abs, -2), (os._exit, 1), (abs, -3)]
    calls = (run(execution, call, argument, style=Run.PROCESS) for call, argument in styles)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [each if isinstance(each, int) else type(each) for each in outcomes] == [WorkerDied, 1, 2, WorkerDied, 3]


async def test_a_worker_that_dies_takes_no_other_call_with_it() -> None:
    execution = Execution(SystemHost(), "bob", 1, 2, 100)
    try:
        sleeping = asyncio.create_task(run(execution, time.sleep, 1, style=Run.PROCESS))
        pid = await run(execution, os.getpid, style=Run.PROCESS)
        dying = asyncio.create_task(run(execution, time.sleep, 60, style=Run.PROCESS))
        await asyncio.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkerDied, match="killed by SIGKILL, most often by the system when memory runs out"):
            await dying
        assert await sleeping is None
    finally:
        execution.close()


async def test_cancelling_a_call_ends_its_process(execution: Execution) -> None:
    pid = await run(execution, os.getpid, style=Run.PROCESS)
    busy = asyncio.create_task(run(execution, time.sleep, 60, style=Run.PROCESS))
    await asyncio.sleep(0.1)
    busy.cancel()
    await asyncio.wait([busy])
    assert await _ends(pid)
    assert await run(execution, abs, -1, style=Run.PROCESS) == 1


async def test_closing_waits_for_no_process(execution: Execution) -> None:
    pid = await run(execution, os.getpid, style=Run.PROCESS)
    busy = asyncio.create_task(run(execution, time.sleep, 60, style=Run.PROCESS))
    await asyncio.sleep(0.05)
    queued = asyncio.create_task(run(execution, time.sleep, 60, style=Run.PROCESS))
    await asyncio.sleep(0)
    execution.close()
    with pytest.raises(WorkerDied):
        await busy
    with pytest.raises(NodeClosed, match="bob was closed before the function began"):
        await queued
    assert await _ends(pid)


async def test_a_worker_that_will_not_end_is_killed(execution: Execution, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guthi.host.workers.GRACE_S", 0.1)
    await run(execution, signal.signal, signal.SIGTERM, signal.SIG_IGN, style=Run.PROCESS)
    pid = await run(execution, os.getpid, style=Run.PROCESS)
    execution.close()
    assert await _ends(pid)


NODE = """
import asyncio, os, time
from guthi.host.udp import SystemHost
from guthi_rpc.context import Context
from guthi_rpc.execution import Execution
from guthi_rpc.functions import describe_function

CONTEXT = Context("f", (b"", 1))

async def main():
    execution = Execution(SystemHost(), "bob", 1, 2, 100)
    pid, _ = await execution.run(describe_function(os.getpid, None, "process"), (), {}, CONTEXT)
    print(pid, flush=True)
    await execution.run(describe_function(time.sleep, None, "process"), (60,), {}, CONTEXT)

asyncio.run(main())
"""


async def test_workers_do_not_outlive_a_node_that_is_killed() -> None:
    node = await asyncio.create_subprocess_exec(sys.executable, "-c", NODE, stdout=asyncio.subprocess.PIPE)
    assert node.stdout is not None
    pid = int(await node.stdout.readline())
    assert _is_running(pid)
    node.kill()
    await node.wait()
    assert await _ends(pid)


async def _ends(pid: int) -> bool:
    for _ in range(1000):
        if not _is_running(pid):
            return True
        await asyncio.sleep(0.01)
    return False


def _is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it may end between the opening and the reading
        return False
