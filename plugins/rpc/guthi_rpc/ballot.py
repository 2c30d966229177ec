"""Decides when enough electors have answered, that they know nothing of a call with a key, for it to begin.

Which seats there are for a key, each elector sees for itself, and says with its answer. By the seats that each of those
who answered sees, more than half have to have answered: they remember from now on that the call has begun. And at least
half have to vouch for what was before: these would remember an earlier attempt, which more than half were told of.

An elector that was started of late vouches for a key once it has taken over what others remember (see `standing`). And
an answer is worth nothing any more where somebody sees the seat held by another life of the elector than answered.

That every view has to be satisfied is what lets seats change hands without a vote on it. A newcomer has taken over from
half of the seats; whoever is among these names it from then on, so that a call begins either before, and the newcomer
has heard of it, or with a majority of the seats of which the newcomer's is one. With who leaves it is the same: it does
not count itself any more once it hands over.

That does not cover newcomers that were a network of their own before (docs/bugs-found.md, open).
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import TypeAlias

from guthi.api import NodeId

__all__ = ["Ballot", "Home", "View"]

Home: TypeAlias = tuple[NodeId, bytes]
"""A node in one of its lives: after a restart it has another, and remembers nothing."""

View: TypeAlias = tuple[Home, ...]
"""The seats for a key, each with the life that holds it, as one node sees them."""


class Ballot:
    """The answers for one call of the node `me`, which sees these seats; `vouches` says whether it does so itself."""

    def __init__(self, me: Home, seats: Sequence[Home], *, vouches: bool) -> None:
        self._answered: dict[NodeId, tuple[bytes, bool]] = {}
        self._views: dict[NodeId, View] = {}
        self.answered(me, vouches=vouches, seats=seats)

    def answered(self, elector: Home, *, vouches: bool, seats: Sequence[Home] = ()) -> None:
        """An elector answered, in this life; `seats` are those that it sees. An empty life is any."""
        node, life = elector
        self._answered[node] = life, vouches
        self._views[node] = tuple(seats)

    @property
    def electors(self) -> list[NodeId]:
        """All who have a seat in anybody's view."""
        return list(dict.fromkeys(node for view in self._views.values() for node, _ in view))

    @property
    def newcomers(self) -> set[NodeId]:
        """Those who answered and do not vouch, or not in the life that all see."""
        return self._answered.keys() - self._vouching()

    @property
    def is_enough(self) -> bool:
        """Whether the call may begin, if nobody who has answered knows of it."""
        return self._satisfies(self._vouching())

    @property
    def waits_for_newcomers(self) -> bool:
        """Whether it would be enough if they vouched."""
        return self._satisfies(self._answered)

    def _satisfies(self, vouching: Container[NodeId]) -> bool:
        return all(_is_satisfied(view, self._answered, vouching) for view in set(self._views.values()) if view)

    def _vouching(self) -> set[NodeId]:
        return {node for node, (life, vouches) in self._answered.items() if vouches and self._has_lasted(node, life)}

    def _has_lasted(self, node: NodeId, life: bytes) -> bool:
        holders = {holder for view in self._views.values() for each, holder in view if each == node}
        return not life or holders <= {life, b""}


def _is_satisfied(view: View, answered: Container[NodeId], vouching: Container[NodeId]) -> bool:
    counted = sum(node in answered for node, _ in view)
    return 2 * counted > len(view) and 2 * sum(node in vouching for node, _ in view) >= len(view)
