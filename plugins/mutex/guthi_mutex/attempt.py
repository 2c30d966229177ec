"""Decides what a proposer proposes, from the promises that it has: a view that may have been decided, or a new one.

As in Paxos, the vote of the greatest ballot among the promises goes before what the proposer would like. A new view has
those who have promised, in the lives and with the policies that they told, and the locks that they said they hold.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from guthi import NodeId
from guthi_mutex.messages import Ballot, Promise
from guthi_mutex.view import MAX_HELD, Held, View, ViewId, Voter

__all__ = ["Attempt"]


@dataclass(slots=True)
class Attempt:
    """One ballot of a proposer, on the view that is to follow `view`."""

    ballot: Ballot
    view: View | None
    invited: tuple[NodeId, ...]
    required: int  # for a first view: how many have to agree
    first_epoch: int
    ends_at: float
    is_leaving: bool
    promises: dict[NodeId, Promise] = field(default_factory=dict)
    value: View | None = None
    accepted: set[NodeId] = field(default_factory=set)
    propose_again_at: float | None = None

    def decides(self, nodes: Iterable[NodeId]) -> bool:
        """Whether so many suffice."""
        nodes = set(nodes)
        return self.view.is_quorum(nodes) if self.view is not None else len(nodes) >= self.required

    @property
    def is_complete(self) -> bool:
        """Whether nothing is gained by waiting for more promises: all are there, or a vote leaves no choice."""
        is_bound = any(promise.vote is not None for promise in self.promises.values())
        return (is_bound or len(self.promises) > len(self.invited)) and self.decides(self.promises)

    @property
    def choice(self) -> View:
        """What is to be proposed: what may have been decided already, else a new view of those who have promised."""
        votes = [promise.vote for promise in self.promises.values() if promise.vote is not None]
        return max(votes, key=lambda vote: vote.ballot).view if votes else self._new_view()

    def _new_view(self) -> View:
        me, promises = self.ballot.proposer, sorted(self.promises.items())
        floor = max(promise.floor for _, promise in promises)
        epoch = max(floor + 1, self.first_epoch if self.view is None else self.view.id.epoch + 1)
        voters = [
            Voter(id, promise.life, promise.policy) for id, promise in promises if not (self.is_leaving and id == me)
        ]
        return View(ViewId(epoch, me), tuple(voters), self._still_held({voter.id for voter in voters}))

    def _still_held(self, present: Container[NodeId]) -> tuple[Held, ...]:
        """The locks that go on being held; of two who say that they hold one the later grant counts."""
        newest: dict[str, Held] = {}
        for id, promise in sorted(self.promises.items()):
            for lock, fence in promise.held:
                if lock not in newest or newest[lock].fence < fence:
                    newest[lock] = Held(lock, id, fence)
        return tuple(each for each in sorted(newest.values())[:MAX_HELD] if each.holder in present)
