"""Decides what one node does in the locks of its network: it joins locks, leases, channels and the agreement on views.

The machine is told who else there is, what others say, and what callers want; it returns what is to be sent, written
down and told to callers. Besides what its parts do, it decides when another view is due:

- the first one, when somebody here wants a lock: once all that are there have said that they know of none;
- a next one, when a voter has failed, left or been silent for a lease, when somebody is there who is not in it, when
  this node has restarted, when a view that was being decided is not, when a table of the view is full.

Any voter proposes; they wait for one another by rank, so that mostly the first one does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf
from random import Random
from typing import TypeAlias

from guthi import MemberState, NodeId
from guthi_mutex.agreement import Agreement, Remember, Tell, ViewLearned
from guthi_mutex.agreement import Effect as AgreementEffect
from guthi_mutex.algorithm import Algorithm
from guthi_mutex.channels import Channels
from guthi_mutex.leases import Leases
from guthi_mutex.locks import Effect as LocksEffect
from guthi_mutex.locks import LockGranted, LockReport, Locks, Spoke, TicketLost, TicketRefused
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
from guthi_mutex.surroundings import Surroundings
from guthi_mutex.view import Policy, View, Voter

__all__ = ["Effect", "Participant", "Settings"]

MAX_EARLY = 4096
RANK_S = 0.05
LONGEST_RANK_S = 1.0

Effect: TypeAlias = Remember | Tell | ViewLearned | LockGranted | TicketLost | TicketRefused


@dataclass(frozen=True, slots=True)
class Settings:
    """`quorum` is how many nodes a first view needs; 0: more than half of those that are known."""

    policy: Policy
    lease_s: float
    quorum: int = 0

    @property
    def patience_s(self) -> float:
        """How long an answer is waited for."""
        return self.lease_s / 2


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
        self._me, self._settings, self._rng, self._first_epoch = me, settings, rng, first_epoch
        self._life = memory.life
        self._look_s = settings.lease_s / 4
        self.leases = Leases(me, settings.lease_s, now)
        self.locks = Locks(me, settings.policy, algorithms, self.leases, rng)
        voter = Voter(me, memory.life, settings.policy)
        self.agreement = Agreement(voter, memory, self.leases, self.locks.freeze, settings.patience_s)
        self._channels: Channels | None = None
        self._surroundings = Surroundings(me)
        self._early: list[tuple[NodeId, Carried]] = []
        self._impatient: set[int] = set()
        self._wanted_at: float | None = None  # since when a first view is wanted
        self._unleased_at: float | None = None  # since when locks are wanted without a lease
        self._change_at: float | None = None
        self._look_at: float | None = None
        self._frozen_at: float | None = None  # when this node first promised for the view that follows
        self._was_member = False  # in the view that is being left behind
        self._has_joined = self._is_leaving = False
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

    # ---- the network

    def peers(self, peers: Mapping[NodeId, MemberState], now: float) -> list[Effect]:
        """All other nodes that could vote, as this one sees them."""
        self._surroundings.see(peers)
        return self._go_on(now, looks=True)

    def joined(self, now: float) -> list[Effect]:
        """This node knows its network; before, it must not take those few that it knows for all there are."""
        self._has_joined = True
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
        if self._is_leaving and isinstance(message, Prepare) and not self.agreement.is_member:
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
        if not self._is_member(sender) or not self._channels.receive(sender, carried, now):
            return []
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
        self._surroundings.heard(sender, presence)
        effects: list[Effect] = []
        if presence.asks or presence.view_id > self.agreement.view_id:
            effects.append(Tell(sender, self._presence(asks=False)))
        if presence.view_id < self.agreement.view_id:
            effects += self._show_newest(sender)
        return effects

    # ---- effects of the parts

    def _from_locks(self, effects: Iterable[LocksEffect], now: float) -> list[Effect]:
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
            if isinstance(effect, Remember) and effect.memory.promised is not None and self._frozen_at is None:
                self._frozen_at = now
            if isinstance(effect, ViewLearned):
                done += self._view_learned(effect.view, now)
        if self.agreement.is_voted_out and self.locks.held_count:
            done += self._from_locks(self.locks.lose(now), now)
        return done

    def _view_learned(self, view: View, now: float) -> list[Effect]:
        self._change_at = self._look_at = None
        self._surroundings.ask_again()
        is_member = self.agreement.is_member
        if self._is_leaving and not is_member:
            self.has_left = True
        promised_at = self._frozen_at if self._was_member and self._frozen_at is not None else -inf
        self._was_member, self._frozen_at = is_member, None
        self.leases.install(self.agreement.view, now, promised_at)
        self._channels = Channels(view.id) if is_member else None
        effects = self._from_locks(self.locks.install(view if is_member else None, now), now)
        early, self._early = self._early, []
        for sender, carried in early:
            effects += self._on_carried(sender, carried, now)
        return effects

    # ---- time

    @property
    def deadline(self) -> float | None:
        """When `on_deadline` is due; it may be in the past."""
        agreement, channels = self.agreement, self._channels
        due = [agreement.deadline, self._look_at]
        if self.locks.held_count:
            due.append(self.leases.valid_until)
        if agreement.is_member:
            due.append(self.leases.due_at)
        if channels is not None and not agreement.is_frozen:
            due.append(channels.deadline)
        if not agreement.is_proposing:
            due.append(self._change_at)
        first = min((at for at in due if at is not None), default=inf)
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
        effects = self._ask_strangers(now)
        self._note_quorum(now)
        if not self.has_quorum(now):
            for ticket in sorted(self._impatient):
                effects += self._from_locks(self.locks.refuse(ticket, now), now)
            self._impatient.clear()
        is_due = self._invited(now) is not None
        if not is_due:
            self._change_at = None
        elif self._change_at is None and not self.agreement.is_proposing:
            self._change_at = now + self._stagger_s()
        is_undecided = self.agreement.is_frozen and not self.agreement.is_blank
        needs_looks = is_due or self.locks.is_in_use or is_undecided or self._strangers()
        self._look_at = now + self._look_s if needs_looks else None
        return effects

    def _note_quorum(self, now: float) -> None:
        if not self.locks.is_in_use or self.leases.valid_until > now:
            self._unleased_at = None
        elif self._unleased_at is None:
            self._unleased_at = now

    # ---- another view

    def _strangers(self) -> list[NodeId]:
        """Whom to ask who it is: if a first view is wanted all, later those that are new, by a few of the voters."""
        newest = self.agreement.newest
        should_ask = self._is_first_wanted() if newest is None else self._surroundings.is_asker(newest)
        return self._surroundings.strangers(newest) if should_ask else []

    def _is_first_wanted(self) -> bool:
        return self._has_joined and self.locks.is_in_use

    def _ask_strangers(self, now: float) -> list[Effect]:
        if self._wanted_at is None and self.agreement.is_blank and self._is_first_wanted():
            self._wanted_at = now
        asked = self._surroundings.to_be_asked(self._strangers(), now, self._look_s)
        return [Tell(id, self._presence(asks=True)) for id in asked]

    def _invited(self, now: float) -> list[NodeId] | None:
        """Who should be in the next view; None where none is due or can be."""
        view = self.agreement.view
        if self._is_leaving:
            return [id for id in view.members if self._surroundings.is_there(id)] if view is not None else None
        if view is None and not self.agreement.is_blank:
            return None
        return self._invited_to_first(now) if view is None else self._invited_to_next(view, now)

    def _invited_to_first(self, now: float) -> list[NodeId] | None:
        if self._wanted_at is None or not self._is_first_wanted():
            return None
        if self._strangers() and now < self._wanted_at + self._settings.patience_s:
            return None
        blank = self._surroundings.blank()
        return blank if len(blank) + 1 >= self._required() else None

    def _required(self) -> int:
        return self._settings.quorum or self._surroundings.majority

    def _invited_to_next(self, view: View, now: float) -> list[NodeId] | None:
        gone, joining = self._surroundings.gone(view), self._surroundings.joining(view)
        silent = set(self.leases.silent(now))
        invited = (set(view.members) - gone - silent) | joining
        is_broken = self._channels is not None and self._channels.is_broken
        is_stuck = self.agreement.is_frozen or not self.agreement.is_member or self.locks.is_full or is_broken
        if not view.is_quorum(invited | {self._me}):
            invited |= silent  # one more try, if the view can grant nothing anyway
            return sorted(invited) if is_stuck and view.is_quorum(invited | {self._me}) else None
        return sorted(invited) if gone or silent or joining or is_stuck else None

    def _stagger_s(self) -> float:
        if self.agreement.is_frozen:
            return self._settings.patience_s * self._rng.uniform(1.5, 3)
        if self.agreement.is_blank:  # only those propose who want a lock
            return self._rng.uniform(0, RANK_S)
        return min(self._surroundings.rank * RANK_S, LONGEST_RANK_S) + self._rng.uniform(0, RANK_S / 2)

    def _propose(self, now: float) -> list[Effect]:
        self._change_at = None
        invited = self._invited(now)
        if invited is None:
            return []
        effects = self.agreement.propose(
            invited,
            now,
            required=self._required(),
            first_epoch=self._first_epoch(),
            is_leaving=self._is_leaving,
        )
        return self._agreed(effects, now)

    def _yield_to_proposer(self, effects: Iterable[Effect], now: float) -> None:
        """Another node proposes: let it, as long as it may take."""
        if self.agreement.is_frozen:
            refused = [each.message for each in effects if isinstance(each, Tell) and isinstance(each.message, Refused)]
            wait_s = max((message.wait_ms / 1000 for message in refused), default=0.0)
            self._change_at = now + wait_s + self._stagger_s()

    # ---- the end

    def leave(self, now: float) -> list[Effect]:
        """Give up all locks and ask for a view without this node; `has_left` says when that has come about."""
        self._is_leaving = True
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
