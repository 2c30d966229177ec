"""Threads that take their next call themselves, also when many calls that wait are wanted no more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from random import Random
from typing import Any

import pytest

from guthi_rpc.attempts import Attempt
from guthi_rpc.threads import Threads
from guthi_rpc.turns import Full


class Errands(ThreadPoolExecutor):
    """Counts what it was asked to do."""

    asked = 0

    def submit(self, *arguments: Any, **named: Any) -> Future[Any]:
        self.asked += 1
        return super().submit(*arguments, **named)


@pytest.fixture
def executor() -> Iterator[Errands]:
    with Errands(2) as made:
        yield made


def made(executor: Executor, queue: int = 100_000) -> Threads:
    return Threads(executor, 2, queue, lambda: 0.0)


def submit(threads: Threads, call: Callable[[], Any], priority: int = 0) -> Future[Attempt]:
    return threads.submit(call, copy_context(), priority)


def test_calls_that_are_cancelled_leave_nothing_with_threads_that_never_come_back(executor: Errands) -> None:
    """With both threads stuck, callers may try and give up for days."""
    go = threading.Event()
    threads = made(executor, queue=3)
    stuck = [submit(threads, lambda: go.wait(60)) for _ in range(2)]
    for _ in range(1000):
        for future in [submit(threads, int) for _ in range(3)]:
            assert future.cancel()
    assert executor.asked <= 2 + 3
    for _ in range(3):
        submit(threads, int)
    with pytest.raises(Full):
        submit(threads, int)
    go.set()
    wait(stuck, 60)


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_cancelled_every_other_call_is_run_once(executor: Errands, seed: int) -> None:
    random, threads, ran = Random(seed), made(executor), list[int]()
    futures: list[Future[Attempt]] = []
    for number in range(300):
        futures.append(submit(threads, lambda number=number: ran.append(number), random.randrange(3)))
        if random.random() < 0.5:
            random.choice(futures).cancel()
    wait([future for future in futures if not future.cancelled()], 60)
    assert sorted(ran) == [number for number, future in enumerate(futures) if not future.cancelled()]
    assert not threads.is_full and len(threads._waiting) == threads._running == 0


def test_a_failure_without_a_text_takes_no_thread_with_it(executor: Errands) -> None:
    class Mute(BaseException):
        def __str__(self) -> str:
            raise SystemExit("not even a text")

    def fail() -> None:
        raise Mute

    threads = made(executor)
    for _ in range(3):
        assert "Mute" in str(submit(threads, fail).result(60).failure)
    assert submit(threads, int).result(60).value == 0
