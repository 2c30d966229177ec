"""The service `MUTEX`: named locks that span the network.

The one who acquires is a Keeper on a node that votes, and ClientLocks on a client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from guthi import DeadlineExceeded, GuthiError, MalformedMessage, NodeId, Service, UsageError
from guthi_mutex.errors import LockLost, LockNotHeld
from guthi_mutex.grant import Grant
from guthi_mutex.keeper import votes
from guthi_mutex.view import MAX_NAME_BYTES, is_name

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["MUTEX", "Lock", "LockInfo", "Mutex"]

REPORT = "mutex.report"
REPORT_TIMEOUT_S = 2.0
TRY_S = 1.0


class Acquirer(Protocol):
    """Whoever gets the locks for this node."""

    async def acquire(self, lock: str, *, is_impatient: bool = False) -> Grant:
        """Wait for a lock; cancelling the wait leaves nothing behind."""

    async def release(self, grant: Grant) -> None:
        """Give it back."""


class Reporter(Protocol):
    """Whoever knows which locks this node holds or waits for."""

    def report(self) -> list[list[Any]]:
        """For each lock: name, client or null, fence or null, age in seconds, how many wait here, who is queued."""


@dataclass(frozen=True, slots=True)
class LockInfo:
    """A lock that is held or waited for. `holder` and `queue` are names of nodes; `fence` is None when nobody holds it.

    The queue has the nodes in the order that the holder knows, and then those that say that they wait.
    """

    name: str
    holder: str
    fence: int | None
    age_s: float
    queue: tuple[str, ...]


class Mutex:
    """Named locks; one instance a node, got by `node.require(MUTEX)`."""

    def __init__(self, node: Node, acquirer: Acquirer, reporter: Reporter | None) -> None:
        self._node, self._acquirer, self._reporter = node, acquirer, reporter
        self._owned: dict[tuple[str, Hashable], Grant] = {}
        self._depth: dict[Grant, tuple[tuple[str, Hashable], int]] = {}
        if reporter is not None:
            node.handle(REPORT, lambda incoming: reporter.report())

    def __call__(
        self, name: str, *, timeout: float | None = None, owner: Hashable = None, wait_for_majority: bool = True
    ) -> Lock:
        """As `lock`: `async with mutex("render") as grant`."""
        return self.lock(name, timeout=timeout, owner=owner, wait_for_majority=wait_for_majority)

    def lock(
        self, name: str, *, timeout: float | None = None, owner: Hashable = None, wait_for_majority: bool = True
    ) -> Lock:
        """The lock of that name, as an async context manager that gives a Grant; the arguments are those of `acquire`.

        Leaving it raises LockLost if the lock was lost meanwhile, unless another exception is on its way.
        """
        _check(name)
        return Lock(self, name, timeout, owner, wait_for_majority)

    async def acquire(
        self, name: str, *, timeout: float | None = None, owner: Hashable = None, wait_for_majority: bool = True
    ) -> Grant:
        """Wait until this caller has the lock; `release` gives it back.

        Raises DeadlineExceeded after `timeout` seconds. Where this node does not reach a majority, it waits until it
        does, or with `wait_for_majority` False raises NoQuorum. Raises AlgorithmConflict if nodes disagree on the
        lock's algorithm. Who gives the same `owner` again, such as the running task, gets the same grant again, and has
        to release it as often.
        """
        _check(name)
        key = (name, owner)
        grant = self._owned.get(key) if owner is not None else None
        if grant is not None and not grant.lost.is_set():
            self._depth[grant] = (key, self._depth[grant][1] + 1)
            return grant
        grant = await self._acquire(name, timeout, wait_for_majority)
        if owner is not None:
            self._owned[key] = grant
            self._depth[grant] = (key, 1)
        return grant

    async def _acquire(self, name: str, timeout: float | None, wait_for_majority: bool) -> Grant:
        if timeout is None:
            return await self._acquirer.acquire(name, is_impatient=not wait_for_majority)
        try:
            async with asyncio.timeout(timeout):
                return await self._acquirer.acquire(name, is_impatient=not wait_for_majority)
        except TimeoutError:
            raise DeadlineExceeded(f"the lock {name!r} was not to be had within {timeout:g} s") from None

    async def try_acquire(self, name: str, *, timeout: float = TRY_S) -> Grant | None:
        """The lock if it is free, else None. To find out takes messages, and `timeout` seconds where it is held.

        Raises NoQuorum where this node does not reach a majority.
        """
        try:
            return await self.acquire(name, timeout=timeout, wait_for_majority=False)
        except DeadlineExceeded:
            return None

    async def release(self, grant: Grant) -> None:
        """Give a lock back. Raises LockLost if it was lost before, LockNotHeld if it was released before."""
        if grant.is_released:
            raise LockNotHeld(f"this grant of {grant.lock!r} has been released already; acquire the lock anew")
        if grant in self._depth and not self._is_last(grant):
            return
        was_valid = grant.is_valid
        grant.is_released = True
        if not grant.lost.is_set():
            await self._acquirer.release(grant)
        if not was_valid:
            raise LockLost(
                f"the lock {grant.lock!r} was lost while it was held, and another may have had it; a resource that "
                f"checks fences has refused what came too late (fence {grant.fence})"
            )

    def _is_last(self, grant: Grant) -> bool:
        key, depth = self._depth[grant]
        if depth > 1:
            self._depth[grant] = (key, depth - 1)
            return False
        del self._depth[grant]
        if self._owned.get(key) is grant:
            del self._owned[key]
        return True

    async def locks(self) -> list[LockInfo]:
        """The locks that are held or waited for anywhere, by name; of nodes that do not answer nothing is known."""
        others = [each.id for each in self._node.members if votes(each)]
        reports = await asyncio.gather(*(self._report_of(id) for id in others))
        told = dict(zip(others, reports, strict=True))
        if self._reporter is not None:
            told[self._node.id] = self._reporter.report()
        return _merged(self._node, told)

    async def _report_of(self, id: NodeId) -> list[list[Any]]:
        try:
            answer = await self._node.request(id, REPORT, None, timeout_s=REPORT_TIMEOUT_S)
        except GuthiError:
            return []
        if not isinstance(answer, list):
            raise MalformedMessage("a report on locks is a list")
        return answer


MUTEX: Service[Mutex] = Service("mutex")
"""What the plugin mutex provides: `node.require(MUTEX)`."""


class Lock(AbstractAsyncContextManager[Grant]):
    """A lock that is acquired by `async with`, as often as one likes."""

    def __init__(
        self, mutex: Mutex, name: str, timeout: float | None, owner: Hashable, wait_for_majority: bool
    ) -> None:
        self._mutex, self.name = mutex, name
        self._timeout, self._owner, self._wait_for_majority = timeout, owner, wait_for_majority
        self._grants: list[Grant] = []

    async def __aenter__(self) -> Grant:
        grant = await self._mutex.acquire(
            self.name, timeout=self._timeout, owner=self._owner, wait_for_majority=self._wait_for_majority
        )
        self._grants.append(grant)
        return grant

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._mutex.release(self._grants.pop())
        except LockLost as lost:
            if error is None:
                raise
            error.add_note(f"besides, {lost}")


def _check(name: str) -> None:
    if not is_name(name):
        raise UsageError(f"the name of a lock is a text of 1 to {MAX_NAME_BYTES} bytes in UTF-8, not {name!r}")


def _merged(node: Node, told: dict[NodeId, list[list[Any]]]) -> list[LockInfo]:
    found: dict[str, list[tuple[int, str, float, list[NodeId]]]] = {}
    waiting: dict[str, list[str]] = {}
    for id, report in sorted(told.items()):
        for line in report:
            name, client, fence, age_s, count, queue = _line(line)
            here = node.network.name_of(id)
            if count:
                waiting.setdefault(name, []).append(here)
            if fence is not None:
                holder = here if client is None else f"{node.network.name_of(client)} by {here}"
                found.setdefault(name, []).append((fence, holder, age_s, queue))
    return [_info(node, name, found.get(name, []), waiting.get(name, [])) for name in sorted({*found, *waiting})]


def _info(node: Node, name: str, held: list[tuple[int, str, float, list[NodeId]]], waiting: list[str]) -> LockInfo:
    fence, holder, age_s, queue = max(held, default=(0, "", 0.0, []), key=lambda each: each[0])
    names = dict.fromkeys([*(node.network.name_of(id) for id in queue), *waiting])
    return LockInfo(name, holder, fence if held else None, age_s, tuple(names))


def _line(line: object) -> tuple[str, NodeId | None, int | None, float, int, list[NodeId]]:
    match line:
        case [str(name), client, fence, float(age_s), int(count), list(queue)] if (
            client is None or (isinstance(client, bytes) and len(client) == NodeId.SIZE)
        ) and (fence is None or type(fence) is int):
            ids = [NodeId(id) for id in queue if isinstance(id, bytes) and len(id) == NodeId.SIZE]
            return name, NodeId(client) if client is not None else None, fence, age_s, count, ids
    raise MalformedMessage("a line of a report is a lock, a client, a fence, an age, a number and a queue")
