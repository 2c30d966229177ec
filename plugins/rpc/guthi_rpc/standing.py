"""Decides for which keys a node can vouch: those of whose calls it would know if they had begun.

A node that has just started knows nothing of what was before, whether it was there in an earlier life or not; it may
even take itself for a newcomer, and others may as well. So it asks all others what they remember (see `takeover`), and
until then does not vouch. It is settled, and vouches for every key, when

| condition                                                       | because                                            |
|-----------------------------------------------------------------|----------------------------------------------------|
| it has heard all who are there, and nobody is gone              | nobody remembers more                              |
| it has heard who is settled, for half of the seats of any key   | more than half of them know of a call              |
| it has heard all who are there, and the retention is over       | what it does not know of has expired               |

Before, it vouches for those keys of which half of the seats are settled nodes that it has heard. Its own seat is not
among these, for it may have been an earlier life of its own that knew; unless it is certain that it has had none: then
the seats are those that there are without it.
"""

from __future__ import annotations

from collections.abc import Callable

from guthi.api import NodeId
from guthi_rpc.electors import ELECTORS, Electors

__all__ = ["Standing"]


class Standing:
    """Of one node; `others` gives the peers that are there, `clock` loop time; `is_new` where this is its first life.

    `is_alone` says whether it looks for a network and has met nobody: then it cannot know who else there is.
    """

    def __init__(
        self,
        electors: Electors,
        others: Callable[[], list[NodeId]],
        clock: Callable[[], float],
        retention_s: float,
        is_alone: Callable[[], bool],
        *,
        is_new: bool,
    ) -> None:
        self._electors, self._others, self._is_alone = electors, others, is_alone
        self._clock, self._lasts_at, self._is_new = clock, clock() + retention_s, is_new
        self._heard: dict[NodeId, bool] = {}  # whether each was settled when it had told all that it remembers
        self.has_begun = self._is_settled = False

    def begin(self) -> None:
        """The node has joined: it sees who is there."""
        self.has_begun = True
        self._look()

    def heard(self, node: NodeId, *, is_settled: bool) -> None:
        """This node has taken over all that the other remembers; of no matter to one that is settled."""
        if not self._is_settled:
            self._heard[node] = is_settled
            self._look()

    def unheard(self) -> list[NodeId]:
        """Those of whom there is something to hear yet, sorted."""
        return [] if self._is_settled else [node for node in self._others() if not self._heard.get(node)]

    @property
    def is_settled(self) -> bool:
        """Whether it vouches for every key; once it does, it remains so."""
        self._look()
        return self._is_settled

    def vouches(self, key: str) -> bool:
        """Whether it would know of a call with the key."""
        if self.is_settled:
            return True
        seats = self._electors.of(key, but_me=self._is_new)
        return self.has_begun and 2 * sum(self._heard.get(node, False) for node, _ in seats) >= len(seats)

    def _look(self) -> None:
        if not self._is_settled and self.has_begun and not self._is_alone():
            self._is_settled = self._settles()
            if self._is_settled:
                self._heard.clear()

    def _settles(self) -> bool:
        others, gone = self._others(), {node for node, _, _ in self._electors.gone()}
        has_heard_all = all(node in self._heard for node in others)
        if has_heard_all and (not gone or self._clock() >= self._lasts_at):
            return True
        own = 0 if self._is_new else 1
        unheard = own + sum(not self._heard.get(node) for node in (*others, *gone))
        return 2 * unheard <= min(ELECTORS, own + len(others) + len(gone))
