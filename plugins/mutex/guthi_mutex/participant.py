"""Decides what one node does in the locks of its network: it joins locks, leases, channels and the agreement on views.

The machine is told who else there is, what others say, and what callers want; it returns what is to be sent, written
down and told to callers. When another view is due, `occasion` decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from math import inf
from random import Random
from typing import TypeAlias

from guthi import MalformedMessage, MemberState, NodeId
from guthi_mutex.agreement import Agreement, Remember, Tell, ViewLearned
from guthi_mutex.agreement import Effect as AgreementEffect
from guthi_mutex.algorithm import Algorithm
from guthi_mutex.channels import Channels
from guthi_mutex.leases import Leases
from guthi_mutex.locks import Locks
from guthi_mutex.memory import Memory
from guthi_mutex.messages import (
    Carried,
    Installed,
    Message,
    Prepare,
    Presence,
    Propose,
    Received,
    Refused,
    Renew,
    Renewed,
)
from guthi_mutex.occasion import Occasion, Settings
from guthi_mutex.tickets import Effect as TicketEffect
from guthi_mutex.tickets import LockGranted, LockReport, Spoke, TicketLost, TicketRefused
from guthi_mutex.view import View, Voter

__all__ = ["Effect", "Participant"]

MAX_EARLY = 4096

Effect: TypeAlias = Remember | Tell | ViewLearned | LockGranted | TicketLost | TicketRefused


class Participant:
    """The machine; `now` is loop time in seconds, `first_epoch` gives the least epoch of a first view made now."""

    def __init__(
        self,
        me: NodeId,
        memory: Memory,
        settings: Settings,
        algorithms: Mapping[str, type[Algorithm]],
        rng: Random,
        first_epoch: Callable[[], int],
        now: float,
    ) -> None:
        self._settings, self._first_epoch = settings, first_epoch
        self._life = memory.life
        self._look_s = settings.lease_s / 4
        self.leases = Leases(me, settings.lease_s, now)
        self.locks = Locks(me, settings.policy, algorithms, self.leases, rng, settings.turn_s)
        voter = Voter(me, memory.life, settings.policy)
        self.agreement = Agreement(voter, memory, self.leases, self.locks.freeze, settings.patience_s)
        self._channels: Channels | None = None
        self._occasion = Occasion(me, settings, self.agreement, self.leases, self.locks, rng)
        self._early: list[tuple[NodeId, Carried]] = []
        self._impatient: set[int] = set()
        self._unleased_at: float | None = None  # since when locks are wanted without a lease
        self._change_at: float | None = None
        self._look_at: float | None = None
        self._frozen_at: float | None = None  # when this node first promised for the view that follows
        self._was_member = False  # in the view that is being left behind
        self.has_left = False

    # ---- callers

    def acquire(self, ticket: int, lock: str, now: float, *, is_impatient: bool = False) -> list[Effect]:
        """A caller wants a lock; an impatient one is refused when there is no quorum."""
        if is_impatient:
            self._impatient.add(ticket)
        self.leases.used(now)
        effects = self._from_locks(self.locks.acquire(ticket, lock, now), now)
        return [*effects, *self._go_on(now, looks=self.agreement.is_blank)]

    def release(self, ticket: int, now: float) -> list[Effect]:
        """A caller does not want, or hold, its lock any more."""
        self._impatient.discard(ticket)
        return self._from_locks(self.locks.release(ticket, now), now)

    def has_quorum(self, now: float) -> bool:
        """Whether this node could acquire, as far as it knows."""
        return self._unleased_at is None or now < self._unleased_at + self._settings.patience_s

    def rely(self, is_relied_on: bool, now: float) -> list[Effect]:
        """Whether somebody here needs a view and a lease in it, beside those who want locks."""
        self.locks.is_relied_on = is_relied_on
        return self._go_on(now, looks=is_relied_on) if is_relied_on else []

    def certain_until(self) -> float:
        """Until when no other view than this node's can be installed; it may be in the past."""
        is_certain = self.agreement.is_member and not self.agreement.is_frozen
        return self.leases.valid_until if is_certain else -inf

    # ---- the network

    def peers(self, peers: Mapping[NodeId, MemberState], now: float) -> list[Effect]:
        """All other nodes that could vote, as this one sees them."""
        self._occasion.surroundings.see(peers)
        return self._go_on(now, looks=True)

    def joined(self, now: float) -> list[Effect]:
        """This node knows its network; before, it must not take those few that it knows for all there are."""
        self._occasion.has_joined = True
        return self._go_on(now, looks=True)

    def receive(self, sender: NodeId, message: Message, now: float) -> list[Effect]:
        """Another node says something; raises MalformedMessage for what an algorithm does not understand."""
        if self.has_left:
            return []
        match message:
            case Carried():
                return self._on_carried(sender, message, now)
            case Received():
                if self._channels is not None and message.view_id == self.agreement.view_id:
                    self._channels.acknowledged(sender, message, now)
                return []
            case Renew():
                return self._on_renew(sender, message, now)
            case Renewed():
                return self._on_renewed(sender, message, now)
            case Presence():
                return [*self._on_presence(sender, message), *self._go_on(now, looks=True)]
        if self._occasion.is_leaving and isinstance(message, Prepare) and not self.agreement.is_member:
            return []
        effects = self._agreed(self.agreement.receive(sender, message, now), now)
        if isinstance(message, Prepare | Propose):
            self._yield_to_proposer(effects, now)
        return [*effects, *self._go_on(now)]

    def _on_carried(self, sender: NodeId, carried: Carried, now: float) -> list[Effect]:
        if carried.view_id > self.agreement.view_id:
            self._early = [*self._early[-MAX_EARLY:], (sender, carried)]
            return [Tell(sender, self._presence(asks=False))]
        if carried.view_id < self.agreement.view_id:
            return self._show_newest(sender)
        if self._channels is None or self.agreement.is_frozen:
            return []  # of no use any more, or not from a member
        in_turn = self._channels.receive(sender, carried, now) if self._is_member(sender) else []
        if len(in_turn) == 1:
            return self._act_on(sender, in_turn[0], now)
        effects: list[Effect] = []
        for each in in_turn:
            with suppress(MalformedMessage):  # what is bad of it must not hide the others
                effects += self._act_on(sender, each, now)
        return effects

    def _act_on(self, sender: NodeId, carried: Carried, now: float) -> list[Effect]:
        return self._from_locks(self.locks.receive(sender, carried.lock, carried.body, now), now)

    def _is_member(self, id: NodeId) -> bool:
        return self.agreement.view is not None and id in self.agreement.view.lives

    def _show_newest(self, to: NodeId) -> list[Effect]:
        newest = self.agreement.newest
        return [Tell(to, Installed(newest))] if newest is not None else []

    def _on_renew(self, sender: NodeId, renew: Renew, now: float) -> list[Effect]:
        if renew.view_id < self.agreement.view_id:
            return self._show_newest(sender)
        if renew.view_id > self.agreement.view_id:
            return [Tell(sender, self._presence(asks=False))]
        if not self.agreement.may_renew(sender):
            return []
        self.leases.consent(sender, now)
        return [Tell(sender, Renewed(renew.view_id, renew.sent_at))]

    def _on_renewed(self, sender: NodeId, renewed: Renewed, now: float) -> list[Effect]:
        if renewed.view_id != self.agreement.view_id:
            return []
        self.leases.consented(sender, renewed.sent_at, now)
        if self.leases.valid_until <= now:
            return []
        self._unleased_at = None
        return self._from_locks(self.locks.leased(now), now)

    def _presence(self, *, asks: bool) -> Presence:
        agreement = self.agreement
        return Presence(self._life, self._settings.policy, agreement.view_id, agreement.is_blank, asks)

    def _on_presence(self, sender: NodeId, presence: Presence) -> list[Effect]:
        self._occasion.surroundings.heard(sender, presence)
        effects: list[Effect] = []
        if presence.asks or presence.view_id > self.agreement.view_id:
            effects.append(Tell(sender, self._presence(asks=False)))
        if presence.view_id < self.agreement.view_id:
            effects += self._show_newest(sender)
        return effects

    # ---- effects of the parts

    def _from_locks(self, effects: Iterable[TicketEffect], now: float) -> list[Effect]:
        done: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Spoke):
                assert self._channels is not None
                done.append(Tell(effect.to, self._channels.send(effect.to, effect.lock, effect.body, now)))
            else:
                done.append(effect)
        return done

    def _agreed(self, effects: Iterable[AgreementEffect], now: float) -> list[Effect]:
        done: list[Effect] = []
        for effect in effects:
            done.append(effect)
            if isinstance(effect, Remember):
                self._note(effect.memory, now)
            if isinstance(effect, ViewLearned):
                done += self._view_learned(effect.view, now)
        if self.agreement.is_left_out and self.locks.held_count:
            done += self._from_locks(self.locks.lose(now), now)
        return done

    def _note(self, memory: Memory, now: float) -> None:
        if memory.promised is not None and self._frozen_at is None:
            self._frozen_at = now
        if memory.vote is not None:
            self.leases.voted(now)

    def _view_learned(self, view: View, now: float) -> list[Effect]:
        self._change_at = self._look_at = None
        self._occasion.surroundings.ask_again()
        is_member = self.agreement.is_member
        if self._occasion.is_leaving and not is_member:
            self.has_left = True
        promised_at = self._frozen_at if self._was_member and self._frozen_at is not None else -inf
        self._was_member, self._frozen_at = is_member, None
        self.leases.install(self.agreement.view, now, promised_at)
        self._channels = Channels(view.id) if is_member else None
        effects = self._from_locks(self.locks.install(view if is_member else None, now), now)
        early, self._early = self._early, []
        for sender, carried in early:
            with suppress(MalformedMessage):  # what is bad of it must not hide the view
                effects += self._on_carried(sender, carried, now)
        return effects

    # ---- time

    @property
    def deadline(self) -> float | None:
        """When `on_deadline` is due; it may be in the past."""
        agreement, channels = self.agreement, self._channels
        due = (
            agreement.deadline,
            self._look_at,
            self.leases.valid_until if self.locks.held_count else None,
            self.leases.due_at if agreement.is_member else None,
            channels.deadline if channels is not None and not agreement.is_frozen else None,
            self._change_at if not agreement.is_proposing else None,
        )
        first = min([at for at in due if at is not None], default=inf)
        return first if first < inf and not self.has_left else None

    def on_deadline(self, now: float) -> list[Effect]:
        """Do what is due."""
        if self.has_left:
            return []
        effects = self._agreed(self.agreement.on_deadline(now), now)
        if self._channels is not None and not self.agreement.is_frozen:
            effects += [Tell(to, message) for to, message in self._channels.on_deadline(now)]
        if self.locks.held_count and self.leases.valid_until <= now:
            effects += self._from_locks(self.locks.lose(now), now)
        return [*effects, *self._go_on(now, looks=self._look_at is None or now >= self._look_at)]

    def _go_on(self, now: float, *, looks: bool = False) -> list[Effect]:
        """Renew the lease, and see whether another view is due."""
        effects = self._renew(now)
        if looks or self._look_at is None:
            effects += self._look(now)
        if self._change_at is not None and now >= self._change_at and not self.agreement.is_proposing:
            effects += self._propose(now)
        return effects

    def _renew(self, now: float) -> list[Effect]:
        if self.locks.is_in_use:
            self.leases.used(now)
        if self.agreement.view is None or not self.agreement.is_member:
            return []
        renew = Renew(self.agreement.view.id, now)
        return [Tell(id, renew) for id in self.leases.renewals(now)]

    def _look(self, now: float) -> list[Effect]:
        """See who is there, who is not, and whether callers that are impatient have to be refused."""
        effects: list[Effect] = [Tell(id, self._presence(asks=True)) for id in self._occasion.to_be_asked(now)]
        self._note_quorum(now)
        if not self.has_quorum(now):
            for ticket in sorted(self._impatient):
                effects += self._from_locks(self.locks.refuse(ticket, now), now)
            self._impatient.clear()
        is_due = self._invited(now) is not None
        if not is_due:
            self._change_at = None
        elif self._change_at is None and not self.agreement.is_proposing:
            self._change_at = now + self._occasion.stagger_s()
        is_undecided = self.agreement.is_frozen and not self.agreement.is_blank
        needs_looks = is_due or self.locks.is_in_use or is_undecided or self._occasion.strangers()
        self._look_at = now + self._look_s if needs_looks else None
        return effects

    def _note_quorum(self, now: float) -> None:
        if not self.locks.is_in_use or self.leases.valid_until > now:
            self._unleased_at = None
        elif self._unleased_at is None:
            self._unleased_at = now

    # ---- another view

    def _invited(self, now: float) -> list[NodeId] | None:
        return self._occasion.invited(now, is_broken=self._channels is not None and self._channels.is_broken)

    def _propose(self, now: float) -> list[Effect]:
        self._change_at = None
        invited = self._invited(now)
        if invited is None:
            return []
        effects = self.agreement.propose(
            invited,
            now,
            required=self._occasion.required,
            first_epoch=self._first_epoch(),
            is_leaving=self._occasion.is_leaving,
        )
        return self._agreed(effects, now)

    def _yield_to_proposer(self, effects: Iterable[Effect], now: float) -> None:
        """Another node proposes: let it, as long as it may take."""
        if self.agreement.is_frozen:
            refused = [each.message for each in effects if isinstance(each, Tell) and isinstance(each.message, Refused)]
            wait_s = max((message.wait_ms / 1000 for message in refused), default=0.0)
            self._change_at = now + wait_s + self._occasion.stagger_s()

    # ---- the end

    def leave(self, now: float) -> list[Effect]:
        """Give up all locks and ask for a view without this node; `has_left` says when that has come about."""
        self._occasion.is_leaving = True
        effects = self._from_locks(self.locks.lose(now), now)
        self.has_left = not self.agreement.is_member or not self._invited(now)
        return effects if self.has_left else [*effects, *self._propose(now)]

    def forget(self) -> list[Effect]:
        """What is to be written down when `has_left`."""
        return list(self.agreement.forget())

    # ---- for people

    def report(self, now: float) -> list[LockReport]:
        """The locks that are held here or waited for."""
        return self.locks.report(now)
