"""Who wants to be called when a certain node fails, and how one of them disturbs nobody.

A callback that is a coroutine function runs as a task, a plain one in a thread, each on its own: none waits for another
that is slow, and what one raises is logged.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any, TypeAlias

from guthi import Member, Node, NodeId

__all__ = ["Callback", "Callbacks", "Where"]

THREADS = 8
Where: TypeAlias = Member | NodeId | str
Callback: TypeAlias = Callable[[Member], Awaitable[Any]] | Callable[[Member], Any]

log = logging.getLogger("guthi_health.callbacks")


class Callbacks:
    """The callbacks of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._registered: list[tuple[NodeId | str | None, Callback]] = []
        self._threads: Executor | None = None

    def add(self, node: Where | None, callback: Callback) -> None:
        """Call it when that node fails; None: when any does. A name need not be known yet."""
        self._registered.append((node.id if isinstance(node, Member) else node, callback))

    def remove(self, callback: Callback) -> None:
        """Call it no more, for whichever node; of one that was never added nothing is said."""
        self._registered = [each for each in self._registered if each[1] is not callback]

    def failed(self, member: Member) -> None:
        """Call all that wait for this one."""
        for wanted, callback in self._registered:
            if wanted is None or wanted in (member.id, member.name, str(member.id)):
                self._node.start(self._run(callback, member), f"on_failure of {member.name}")

    async def _run(self, callback: Callback, member: Member) -> None:
        try:
            if inspect.iscoroutinefunction(callback):
                await callback(member)
                return
            result = await asyncio.get_running_loop().run_in_executor(self._pool(), callback, member)
            if inspect.isawaitable(result):
                await result
        except (Exception, SystemExit, KeyboardInterrupt):  # the last two would end the node
            name = getattr(callback, "__qualname__", repr(callback))
            log.exception("the callback %s failed on the failure of %s", name, member.name)

    def _pool(self) -> Executor:
        if self._threads is None:
            self._threads = self._node.host.thread_executor(f"{self._node.name}-on-failure", THREADS)
        return self._threads

    def close(self) -> None:
        """Call nobody any more; what runs in threads runs on unheeded."""
        self._registered.clear()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
