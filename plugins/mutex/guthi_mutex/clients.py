"""Locks for nodes that do not vote, such as the command line: a peer acquires and holds them in the client's stead.

| topic         | the client sends             | the peer answers                                               |
|---------------|------------------------------|----------------------------------------------------------------|
| mutex.acquire | [ticket, lock, is impatient] | the fence, once it has the lock                                |
| mutex.keep    | ticket                       | the seconds that it is good for; LockLost                      |
| mutex.release | ticket                       | null; LockLost. It is also sent when the client stops waiting  |

The client asks to keep its locks three times a lease, and counts the answer from when it asked. The peer gives up what
was not asked for in DRIFT times a lease. So the client stops first, as a voter's own callers do (see `leases`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any

from guthi import (
    DeadlineExceeded,
    GuthiError,
    Incoming,
    MalformedMessage,
    Member,
    MemberState,
    NodeId,
    PeerLost,
    UnknownTopic,
    UsageError,
)
from guthi_mutex.errors import LockLost, NoQuorum
from guthi_mutex.grant import Grant
from guthi_mutex.keeper import Keeper, votes
from guthi_mutex.leases import DRIFT, RENEWALS_A_LEASE
from guthi_mutex.view import is_name

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["ClientLocks", "Counter"]

ACQUIRE, KEEP, RELEASE = "mutex.acquire", "mutex.keep", "mutex.release"
MAX_HELD = 4096
PAUSE_S = 0.5


@dataclass(slots=True)
class _Deposit:
    """A lock that is held for a client."""

    grant: Grant
    expires_at: float
    watcher: asyncio.TimerHandle | None = None


class Counter:
    """The peer's side: what it holds for clients."""

    def __init__(self, node: Node, keeper: Keeper) -> None:
        self._node, self._keeper = node, keeper
        self._loop = asyncio.get_running_loop()
        self._deposits: dict[tuple[NodeId, int], _Deposit] = {}
        node.handle(ACQUIRE, self._acquire)
        node.handle(KEEP, self._keep)
        node.handle(RELEASE, self._release)

    def report(self) -> list[list[Any]]:
        """For each lock that is held here or waited for what `LockInfo` is made of."""
        clients = {each.grant.ticket: bytes(peer) for (peer, _), each in self._deposits.items()}
        return [
            [
                each.lock,
                clients.get(each.ticket) if each.fence is not None else None,
                each.fence,
                each.age_s,
                each.waiting,
                [bytes(id) for id in each.queue],
            ]
            for each in self._keeper.report()
        ]

    async def _acquire(self, incoming: Incoming) -> int:
        match incoming.value:
            case [int(ticket), str(lock), bool(is_impatient)] if is_name(lock):
                key = (incoming.peer, ticket)
            case _:
                raise MalformedMessage("a lock is asked for by a ticket, its name, and whether to wait for a majority")
        if len(self._deposits) >= MAX_HELD:
            raise UsageError(f"{self._node.name} holds {MAX_HELD} locks for clients, and may hold no more")
        grant = await self._keeper.acquire(lock, is_impatient=is_impatient)
        self._deposits[key] = _Deposit(grant, self._loop.time() + DRIFT * self._keeper.lease_s)
        self._watch(key)
        return grant.fence

    def _good_for_s(self) -> float:
        return max(min(self._keeper.valid_until - self._loop.time(), self._keeper.lease_s), 0.0)

    def _watch(self, key: tuple[NodeId, int]) -> None:
        """Give the lock up when its client has fallen silent."""
        deposit = self._deposits[key]
        if self._loop.time() >= deposit.expires_at or deposit.grant.lost.is_set():
            del self._deposits[key]
            self._keeper.give_back(deposit.grant)
        else:
            deposit.watcher = self._loop.call_at(deposit.expires_at, self._watch, key)

    def _deposit(self, incoming: Incoming) -> _Deposit:
        deposit = self._deposits.get((incoming.peer, incoming.value)) if type(incoming.value) is int else None
        if deposit is None or not deposit.grant.is_valid:
            raise LockLost("the node that held it has lost it, or has not heard of its client for too long")
        return deposit

    def _keep(self, incoming: Incoming) -> float:
        deposit = self._deposit(incoming)
        deposit.expires_at = self._loop.time() + DRIFT * self._keeper.lease_s
        return self._good_for_s()

    def _release(self, incoming: Incoming) -> None:
        deposit = self._deposit(incoming)
        del self._deposits[incoming.peer, incoming.value]
        if deposit.watcher is not None:
            deposit.watcher.cancel()
        self._keeper.give_back(deposit.grant)


@dataclass(slots=True)
class _Kept:
    """A lock that a peer holds for us."""

    peer: Member
    valid_until: float = -inf
    task: asyncio.Task[None] | None = None


class ClientLocks:
    """The client's side; it does for a client what Keeper does for a peer."""

    def __init__(self, node: Node, lease_s: float) -> None:
        self._node, self._lease_s = node, lease_s
        self._loop = asyncio.get_running_loop()
        self._rng = Random(node.host.entropy(16))
        self._tickets = count(1)
        self._kept: dict[int, _Kept] = {}
        self._doubted: NodeId | None = None  # who answered last too late

    async def acquire(self, lock: str, *, is_impatient: bool = False) -> Grant:
        """Wait until some peer has the lock for this client."""
        ticket = next(self._tickets)
        while True:
            peer = await self._peer(is_impatient)
            try:
                return await self._acquire_by(peer, ticket, lock, is_impatient)
            except (PeerLost, UnknownTopic, DeadlineExceeded, LockLost):  # the peer is going, or just starting
                self._doubted = peer.id
                await asyncio.sleep(PAUSE_S)
            except BaseException:
                self._node.start(self._drop(peer, ticket), f"drop {lock}")
                raise

    async def _peer(self, is_impatient: bool) -> Member:
        """A peer that may acquire for us: in our zone if there is one, else any."""
        while True:
            peers = [each for each in self._node.members if votes(each)]
            sound = [each for each in peers if each.state is MemberState.ALIVE and each.id != self._doubted]
            near = [each for each in sound if each.zone == self._node.me.zone]
            if peers:
                return self._rng.choice(near or sound or peers)
            if is_impatient:
                raise NoQuorum("no node of this network runs the plugin mutex; enable it in [node] plugins")
            await asyncio.sleep(PAUSE_S)

    async def _acquire_by(self, peer: Member, ticket: int, lock: str, is_impatient: bool) -> Grant:
        fence = await self._node.request(peer, ACQUIRE, [ticket, lock, is_impatient])
        if type(fence) is not int:
            raise MalformedMessage("a grant is a fence")
        kept = _Kept(peer)
        await self._ask_to_keep(kept, ticket, self._lease_s)  # how long the answer took to come is not known
        grant = Grant(lock, fence, ticket, lambda: kept.valid_until)
        self._kept[ticket] = kept
        kept.task = self._node.start(self._keep(kept, grant), f"keep {lock}")
        self._node.hooks.notify("lock_granted", lock=lock, fence=fence)
        return grant

    async def _ask_to_keep(self, kept: _Kept, ticket: int, timeout_s: float) -> None:
        asked_at = self._loop.time()
        good_for_s = await self._node.request(kept.peer, KEEP, ticket, timeout_s=timeout_s)
        if type(good_for_s) is not float:
            raise MalformedMessage("a lock is kept for so many seconds")
        kept.valid_until = max(kept.valid_until, asked_at + min(good_for_s, self._lease_s))

    async def _keep(self, kept: _Kept, grant: Grant) -> None:
        """Ask again and again, until the lock is lost; the task is cancelled when it is released."""
        while (left_s := kept.valid_until - self._loop.time()) > 0:
            await asyncio.sleep(min(self._lease_s / RENEWALS_A_LEASE, left_s))
            try:
                await self._ask_to_keep(kept, grant.ticket, max(kept.valid_until - self._loop.time(), 0.0))
            except LockLost:
                break
            except GuthiError:
                continue
        del self._kept[grant.ticket]
        self._doubted = kept.peer.id
        grant.lost.set()
        self._node.hooks.notify("lock_lost", lock=grant.lock, fence=grant.fence)

    async def release(self, grant: Grant) -> None:
        """Give a lock back."""
        kept = self._kept.pop(grant.ticket)
        if kept.task is not None:
            kept.task.cancel()
        self._node.hooks.notify("lock_released", lock=grant.lock, fence=grant.fence)
        await self._drop(kept.peer, grant.ticket)

    async def _drop(self, peer: Member, ticket: int) -> None:
        """Let the peer release what it holds, or would hold, for us; what it does not hear, it gives up by itself."""
        with suppress(GuthiError):
            await self._node.request(peer, RELEASE, ticket, timeout_s=self._lease_s)

    async def leave(self) -> None:
        """Release everything."""
        for ticket, kept in list(self._kept.items()):
            if kept.task is not None:
                kept.task.cancel()
            await self._drop(kept.peer, ticket)
        self._kept.clear()
