"""Runs functions: on the loop, in threads, or in processes, never letting one of them hold the node up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor
from functools import partial
from typing import Any

from guthi.api import Host
from guthi.errors import GuthiError
from guthi_rpc.functions import Function, Run

__all__ = ["Execution", "WorkerDied"]


class WorkerDied(GuthiError):
    """The process that ran a function died under it."""


class Execution:
    """The pools of one node, made when they are first needed."""

    def __init__(self, host: Host, node: str, threads: int, processes: int) -> None:
        self._host, self._node = host, node
        self._threads, self._processes = threads, processes
        self._pools: dict[Run, Executor] = {}

    def run(self, function: Function, arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """The value, or something awaitable that gives it; raises what the function raises."""
        style = function.description.run
        if style is Run.INLINE:
            return function.call(*arguments, **named)
        call = partial(function.call, *arguments, **named)
        if style is Run.THREAD:
            return asyncio.get_running_loop().run_in_executor(self._pool(style), call)
        return self._in_process(call)

    async def _in_process(self, call: Callable[[], Any]) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool(Run.PROCESS), call)
        except BrokenExecutor as error:
            broken = self._pools.pop(Run.PROCESS, None)
            if broken is not None:
                broken.shutdown(wait=False)
            raise WorkerDied(
                f"a worker process of {self._node} died while it ran a function; new ones are started. "
                "Most often the function used too much memory, or called os._exit"
            ) from error

    def _pool(self, style: Run) -> Executor:
        pool = self._pools.get(style)
        if pool is None:
            if style is Run.THREAD:
                pool = self._host.thread_executor(f"guthi-rpc-{self._node}", self._threads)
            else:
                pool = self._host.process_executor(f"guthi-rpc-{self._node}", self._processes)
            self._pools[style] = pool
        return pool

    def close(self) -> None:
        """Start nothing more; what runs in a thread runs to its end, but nobody waits for it."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
        self._pools.clear()
