"""Decides when enough electors have answered, that they know nothing of a call with a key, for it to begin.

Of n seats more than half have answered: they remember from now on that it has begun. And at least half have answered in
a life that has lasted for the retention: they would remember an attempt before this one, which more than half were told
of. Whether a life has lasted so long a node that was restarted cannot know of others, and not even of itself; so with
its answer each elector says which life holds which seat, and who has one by another life than it answers in does not
count for the second half of the rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from guthi.api import NodeId

__all__ = ["Ballot", "Home"]

Home: TypeAlias = tuple[NodeId, bytes]
"""A node in one of its lives: after a restart it has another, and remembers nothing."""


class Ballot:
    """The answers for one call; `seats` are those that `me` sees, `others` who is to be asked, in that order."""

    def __init__(self, seats: Sequence[Home], me: Home, others: Sequence[NodeId]) -> None:
        self.others = others
        self._answered = {me[0]: me[1]} if any(node == me[0] for node, _ in seats) else {}
        self._views: list[Sequence[Home]] = [seats]

    def answered(self, elector: Home, seats: Sequence[Home] = ()) -> None:
        """An elector answered, in this life; `seats` are those that it sees. An empty life is any."""
        node, life = elector
        self._answered[node] = life
        self._views.append(seats)

    @property
    def is_enough(self) -> bool:
        """Whether the call may begin, if nobody who has answered knows of it."""
        seats = max(len(view) for view in self._views)
        lasting = sum(self._has_lasted(node, life) for node, life in self._answered.items())
        return 2 * len(self._answered) > seats and 2 * lasting >= seats

    def _has_lasted(self, node: NodeId, life: bytes) -> bool:
        holders = [holder for view in self._views for each, holder in view if each == node]
        return all(b"" in (holder, life) or holder == life for holder in holders)
