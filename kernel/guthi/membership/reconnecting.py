"""Whom of those that failed this node says hello to, and when: so that partitions end, however long they were.

As in Serf (`reconnect`): every `reconnect_s` each node draws one of the failed members, and knocks with probability
failed over present. So all of a network together knock at each failed member about once in that time, and no node more
often than once, however many failed. They are knocked at until they are forgotten (`forget_s`).
"""

from __future__ import annotations

from random import Random

from guthi.membership.joining import jittered
from guthi.membership.members import Member
from guthi.membership.roster import Roster
from guthi.membership.settings import GossipSettings

__all__ = ["Reconnecting"]


class Reconnecting:
    """The machine calls `look` when the roster may have changed; `deadline` is when `due` is to be asked next."""

    def __init__(self, roster: Roster, rng: Random, settings: GossipSettings) -> None:
        self._roster, self._rng, self._settings = roster, rng, settings
        self.deadline: float | None = None

    def look(self, now: float) -> None:
        """Begin when the first member has failed, end when none is left."""
        if not self._roster.failed_count:
            self.deadline = None
        elif self.deadline is None:
            self.deadline = now + jittered(self._rng, self._settings.reconnect_s)

    def end(self) -> None:
        """This node is leaving."""
        self.deadline = None

    def due(self, now: float) -> Member | None:
        """The one to knock at now."""
        if self.deadline is None or now < self.deadline:
            return None
        self.deadline = now + jittered(self._rng, self._settings.reconnect_s)
        failed_count = self._roster.failed_count
        if not failed_count or self._rng.random() * (1 + len(self._roster.present)) >= failed_count:
            return None
        return self._roster.members[self._rng.choice(self._roster.failed())]
