"""Decides which view follows which: one decree of Paxos for each view, with the voters of the view before as acceptors.

L. Lamport, "The part-time parliament", ACM TOCS 16(2), 1998; that the voters of each view choose the next one is
dynamic voting (Jajodia and Mutchler 1990); that no message crosses from view to view is view synchrony (Birman).

A proposer sends Prepare to all whom it wants in the next view. Whoever promises takes no new grant in the old view, and
says which locks it holds; so what is in the promises is all there is to carry over, and a voter without a promise is
not carried over. When all have promised, or a quorum has and PATIENCE is over, the proposer proposes the view of those
who have. A view that a quorum has accepted is installed; whoever missed that is told when it shows that it is behind.

Invariants
- One view follows a view: as in Paxos, a proposer takes over the vote of the greatest ballot among its promises.
- Promise and vote are remembered on disk before they are told. So a restarted node still votes; but it is another
  life, has forgotten its locks, and takes part in no algorithm before a view has its new life.
- A voter accepts a view without another, or with a new life of it, only when its consent to the other's lease has run
  out (see `leases`): the other's clients may know nothing of its end yet. Only who made a view without itself is not
  waited for: it leaves, and had given up all before. Who is to be left out gives up its locks when it hears of it.
- A node learns only newer views. If it is not in them, it is an outsider, holds nothing, and waits to be taken in.
- The first view is decided by those who know of none: as many as the proposer requires.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from guthi import NodeId
from guthi_mutex.attempt import Attempt
from guthi_mutex.leases import Leases
from guthi_mutex.memory import Memory
from guthi_mutex.messages import (
    BLANK,
    Accepted,
    Ballot,
    Installed,
    Message,
    Prepare,
    Promise,
    Propose,
    Refused,
    Vote,
)
from guthi_mutex.view import View, ViewId, Voter

__all__ = ["Agreement", "Remember", "Tell", "ViewLearned"]


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a message."""

    to: NodeId
    message: Message


@dataclass(frozen=True, slots=True)
class Remember:
    """Write this down before anything that follows is sent."""

    memory: Memory


@dataclass(frozen=True, slots=True)
class ViewLearned:
    """A newer view is known; this node is in it, or else an outsider."""

    view: View


Effect: TypeAlias = Tell | Remember | ViewLearned


class Agreement:
    """The machine of one node; `freeze` ends granting in the present view and returns the locks that are held here."""

    def __init__(
        self,
        me: Voter,
        memory: Memory,
        leases: Leases,
        freeze: Callable[[], Sequence[tuple[str, int]]],
        patience_s: float,
    ) -> None:
        self._me, self._leases, self._freeze, self._patience_s = me, leases, freeze, patience_s
        self._candidate: View | None = memory.vote.view if memory.vote is not None else None
        self._round = 0
        self._attempt: Attempt | None = None
        self._hold(memory)

    def _hold(self, memory: Memory) -> None:
        """What follows from what is remembered; it is asked for at every message, and changes with a view."""
        self._memory = memory
        self.view = memory.view
        """The view in which this node votes; None while it is blank or an outsider."""
        self.newest = memory.view or memory.outside
        """The newest view that is known."""
        self.view_id = self.newest.id if self.newest is not None else BLANK
        """The id of the newest view that is known."""
        self.is_member = self.view is not None and self.view.lives.get(self._me.id) == self._me.life
        """Whether the present life of this node is in the view."""
        self.is_frozen = memory.promised is not None
        """Whether another view is being decided, as far as this node knows."""

    @property
    def has_voted(self) -> bool:
        """Whether it has accepted a view, which may be installed already."""
        return self._memory.vote is not None

    @property
    def is_left_out(self) -> bool:
        """Whether a view without this node is being decided, as far as it knows: it may hold nothing from then on."""
        return self._candidate is not None and self._candidate.lives.get(self._me.id) != self._me.life

    @property
    def is_blank(self) -> bool:
        """Whether this node knows of no view."""
        return self.newest is None

    @property
    def is_proposing(self) -> bool:
        """Whether an attempt of this node is under way."""
        return self._attempt is not None

    def may_renew(self, user: NodeId) -> bool:
        """Whether this voter may consent to a lease.

        Not for one whom the view that is being decided leaves out, and for nobody once it has voted: that view may be
        installed by then, and those who are in it decide on the next one without asking a voter of this one.
        """
        if self.view is None or user not in self.view.lives or self.has_voted:
            return False
        return self._candidate is None or self._candidate.lives.get(user) == self.view.lives[user]

    # ---- proposing

    def propose(
        self,
        invited: Iterable[NodeId],
        now: float,
        *,
        required: int = 1,
        first_epoch: int = 1,
        is_leaving: bool = False,
    ) -> list[Effect]:
        """Try to bring about a view of those who are invited and answer; with `is_leaving` without this node."""
        others = tuple(sorted(set(invited) - {self._me.id}))
        promised = self._memory.promised
        self._round = max(self._round, promised.round if promised is not None else 0) + 1
        ballot = Ballot(self._round, self._me.id)
        self._attempt = Attempt(ballot, self.view, others, required, first_epoch, now + self._patience_s, is_leaving)
        prepare = Prepare(self.view, ballot)
        effects = self._on_prepare(self._me.id, prepare, now)
        return [*(Tell(id, prepare) for id in others), *effects]

    def _on_promise(self, sender: NodeId, promise: Promise, now: float) -> list[Effect]:
        attempt = self._attempt
        if attempt is None or promise.ballot != attempt.ballot or attempt.value is not None:
            return []
        attempt.promises[sender] = promise
        return self._propose_value(attempt, now) if attempt.is_complete else []

    def _propose_value(self, attempt: Attempt, now: float) -> list[Effect]:
        attempt.value = attempt.choice
        attempt.ends_at = now + self._patience_s
        return self._send_value(attempt, attempt.value, now)

    def _send_value(self, attempt: Attempt, value: View, now: float) -> list[Effect]:
        attempt.propose_again_at = None
        view_id = attempt.view.id if attempt.view is not None else BLANK
        propose = Propose(view_id, attempt.ballot, value)
        acceptors = attempt.view.members if attempt.view is not None else sorted(attempt.promises)
        effects: list[Effect] = [
            Tell(id, propose) for id in acceptors if id != self._me.id and id not in attempt.accepted
        ]
        return [*effects, *self._on_propose(self._me.id, propose, now)]

    def _on_accepted(self, sender: NodeId, accepted: Accepted, now: float) -> list[Effect]:
        attempt = self._attempt
        if attempt is None or attempt.value is None or accepted.ballot != attempt.ballot:
            return []
        attempt.accepted.add(sender)
        if not attempt.decides(attempt.accepted):
            return []
        self._attempt = None
        value = attempt.value
        old = attempt.view.members if attempt.view is not None else ()
        everyone = sorted({*old, *attempt.promises, *value.members} - {self._me.id})
        learned = self.learn(value)
        return [*learned, *(Tell(id, Installed(value)) for id in everyone)]

    def _on_refused(self, refused: Refused, now: float) -> list[Effect]:
        attempt = self._attempt
        if attempt is None or refused.ballot != attempt.ballot:
            return []
        if refused.promised > attempt.ballot:
            self._round = max(self._round, refused.promised.round)
            self._attempt = None
        elif refused.wait_ms:
            again_at = now + refused.wait_ms / 1000
            attempt.propose_again_at = max(attempt.propose_again_at or again_at, again_at)
            attempt.ends_at = max(attempt.ends_at, again_at + self._patience_s)
        return []

    def abort(self) -> None:
        """Give the attempt up; another will be made."""
        self._attempt = None

    @property
    def deadline(self) -> float | None:
        """When the attempt has to go on, or is over."""
        if self._attempt is None:
            return None
        return min(self._attempt.ends_at, self._attempt.propose_again_at or self._attempt.ends_at)

    def on_deadline(self, now: float) -> list[Effect]:
        """Propose with the promises that there are, propose again, or give the attempt up."""
        attempt = self._attempt
        if attempt is None:
            return []
        if attempt.value is not None and attempt.propose_again_at is not None and now >= attempt.propose_again_at:
            return self._send_value(attempt, attempt.value, now)
        if now >= attempt.ends_at:
            if attempt.value is None and attempt.decides(attempt.promises):
                return self._propose_value(attempt, now)
            self._attempt = None
        return []

    # ---- voting

    def receive(self, sender: NodeId, message: Message, now: float) -> list[Effect]:
        """A message of another node, or of this one."""
        match message:
            case Prepare():
                return self._on_prepare(sender, message, now)
            case Promise():
                return self._on_promise(sender, message, now)
            case Propose():
                return self._on_propose(sender, message, now)
            case Accepted():
                return self._on_accepted(sender, message, now)
            case Refused():
                return self._on_refused(message, now)
            case Installed():
                return self._on_installed(sender, message.view)
        return []

    def _on_prepare(self, sender: NodeId, prepare: Prepare, now: float) -> list[Effect]:
        effects = self.learn(prepare.view) if prepare.view is not None else []
        view_id = prepare.view.id if prepare.view is not None else BLANK
        if self.newest is not None and self.newest.id != view_id:
            return [*effects, Tell(sender, Installed(self.newest))]
        if self.view is None and self.newest is not None:  # it is to be taken in, and has no vote
            return [*effects, *self._answer(sender, self._promise(view_id, prepare.ballot, ()), now)]
        promised = self._memory.promised
        if promised is not None and prepare.ballot < promised:
            return [*effects, *self._answer(sender, Refused(view_id, prepare.ballot, promised, 0), now)]
        effects += self._remember(replace(self._memory, promised=prepare.ballot))
        held = tuple(self._freeze()) if self.is_member else ()
        return [*effects, *self._answer(sender, self._promise(view_id, prepare.ballot, held), now)]

    def _promise(self, view_id: ViewId, ballot: Ballot, held: tuple[tuple[str, int], ...]) -> Promise:
        vote = self._memory.vote if self.view is not None or self.newest is None else None
        return Promise(view_id, ballot, self._me.life, self._me.policy, self._memory.floor, vote, held)

    def _on_propose(self, sender: NodeId, propose: Propose, now: float) -> list[Effect]:
        if self.newest is not None and (self.view is None or self.view.id != propose.view_id):
            return [Tell(sender, Installed(self.newest))] if self.newest.id > propose.view_id else []
        if self.newest is None and propose.view_id != BLANK:
            return []
        promised = self._memory.promised
        if promised is not None and propose.ballot < promised:
            return self._answer(sender, Refused(propose.view_id, propose.ballot, promised, 0), now)
        was_left_out, self._candidate = self.is_left_out, propose.view
        self._freeze()
        if self.is_left_out and not was_left_out:  # what its clients were told until now is good for a lease
            self._leases.consent(self._me.id, now)
        wait_s = self._wait_s(propose.view, now)
        if wait_s > 0:
            effects = self._remember(replace(self._memory, promised=propose.ballot))
            refused = Refused(propose.view_id, propose.ballot, propose.ballot, int(wait_s * 1000) + 1)
            return [*effects, *self._answer(sender, refused, now)]
        vote = Vote(propose.ballot, propose.view)
        is_decided = self.view is not None and self.view.is_quorum({self._me.id})  # by this vote alone
        effects = self._remember(replace(self._memory, promised=propose.ballot, vote=vote))
        effects += self._answer(sender, Accepted(propose.view_id, propose.ballot), now)
        return [*effects, *self.learn(propose.view)] if is_decided else effects

    def _answer(self, sender: NodeId, message: Message, now: float) -> list[Effect]:
        """What this node tells itself takes no way round."""
        return self.receive(sender, message, now) if sender == self._me.id else [Tell(sender, message)]

    def _wait_s(self, view: View, now: float) -> float:
        """How long leases of those lives that are not in the new view may still run."""
        if self.view is None:
            return 0.0
        left = view.id.maker if view.id.maker not in view.lives else None
        ended = [id for id, life in self.view.lives.items() if view.lives.get(id) != life and id != left]
        return max((self._leases.wait_s(id, now) for id in ended), default=0.0)

    # ---- learning

    def _on_installed(self, sender: NodeId, view: View) -> list[Effect]:
        effects = self.learn(view)
        if self.newest is not None and self.newest.id > view.id:
            effects.append(Tell(sender, Installed(self.newest)))
        return effects

    def learn(self, view: View) -> list[Effect]:
        """A view has been decided; nothing where as new a one is known."""
        if view.id <= self.view_id:
            return []
        self._attempt = self._candidate = None
        is_inside = self._me.id in view.lives
        floor = max(self._memory.floor, view.id.epoch)
        memory = Memory(self._me.life, floor, view if is_inside else None, None if is_inside else view)
        return [*self._remember(memory), ViewLearned(view)]

    def forget(self) -> list[Effect]:
        """This node has left: it goes, and comes back, as one that knows of no view."""
        self._attempt = self._candidate = None
        return self._remember(Memory(self._me.life, self._memory.floor))

    def _remember(self, memory: Memory) -> list[Effect]:
        if memory == self._memory:
            return []
        self._hold(memory)
        return [Remember(memory)]
