"""Decides whether another view is due, who is to be invited to it, and how long this node lets others propose it first.

One is due:

- as the first one, when somebody here wants a lock: once all that are there have said that they know of none;
- as the next one, when a voter has failed, left or been silent for a lease, when somebody is there who is not in it,
  when this node has restarted, when a view that was being decided is not, when a table of the view is full;
- when this node leaves.

Any voter proposes; they wait for one another by rank, so that mostly the first one does.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from guthi import NodeId
from guthi_mutex.agreement import Agreement
from guthi_mutex.leases import Leases
from guthi_mutex.locks import Locks
from guthi_mutex.surroundings import Surroundings
from guthi_mutex.view import Policy, View

__all__ = ["Occasion", "Settings"]

RANK_S = 0.05
LONGEST_RANK_S = 1.0


@dataclass(frozen=True, slots=True)
class Settings:
    """`quorum` is how many nodes a first view needs; 0: more than half of those that are known. `turn_s` is a turn."""

    policy: Policy
    lease_s: float
    quorum: int = 0
    turn_s: float = 0.0

    @property
    def patience_s(self) -> float:
        """How long an answer is waited for."""
        return self.lease_s / 2


class Occasion:
    """What one node makes of its surroundings; times are loop time in seconds."""

    def __init__(
        self, me: NodeId, settings: Settings, agreement: Agreement, leases: Leases, locks: Locks, rng: Random
    ) -> None:
        self._me, self._settings, self._rng = me, settings, rng
        self._agreement, self._leases, self._locks = agreement, leases, locks
        self._look_s = settings.lease_s / 4
        self._wanted_at: float | None = None  # since when a first view is wanted
        self.surroundings = Surroundings(me)
        self.has_joined = self.is_leaving = False

    # ---- strangers

    def to_be_asked(self, now: float) -> list[NodeId]:
        """Who is to be asked now who it is."""
        if self._wanted_at is None and self._agreement.is_blank and self._is_first_wanted():
            self._wanted_at = now
        return self.surroundings.to_be_asked(self.strangers(), now, self._look_s)

    def strangers(self) -> list[NodeId]:
        """Who has yet to say who it is: if a first view is wanted all, later those that are new, to a few voters."""
        newest = self._agreement.newest
        should_ask = self._is_first_wanted() if newest is None else self.surroundings.is_asker(newest)
        return self.surroundings.strangers(newest) if should_ask else []

    def _is_first_wanted(self) -> bool:
        return self.has_joined and self._locks.is_in_use

    # ---- invitations

    @property
    def required(self) -> int:
        """How many have to agree to a first view."""
        return self._settings.quorum or self.surroundings.majority

    def invited(self, now: float, *, is_broken: bool) -> list[NodeId] | None:
        """Who should be in the next view; None where none is due or can be."""
        view = self._agreement.view
        if self.is_leaving:
            return [id for id in view.members if self.surroundings.is_there(id)] if view is not None else None
        if view is not None:
            return self._invited_to_next(view, now, is_broken)
        return self._invited_to_first(now) if self._agreement.is_blank else None

    def _invited_to_first(self, now: float) -> list[NodeId] | None:
        if self._wanted_at is None or not self._is_first_wanted():
            return None
        if self.strangers() and now < self._wanted_at + self._settings.patience_s:
            return None
        blank = self.surroundings.blank()
        return blank if len(blank) + 1 >= self.required else None

    def _invited_to_next(self, view: View, now: float, is_broken: bool) -> list[NodeId] | None:
        gone, joining = self.surroundings.gone(view), self.surroundings.joining(view)
        silent = set(self._leases.silent(now))
        invited = (set(view.members) - gone - silent) | joining
        agreement = self._agreement
        is_stuck = agreement.is_frozen or not agreement.is_member or self._locks.is_full or is_broken
        if not view.is_quorum(invited | {self._me}):
            invited |= silent  # one more try, if the view can grant nothing anyway
            return sorted(invited) if is_stuck and view.is_quorum(invited | {self._me}) else None
        return sorted(invited) if gone or silent or joining or is_stuck else None

    def stagger_s(self) -> float:
        """How long to wait before proposing, for others may."""
        if self._agreement.has_voted:  # the view is there as soon as the proposer knows, if it lives; leases run out
            return self._settings.patience_s * self._rng.uniform(0.5, 1)
        if self._agreement.is_frozen:
            return self._settings.patience_s * self._rng.uniform(1.5, 3)
        if self._agreement.is_blank:  # only those propose who want a lock
            return self._rng.uniform(0, RANK_S)
        return min(self.surroundings.rank * RANK_S, LONGEST_RANK_S) + self._rng.uniform(0, RANK_S / 2)
