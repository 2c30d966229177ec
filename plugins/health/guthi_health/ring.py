"""Whom SWIM probes next: everybody once in a random order, then everybody once in another.

So a member is probed at the latest 2N-1 probes after its last one, where a random choice gives no bound (Das, Gupta and
Motivala 2002, section 4.3). A newcomer is put in at random, as the paper does.
"""

from __future__ import annotations

from random import Random

from guthi import NodeId

__all__ = ["Ring"]


class Ring:
    """The members to be probed."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._order: list[NodeId] = []
        self._next = 0

    def __len__(self) -> int:
        return len(self._order)

    def add(self, peer: NodeId) -> None:
        """A newcomer."""
        place = self._random.randint(0, len(self._order))
        self._order.insert(place, peer)
        if place < self._next:
            self._next += 1  # nobody is probed twice in this round for it

    def remove(self, peer: NodeId) -> None:
        """It is probed no more."""
        place = self._order.index(peer)
        del self._order[place]
        if place < self._next:
            self._next -= 1

    def take(self) -> NodeId | None:
        """The next one; None when there is nobody."""
        if not self._order:
            return None
        if self._next >= len(self._order):
            self._random.shuffle(self._order)
            self._next = 0
        self._next += 1
        return self._order[self._next - 1]

    def some(self, count: int, but: NodeId | None = None) -> list[NodeId]:
        """So many others at random, fewer where there are fewer."""
        chosen = self._random.sample(self._order, min(count + 1, len(self._order)))
        return [peer for peer in chosen if peer != but][:count]
