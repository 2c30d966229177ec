"""Gets locks for a node that does not vote: some peer acquires and holds them in its stead (see `counter`)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from math import inf
from random import Random
from typing import TYPE_CHECKING

from guthi import (
    DeadlineExceeded,
    GuthiError,
    Incoming,
    MalformedMessage,
    Member,
    MemberState,
    NodeClosed,
    NodeId,
    PeerLost,
    UnknownTopic,
)
from guthi_mutex.counter import ACQUIRE, KEEP, LOST, RELEASE
from guthi_mutex.errors import LockLost, NoQuorum
from guthi_mutex.grant import Grant
from guthi_mutex.keeper import votes
from guthi_mutex.leases import RENEWALS_A_LEASE

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["ClientLocks"]

PAUSE_S = 0.5
TICKET_BITS = 48  # drawn, so that a restarted client's tickets are not those of its former life


@dataclass(slots=True)
class _Kept:
    """A lock that a peer holds for us; `lease_s` is the peer's."""

    peer: Member
    lease_s: float
    grant: Grant
    valid_until: float = -inf
    task: asyncio.Task[None] | None = None


class ClientLocks:
    """The client's side; it does for a client what Keeper does for a peer."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._loop = asyncio.get_running_loop()
        self._rng = Random(node.host.entropy(16))
        self._tickets = count(self._rng.getrandbits(TICKET_BITS))
        self._kept: dict[int, _Kept] = {}
        self._doubted: NodeId | None = None  # who answered last too late
        self._has_left = False
        node.handle(LOST, self._told)

    async def acquire(self, lock: str, *, is_impatient: bool = False) -> Grant:
        """Wait until some peer has the lock for this client."""
        while not self._has_left:
            peer, ticket = await self._peer(is_impatient), next(self._tickets)
            try:
                return await self._acquire_by(peer, ticket, lock, is_impatient)
            except (PeerLost, UnknownTopic, DeadlineExceeded, LockLost, NodeClosed):  # it is going, or just starting
                self._forsake(peer, ticket)
                self._doubted = peer.id
                await asyncio.sleep(PAUSE_S)
            except BaseException:
                self._forsake(peer, ticket)
                raise
        raise NodeClosed("the node is closed; make a new one")

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
        match await self._node.request(peer, ACQUIRE, [ticket, lock, is_impatient]):
            case [int(fence), float(lease_s)]:
                grant = Grant(lock, fence, ticket, lambda: self._valid_until(ticket))
            case _:
                raise MalformedMessage("a lock is granted by its fence and the length of the lease")
        kept = self._kept[ticket] = _Kept(peer, lease_s, grant)
        await self._ask_to_keep(kept, lease_s)  # how long the answer took to come is not known
        if ticket not in self._kept:
            raise LockLost("it was lost as soon as it was granted")
        kept.task = self._node.start(self._keep(kept), f"keep {lock}")
        self._node.hooks.notify("lock_granted", lock=lock, fence=fence)
        return grant

    def _valid_until(self, ticket: int) -> float:
        kept = self._kept.get(ticket)
        return kept.valid_until if kept is not None else -inf

    async def _ask_to_keep(self, kept: _Kept, timeout_s: float) -> None:
        asked_at = self._loop.time()
        good_for_s = await self._node.request(kept.peer, KEEP, kept.grant.ticket, timeout_s=timeout_s)
        if type(good_for_s) is not float:
            raise MalformedMessage("a lock is kept for so many seconds")
        kept.valid_until = max(kept.valid_until, asked_at + min(good_for_s, kept.lease_s))

    async def _keep(self, kept: _Kept) -> None:
        """Ask again and again, until the lock is lost; the task is cancelled when it is released."""
        while (left_s := kept.valid_until - self._loop.time()) > 0:
            await asyncio.sleep(min(kept.lease_s / RENEWALS_A_LEASE, left_s))
            try:
                await self._ask_to_keep(kept, max(kept.valid_until - self._loop.time(), 0.0))
            except LockLost:
                break
            except GuthiError:
                continue
        self._doubted = kept.peer.id
        self._lost(kept)

    def _told(self, incoming: Incoming) -> None:
        """A peer that leaves can keep nothing for us."""
        kept = self._kept.get(incoming.value) if type(incoming.value) is int else None
        if kept is not None and kept.peer.id == incoming.peer:
            self._doubted = kept.peer.id
            self._lost(kept)

    def _lost(self, kept: _Kept) -> None:
        self._pop(kept.grant.ticket)
        kept.grant.lost.set()
        if kept.task is not None:  # else nobody was told yet that it is granted
            self._node.hooks.notify("lock_lost", lock=kept.grant.lock, fence=kept.grant.fence)

    def _pop(self, ticket: int) -> _Kept | None:
        kept = self._kept.pop(ticket, None)
        if kept is not None and kept.task is not None:
            kept.task.cancel()
        return kept

    async def release(self, grant: Grant) -> None:
        """Give a lock back."""
        kept = self._pop(grant.ticket)
        if kept is None:
            return
        self._node.hooks.notify("lock_released", lock=grant.lock, fence=grant.fence)
        await asyncio.shield(self._node.start(self._drop(kept.peer, grant.ticket), f"release {grant.lock}"))

    def _forsake(self, peer: Member, ticket: int) -> None:
        """An attempt has come to nothing."""
        self._pop(ticket)
        if not self._has_left:
            self._node.start(self._drop(peer, ticket), f"drop ticket {ticket}")

    async def _drop(self, peer: Member, ticket: int) -> None:
        """Let the peer release what it holds, or would hold, for us; what it does not hear, it gives up by itself."""
        with suppress(GuthiError):
            await self._node.request(peer, RELEASE, ticket, timeout_s=PAUSE_S)

    async def leave(self) -> None:
        """Release everything."""
        self._has_left = True
        kept = list(self._kept.values())
        for each in kept:
            self._lost(each)
        await asyncio.gather(*(self._drop(each.peer, each.grant.ticket) for each in kept))
