"""Decides how long a peer holds locks for clients, nodes that do not vote, such as the command line.

| topic         | sent by, value                       | answer                                                      |
|---------------|--------------------------------------|-------------------------------------------------------------|
| mutex.acquire | client: [ticket, lock, is impatient] | [fence, seconds of the lease], once the peer has the lock   |
| mutex.keep    | client: ticket                       | the seconds that it is good for; LockLost                   |
| mutex.release | client: ticket                       | null; LockLost. Also sent when the client stops waiting     |
| mutex.lost    | peer: ticket                         | null: the client knows that the lock is lost                |

The client asks to keep its locks three times a lease, and counts the answer from when it asked. The peer gives up what
was not asked for in DRIFT times a lease. So the client stops first, as a voter's own callers do (see `leases`).

A peer that leaves is not waited for by the voters. So it first tells its clients, and waits for who does not answer as
long as it has said that the lock is good for. Of a peer that fails or restarts the voters wait for the lease.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from guthi import GuthiError, Incoming, MalformedMessage, NodeClosed, NodeId, UsageError
from guthi_mutex.errors import LockLost
from guthi_mutex.grant import Grant
from guthi_mutex.keeper import Keeper
from guthi_mutex.leases import DRIFT
from guthi_mutex.view import is_name

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["ACQUIRE", "KEEP", "LOST", "RELEASE", "Counter"]

ACQUIRE, KEEP, RELEASE, LOST = "mutex.acquire", "mutex.keep", "mutex.release", "mutex.lost"
MAX_HELD = 4096


@dataclass(slots=True)
class _Deposit:
    """A lock that is held for a client."""

    grant: Grant
    expires_at: float
    good_until: float = -inf  # as the client was told
    watcher: asyncio.TimerHandle | None = None


class Counter:
    """What a peer holds for clients."""

    def __init__(self, node: Node, keeper: Keeper) -> None:
        self._node, self._keeper = node, keeper
        self._loop = asyncio.get_running_loop()
        self._deposits: dict[tuple[NodeId, int], _Deposit] = {}
        self._forsaken: dict[tuple[NodeId, int], None] = {}  # released before they were heard of, oldest first
        self._is_leaving = False
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

    async def _acquire(self, incoming: Incoming) -> list[Any]:
        match incoming.value:
            case [int(ticket), str(lock), bool(is_impatient)] if is_name(lock):
                key = (incoming.peer, ticket)
            case _:
                raise MalformedMessage("a lock is asked for by a ticket, its name, and whether to wait for a majority")
        if len(self._deposits) >= MAX_HELD:
            raise UsageError(f"{self._node.name} holds {MAX_HELD} locks for clients, and may hold no more")
        grant = await self._keeper.acquire(lock, is_impatient=is_impatient)
        if key in self._forsaken:
            self._keeper.give_back(grant)
            raise LockLost("its client has released it already: one message may overtake another")
        if key in self._deposits or self._is_leaving:
            self._keeper.give_back(grant)
            raise NodeClosed("this node is leaving") if self._is_leaving else MalformedMessage("a ticket is used twice")
        self._deposits[key] = _Deposit(grant, self._loop.time() + DRIFT * self._keeper.lease_s)
        self._watch(key)
        return [grant.fence, self._keeper.lease_s]

    def _watch(self, key: tuple[NodeId, int]) -> None:
        """Give the lock up when its client has fallen silent."""
        deposit = self._deposits[key]
        if self._loop.time() >= deposit.expires_at or deposit.grant.lost.is_set():
            self._give_up(key)
        else:
            deposit.watcher = self._loop.call_at(deposit.expires_at, self._watch, key)

    def _give_up(self, key: tuple[NodeId, int]) -> None:
        deposit = self._deposits.pop(key)
        if deposit.watcher is not None:
            deposit.watcher.cancel()
        self._keeper.give_back(deposit.grant)

    def _deposit(self, incoming: Incoming) -> _Deposit:
        deposit = self._deposits.get((incoming.peer, incoming.value)) if type(incoming.value) is int else None
        if deposit is None or not deposit.grant.is_valid:
            raise LockLost("the node that held it has lost it, or has not heard of its client for too long")
        return deposit

    def _keep(self, incoming: Incoming) -> float:
        deposit = self._deposit(incoming)
        if self._is_leaving:
            raise LockLost("the node that held it leaves the network")
        now, lease_s = self._loop.time(), self._keeper.lease_s
        deposit.expires_at = now + DRIFT * lease_s
        deposit.good_until = min(self._keeper.valid_until, now + lease_s)
        return max(deposit.good_until - now, 0.0)

    def _release(self, incoming: Incoming) -> None:
        if type(incoming.value) is int and (incoming.peer, incoming.value) not in self._deposits:
            self._forsake((incoming.peer, incoming.value))
        self._deposit(incoming)
        self._give_up((incoming.peer, incoming.value))

    def _forsake(self, key: tuple[NodeId, int]) -> None:
        self._forsaken[key] = None
        if len(self._forsaken) > MAX_HELD:
            del self._forsaken[next(iter(self._forsaken))]

    async def leave(self) -> None:
        """Give everything up, when its clients know or have to know that it is lost."""
        self._is_leaving = True
        await asyncio.gather(*(self._take_back(key) for key in sorted(self._deposits)))

    async def _take_back(self, key: tuple[NodeId, int]) -> None:
        client, ticket = key
        good_until = self._deposits[key].good_until
        try:
            left_s = max(good_until - self._loop.time(), 0.0)
            await self._node.request(client, LOST, ticket, timeout_s=left_s)
        except GuthiError:
            await asyncio.sleep(good_until - self._loop.time())
        if key in self._deposits:
            self._give_up(key)
