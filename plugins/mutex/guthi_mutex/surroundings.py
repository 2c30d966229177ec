"""Decides whom this node knows that could vote: who is there, who is gone, who wants in, who has yet to say who it is.

It joins what the kernel's membership says of a node, which may be late, with what the node has said itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf

from guthi import MemberState, NodeId
from guthi_mutex.messages import Presence
from guthi_mutex.view import View

__all__ = ["Surroundings"]

ASKERS = 3  # so many voters, the first ones, ask a stranger who it is
THERE = (MemberState.ALIVE, MemberState.SUSPECT)


class Surroundings:
    """All other nodes that could vote, as one node sees them."""

    def __init__(self, me: NodeId) -> None:
        self._me = me
        self._states: dict[NodeId, MemberState] = {}
        self._presences: dict[NodeId, Presence] = {}
        self._asked: dict[NodeId, float] = {}  # when a stranger was asked last

    def see(self, states: Mapping[NodeId, MemberState]) -> None:
        """What the membership says."""
        self._states = dict(sorted(states.items()))
        self._presences = {id: each for id, each in self._presences.items() if self.is_there(id)}
        self._asked = {id: at for id, at in self._asked.items() if self.is_there(id)}

    def heard(self, id: NodeId, presence: Presence) -> None:
        """A node has said who it is."""
        if self.is_there(id):
            self._presences[id] = presence

    def ask_again(self) -> None:
        """Who did not come into a view has to show again that it is there."""
        self._presences = {}

    def is_there(self, id: NodeId) -> bool:
        """Whether it is a member, and neither failed nor left."""
        return self._states.get(id) in THERE

    @property
    def rank(self) -> int:
        """The place of this node among those who are there."""
        return sum(id < self._me for id in self._states if self.is_there(id))

    @property
    def majority(self) -> int:
        """How many are more than half of all that are known, this node included."""
        known = 1 + sum(state is not MemberState.LEFT for state in self._states.values())
        return known // 2 + 1

    def strangers(self, view: View | None) -> list[NodeId]:
        """Who is alive, is not in the view, and has not said yet who it is."""
        lives = view.lives if view is not None else {}
        alive = (id for id, state in self._states.items() if state is MemberState.ALIVE)
        return [id for id in alive if id not in lives and id not in self._presences]

    def to_be_asked(self, strangers: Iterable[NodeId], now: float, pause_s: float) -> list[NodeId]:
        """Those that have not been asked for so long; they count as asked now."""
        due = [id for id in strangers if self._asked.get(id, -inf) + pause_s <= now]
        self._asked.update(dict.fromkeys(due, now))
        return due

    def is_asker(self, view: View) -> bool:
        """Whether it is this node's turn to ask strangers."""
        there = [id for id in view.members if id == self._me or self.is_there(id)]
        return self._me in there[:ASKERS]

    def blank(self) -> list[NodeId]:
        """Who has said that it knows of no view."""
        return sorted(id for id, presence in self._presences.items() if presence.is_blank)

    def joining(self, view: View) -> set[NodeId]:
        """Who has said that it is there, and is not in the view, or only in a former life."""
        return {id for id, each in self._presences.items() if each.life > view.lives.get(id, -1)}

    def gone(self, view: View) -> set[NodeId]:
        """Which of the view are known to have failed or left; of who is not known at all one must not think so."""
        return {id for id in view.members if id in self._states and not self.is_there(id)}
