"""Runs the participant on the loop: messages, timers, the notebook, and the callers that wait for their grants."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import count
from math import inf
from random import Random
from typing import TYPE_CHECKING

from guthi import GuthiError, Incoming, NodeClosed, NodeId, PeerLost, Role
from guthi.timer import Timer
from guthi_mutex.agreement import Remember, Tell, ViewLearned
from guthi_mutex.algorithm import Algorithm
from guthi_mutex.errors import AlgorithmConflict, NoQuorum
from guthi_mutex.grant import Grant
from guthi_mutex.messages import Installed, decode, encode
from guthi_mutex.notebook import Notebook
from guthi_mutex.occasion import Settings
from guthi_mutex.participant import Effect, Participant
from guthi_mutex.tickets import Disagreement, LockGranted, LockReport, TicketLost, TicketRefused
from guthi_mutex.view import MAX_EPOCH
from guthi_mutex.views import Views

if TYPE_CHECKING:
    from guthi import Member, Node

__all__ = ["Keeper", "votes"]

TOPIC = "mutex.view"
FIRST_SECOND = 1_767_225_600  # 2026-01-01: epochs count from there, so that fences stay below 2**63 until 2094
LAST_FIRST_EPOCH = MAX_EPOCH - (1 << 24)  # for a clock that is beyond that: some are left for the views that follow

log = logging.getLogger("guthi_mutex.keeper")


def votes(member: Member) -> bool:
    """Whether a member takes part in deciding about locks."""
    return member.role is Role.PEER and any(name == "mutex" for name, _ in member.plugins)


class Keeper:
    """The locks of a node that votes."""

    def __init__(self, node: Node, settings: Settings, algorithms: Mapping[str, type[Algorithm]]) -> None:
        self._node, self._patience_s = node, settings.patience_s
        self._loop = asyncio.get_running_loop()
        self._notebook = Notebook(node.config.node.data_dir, node.codec)
        self._participant = Participant(
            node.id,
            self._notebook.begin(),
            settings,
            algorithms,
            Random(node.host.entropy(16)),
            lambda: min(max(int(node.host.wall_time_s()) - FIRST_SECOND, 1), LAST_FIRST_EPOCH),
            self._loop.time(),
        )
        self._tickets = count(1)
        self._waiting: dict[int, asyncio.Future[Grant]] = {}
        self._grants: dict[int, Grant] = {}
        self._released: dict[int, str] = {}  # tickets of this turn of the loop, with their locks
        self._timer = Timer(self._on_timer)
        self._rings_at = inf
        self._left = asyncio.Event()
        self._looks_soon = self._is_closed = False
        self.views = Views(self._rely, settings.lease_s)
        node.handle(TOPIC, self._heard)

    # ---- callers

    async def acquire(self, lock: str, *, is_impatient: bool = False) -> Grant:
        """Wait for a lock; cancelling the wait leaves nothing behind.

        Raises NoQuorum, AlgorithmConflict, NodeClosed.
        """
        if self._is_closed:
            raise NodeClosed("the node is closed; make a new one")
        ticket = next(self._tickets)
        waiting: asyncio.Future[Grant] = self._loop.create_future()
        self._waiting[ticket] = waiting
        self._perform(self._participant.acquire(ticket, lock, self._loop.time(), is_impatient=is_impatient))
        if lock in self._released.values():
            self._pass_on()
        try:
            return await waiting
        except asyncio.CancelledError:
            self._withdraw(ticket)
            raise
        finally:
            self._waiting.pop(ticket, None)

    async def release(self, grant: Grant) -> None:
        """Give a lock back."""
        self.give_back(grant)

    def give_back(self, grant: Grant) -> None:
        """The same, for a plain function.

        The lock is passed on at the end of this turn of the loop, or when it is wanted here again before: that can
        then be said along with it.
        """
        if self._grants.pop(grant.ticket, None) is None:
            return
        if not self._released:
            self._loop.call_soon(self._pass_on)
        self._released[grant.ticket] = grant.lock
        self._node.hooks.notify("lock_released", lock=grant.lock, fence=grant.fence)

    def _pass_on(self) -> None:
        released, self._released = self._released, {}
        for ticket in released:
            self._perform(self._participant.release(ticket, self._loop.time()))

    def _withdraw(self, ticket: int) -> None:
        """A ticket whose caller waits no more; it may have been granted in this very turn."""
        grant = self._grants.get(ticket)
        if grant is not None:
            self.give_back(grant)
        else:
            self._perform(self._participant.release(ticket, self._loop.time()))

    def _rely(self, is_relied_on: bool) -> None:
        self._perform(self._participant.rely(is_relied_on and not self._is_closed, self._loop.time()))

    @property
    def valid_until(self) -> float:
        """Until when this node may hold locks, in loop time."""
        return self._participant.leases.valid_until

    @property
    def lease_s(self) -> float:
        """The lease of the present view."""
        return self._participant.leases.lease_s

    @property
    def has_quorum(self) -> bool:
        """Whether this node could acquire, as far as it knows."""
        return self._participant.has_quorum(self._loop.time())

    @property
    def participant(self) -> Participant:
        """The machine, for a look at it."""
        return self._participant

    def report(self) -> list[LockReport]:
        """The locks that are held here or waited for."""
        self._pass_on()
        return self._participant.report(self._loop.time())

    # ---- the network

    def joined(self) -> None:
        """The node has joined its network."""
        self._look_around()
        self._perform(self._participant.joined(self._loop.time()))

    def look_around(self) -> None:
        """Somebody came, went, or is thought otherwise of; often many at once."""
        if not self._looks_soon:
            self._looks_soon = True
            self._loop.call_soon(self._look_around)

    def _look_around(self) -> None:
        self._looks_soon = False
        if self._left.is_set():
            return
        members = self._node.network.membership.members
        peers = {id: each.state for id, each in members.items() if id != self._node.id and votes(each)}
        self._perform(self._participant.peers(peers, self._loop.time()))

    def _heard(self, incoming: Incoming) -> None:
        self._perform(self._participant.receive(incoming.peer, decode(incoming.value), self._loop.time()))

    def _on_timer(self) -> None:
        self._rings_at = inf
        due, now = self._participant.deadline, self._loop.time()
        if due is not None and due <= now:
            self._perform(self._participant.on_deadline(now))
        else:
            self._ring_by(due)

    def _ring_by(self, due: float | None) -> None:
        """A ring that is too early costs less than to set the timer anew with every message that puts it off."""
        if due is not None and due < self._rings_at:
            self._rings_at = due
            self._timer.set(due)

    def _perform(self, effects: Iterable[Effect]) -> None:
        agreement = self._participant.agreement
        view = agreement.view if agreement.is_member else None
        self.views.update(view, self._participant.certain_until(), self._loop.time())  # before anybody is told
        for effect in effects:
            match effect:
                case Tell():
                    self._tell(effect)
                case Remember():
                    self._notebook.write(effect.memory)
                case LockGranted():
                    self._granted(effect)
                case TicketLost():
                    self._lost(effect)
                case TicketRefused():
                    self._refused(effect)
                case ViewLearned():
                    names = ", ".join(self._name_of(id) for id in effect.view.members)
                    log.debug("locks are decided by %s from epoch %d on", names, effect.view.id.epoch)
        if self._participant.has_left:
            self._left.set()
        self._ring_by(self._participant.deadline)

    def _tell(self, tell: Tell) -> None:
        with suppress(PeerLost, NodeClosed):  # the machine tries again, or does without
            self._node.network.requests.cast(tell.to, TOPIC, encode(tell.message))

    def _granted(self, effect: LockGranted) -> None:
        waiting = self._waiting[effect.ticket]
        if waiting.done():  # cancelled, and about to withdraw
            return
        grant = Grant(effect.lock, effect.fence, effect.ticket, lambda: self.valid_until)
        self._grants[effect.ticket] = grant
        waiting.set_result(grant)
        self._node.hooks.notify("lock_granted", lock=effect.lock, fence=effect.fence)

    def _lost(self, effect: TicketLost) -> None:
        grant = self._grants.pop(effect.ticket, None)
        if grant is not None:
            grant.lost.set()
            log.warning("%s has lost the lock %r (fence %#x)", self._node.name, effect.lock, effect.fence)
            self._node.hooks.notify("lock_lost", lock=effect.lock, fence=effect.fence)

    def _refused(self, effect: TicketRefused) -> None:
        waiting = self._waiting.get(effect.ticket)
        if waiting is not None and not waiting.done():
            disagreement = effect.disagreement
            waiting.set_exception(self._conflict(effect.lock, disagreement) if disagreement else self._no_quorum())

    def _conflict(self, lock: str, disagreement: Disagreement) -> GuthiError:
        (first, second), (one, other) = disagreement.nodes, disagreement.algorithms
        return AlgorithmConflict(
            f"the lock {lock!r} has the algorithm {one!r} on {self._name_of(first)} and {other!r} on "
            f"{self._name_of(second)}; give it the same in [plugins.mutex] of all nodes"
        )

    def _no_quorum(self) -> GuthiError:
        view = self._participant.agreement.newest
        known = f"the majority of {', '.join(map(self._name_of, view.members))}" if view is not None else "a majority"
        return NoQuorum(f"{self._node.name} does not reach {known}; wait, or look at the network")

    def _name_of(self, id: NodeId) -> str:
        return self._node.network.name_of(id)

    # ---- the end

    async def leave(self) -> None:
        """Give up all locks, fail all waiters, and leave the view if a majority agrees in time."""
        self._is_closed = True
        for ticket, waiting in list(self._waiting.items()):
            if not waiting.done():
                waiting.set_exception(NodeClosed("the node was closed before the lock was granted"))
                self._withdraw(ticket)
        self._pass_on()
        self._perform(self._participant.leave(self._loop.time()))
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience_s):
                await self._left.wait()
        if self._participant.has_left:
            await self._say_goodbye()
            self._perform(self._participant.forget())
        self._timer.set(None)
        self._rings_at = -inf

    async def _say_goodbye(self) -> None:
        """See that the view without this node is known: the news that it has left would close the sessions first."""
        view = self._participant.agreement.newest
        if view is None or self._node.id in view.lives:
            return
        installed = encode(Installed(view))
        told = (self._node.request(id, TOPIC, installed, timeout_s=self._patience_s) for id in view.members)
        await asyncio.gather(*told, return_exceptions=True)
