"""Decides until when this node may hold locks, and how long it may not yet drop another that may.

A node that uses locks asks all voters of its view, three times a lease, not to drop it. It may hold locks as long as a
quorum's consents, each counted from when it was asked for, are younger than a lease. A voter that consented accepts no
view without the other for DRIFT times a lease: its own, or the other's if that is longer, for a frozen node goes by
what it knew last. Both measure on their own clocks from moments in that order, so the
holder stops first as long as no clock runs more than DRIFT times as fast as another: never are there two holders
(Gray and Cheriton, "Leases", SOSP 1989). To come into a view with others is to consent to all of them.

A voter that has voted for the view that is to follow consents no more, the holder itself included: that view may be
installed, and those who are in it drop the holder by consents of their own. As any two quorums have a voter in common,
whoever relies on a quorum's consents relies on one that is older than that view, and so than what those consent to.

Nothing is sent while no lock is in use. A node that has just started may have consented before it did, and consents
for as long as it could have.
"""

from __future__ import annotations

from math import inf

from guthi import NodeId
from guthi_mutex.view import View

__all__ = ["DRIFT", "Leases"]

DRIFT = 1.25
RENEWALS_A_LEASE = 3
MAX_CONSENTS = 65_536
LINGER_LEASES = 2  # for so long it is renewed after the last use: who used a lock will often use it again


class Leases:
    """The machine of a node whose own lease is `lease_s`: so long it consents. Times are loop time in seconds."""

    def __init__(self, me: NodeId, lease_s: float, now: float) -> None:
        self._me, self._own_s = me, lease_s
        self.lease_s = lease_s
        """How long a consent lasts in the present view: the shortest lease of its voters."""
        self._view: View | None = None
        self._user_leases_s: dict[NodeId, float] = {}
        self._heard: dict[NodeId, float] = {}  # when we asked for what was consented last
        self._asked: dict[NodeId, float] = {}  # since when we have asked a voter that has not consented since
        self._sent_at = -inf
        self._used_at = -inf
        self._consented: dict[NodeId, float] = {}
        self._voted_at = inf
        self._started_at = now
        self._valid_until: float | None = -inf  # None: to be computed

    def install(self, view: View | None, now: float, promised_at: float = -inf) -> None:
        """Another view, or none. A voter consents to all with whom it comes into a view.

        `promised_at` is when this node, as a member of the view before, first promised: whoever decides on the next
        view has come into this one later, so its consent may be counted from then.
        """
        members = view.members if view is not None else ()
        self._view = view
        voters = view.voters if view is not None else ()
        self._user_leases_s = {each.id: each.policy.lease_s for each in voters if each.policy.lease_s < inf}
        self.lease_s = min(self._own_s, view.lease_s) if view is not None else self._own_s
        self._heard = {id: max(self._heard.get(id, -inf), promised_at) for id in members}
        self._asked = {}
        self._consented.update(dict.fromkeys(members, now))
        self._sent_at = -inf
        self._voted_at = inf
        self._valid_until = None

    # ---- as a holder

    def used(self, now: float) -> None:
        """Locks are in use."""
        self._used_at = now

    def voted(self, now: float) -> None:
        """This node has voted for the view that is to follow: its consent to itself counts until now."""
        self._voted_at = min(self._voted_at, now)
        self._valid_until = None

    @property
    def valid_until(self) -> float:
        """Until when this node may hold locks; it may be in the past."""
        if self._valid_until is None:
            self._valid_until = self._compute()
        return self._valid_until

    def _compute(self) -> float:
        if self._view is None or self._me not in self._view.lives:
            return -inf
        agreed: set[NodeId] = set()
        consents = {**self._heard, self._me: self._voted_at}
        for id, at in sorted(consents.items(), key=lambda item: (-item[1], item[0])):
            agreed.add(id)
            if at > -inf and self._view.is_quorum(agreed):
                return at + self.lease_s
        return -inf

    def renewals(self, now: float) -> list[NodeId]:
        """Whom to ask now, if it is time."""
        if now > self._used_at + LINGER_LEASES * self.lease_s:
            self._used_at = -inf
        if self.due_at is None or now < self.due_at or self._view is None:
            return []
        self._sent_at = now
        others = [id for id in self._view.members if id != self._me]
        for id in others:
            self._asked.setdefault(id, now)
        return others

    @property
    def due_at(self) -> float | None:
        """When it is time to ask; None while no lock is in use."""
        if self._used_at == -inf or self._view is None or self._view.members == (self._me,):
            return None
        return self._sent_at + self.lease_s / RENEWALS_A_LEASE

    def consented(self, voter: NodeId, sent_at: float, now: float) -> None:
        """A voter has consented to what was asked at `sent_at`."""
        if self._view is not None and voter in self._view.lives and self._heard.get(voter, -inf) < sent_at <= now:
            self._heard[voter] = sent_at
            self._asked.pop(voter, None)
            self._valid_until = None

    def silent(self, now: float) -> list[NodeId]:
        """Who has been asked for longer than anybody's lease lasts, and has not consented."""
        limit = now - DRIFT * self._own_s
        is_asking = now - self._sent_at < self._own_s
        return [id for id, at in sorted(self._asked.items()) if is_asking and at < limit]

    # ---- as a voter

    def consent(self, user: NodeId, now: float) -> None:
        """This node consents not to drop a user."""
        self._consented[user] = now
        if len(self._consented) > MAX_CONSENTS:
            self._consented = {id: at for id, at in self._consented.items() if self.wait_s(id, now) > 0}

    def wait_s(self, user: NodeId, now: float) -> float:
        """How long a user may not be dropped yet."""
        consented_at = max(self._consented.get(user, -inf), self._started_at)
        return max(consented_at + DRIFT * self._longest_s(user) - now, 0.0)

    def _longest_s(self, user: NodeId) -> float:
        """The longest lease that a user may still go by, who perhaps knows an older view than this node."""
        return max(self._own_s, self._user_leases_s.get(user, 0.0))
