"""What this node says of itself, and how it answers what others say of it: refutation, and the sign of a twin.

Seeing a record of itself that its own does not beat (an accusation, or what it said before a restart), a node takes a
higher incarnation (SWIM, section 4.2). Others only ever repeat what it said, or accuse; so once it has overtaken its
former life, nobody can come up with a record of it that is ALIVE and newer, unless its key is in use twice, in a copied
data_dir. Two such nodes would overtake one another for ever. So a node that is overtaken TWIN_SIGNS times within
TWIN_WINDOW_S says so and, once more taking a higher incarnation, lets the twin see it too. From then on it does not
raise its incarnation against the twin, but follows it.

A member that lies can show the highest incarnation there is. No refutation beats that: the node says so, once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from enum import Enum, auto

from guthi.membership.members import INCARNATION_LIMIT, Member, MemberState, supersedes

__all__ = ["Answer", "OwnRecord"]

TWIN_SIGNS = 4
"""A restart, and the news of it that come in late from parts of the network, make one or two."""
TWIN_WINDOW_S = 60.0


class Answer(Enum):
    """What becomes of a record of oneself that somebody showed."""

    NOTHING = auto()  # one's own beats it
    REFUTE = auto()  # one's own record has changed, and must be spread
    ALARM = auto()  # likewise; besides, it is now clear that this node has a twin
    FOLLOW = auto()  # it is the twin's: one's own incarnation has become the same
    DESPAIR = auto()  # no incarnation is left to answer with


class OwnRecord:
    """This node's record."""

    def __init__(self, record: Member) -> None:
        self.record = record
        self._overtaken: deque[float] = deque(maxlen=TWIN_SIGNS)
        self._has_twin = False
        self._has_none_left = False

    def answer(self, shown: Member, now: float) -> Answer:
        """Somebody showed a record of this node."""
        if shown == self.record or supersedes(self.record, shown):
            return Answer.NOTHING
        if shown.incarnation + 1 >= INCARNATION_LIMIT:
            has_said_so, self._has_none_left = self._has_none_left, True
            return Answer.NOTHING if has_said_so else Answer.DESPAIR
        is_overtaken = shown.state is MemberState.ALIVE
        if is_overtaken and self._has_twin:
            self.record = replace(self.record, incarnation=shown.incarnation)
            return Answer.FOLLOW
        self.record = replace(self.record, incarnation=shown.incarnation + 1)
        if is_overtaken:
            self._has_twin = self._is_one_too_many(now)
        return Answer.ALARM if is_overtaken and self._has_twin else Answer.REFUTE

    def _is_one_too_many(self, now: float) -> bool:
        self._overtaken.append(now)
        return len(self._overtaken) == TWIN_SIGNS and now - self._overtaken[0] <= TWIN_WINDOW_S
