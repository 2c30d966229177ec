"""Who wants to be called when a certain node fails, and how one of them disturbs nobody.

A callback that is a coroutine function runs as a task, a plain one in a thread, each in one of its own: none waits for
another that is slow or hangs, only for its own earlier calls, and what one raises is logged. Nor does the end of the
process wait for one that hangs in its thread.
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

Where: TypeAlias = Member | NodeId | str
Callback: TypeAlias = Callable[[Member], Awaitable[Any]] | Callable[[Member], Any]

log = logging.getLogger("guthi_health.callbacks")


class Callbacks:
    """The callbacks of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._registered: list[tuple[NodeId | str | None, Callback]] = []
        self._threads: list[tuple[Callback, Executor]] = []

    def add(self, node: Where | None, callback: Callback) -> None:
        """Call it when that node fails; None: when any does. A name need not be known yet."""
        self._registered.append((node.id if isinstance(node, Member) else node, callback))

    def remove(self, callback: Callback) -> None:
        """Call it no more, for whichever node; of one that was never added nothing is said."""
        self._registered = [each for each in self._registered if each[1] is not callback]
        for _, thread in [each for each in self._threads if each[0] is callback]:
            thread.shutdown(wait=False)
        self._threads = [each for each in self._threads if each[0] is not callback]

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
            result = await asyncio.get_running_loop().run_in_executor(self._thread_of(callback), callback, member)
            if inspect.isawaitable(result):
                await result
        except (Exception, SystemExit, KeyboardInterrupt):  # the last two would end the node
            name = getattr(callback, "__qualname__", repr(callback))
            log.exception("the callback %s failed on the failure of %s", name, member.name)

    def _thread_of(self, callback: Callback) -> Executor:
        for owner, thread in self._threads:
            if owner is callback:
                return thread
        thread = self._node.host.thread_executor(f"{self._node.name}-on-failure-{len(self._threads)}", 1, daemon=True)
        self._threads.append((callback, thread))
        return thread

    def close(self) -> None:
        """Call nobody any more; what runs in threads runs on unheeded."""
        self._registered.clear()
        for _, thread in self._threads:
            thread.shutdown(wait=False, cancel_futures=True)
