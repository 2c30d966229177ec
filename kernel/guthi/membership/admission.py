"""Whom a node takes into its table, and what is said about those whom it keeps out or can hardly tell apart."""

from __future__ import annotations

from collections.abc import Iterable

from guthi.api import NodeId
from guthi.membership.effects import Effect, IncompatibleMember, NameConflict
from guthi.membership.members import Member
from guthi.membership.roster import Roster
from guthi.membership.settings import Discovery, GossipSettings

__all__ = ["Admission"]


class Admission:
    """Says each thing once; what it remembers for that is bounded by the size of the table."""

    def __init__(self, roster: Roster, settings: GossipSettings) -> None:
        self._roster, self._settings = roster, settings
        self._conflicts: set[tuple[NodeId, NodeId]] = set()
        self._incompatible: set[NodeId] = set()

    def admits(self, *, met: bool, is_present: bool = True) -> bool:
        """Whether an unknown member is taken in; `met` says that it spoke to this node itself.

        Where the table is full one that is present takes the place of whoever has been gone for longest.
        """
        has_room = not self._is_full or (is_present and self._roster.longest_gone is not None)
        return has_room and (met or self._settings.discovery is Discovery.GOSSIP)

    @property
    def _is_full(self) -> bool:
        return len(self._roster.members) >= self._settings.max_members

    @property
    def in_the_way(self) -> NodeId | None:
        """Who must be forgotten before somebody is taken in."""
        return self._roster.longest_gone if self._is_full else None

    def keep_out(self, record: Member, reason: str) -> list[Effect]:
        """It is incompatible."""
        if record.id in self._incompatible or len(self._incompatible) >= self._settings.max_members:
            return []
        self._incompatible.add(record.id)
        return [IncompatibleMember(record, reason)]

    def name_conflict(self, record: Member) -> list[Effect]:
        """Compare with one namesake only: a thousand nodes of one name are a thousand events, not half a million."""
        namesakes = [each for each in self._roster.named(record.name) if each.is_present and each.id != record.id]
        if not record.is_present or not namesakes:
            return []
        first, second = sorted((namesakes[0], record), key=lambda member: member.id)
        if (first.id, second.id) in self._conflicts or len(self._conflicts) >= self._settings.max_members:
            return []
        self._conflicts.add((first.id, second.id))
        return [NameConflict(first, second)]

    def forget(self, ids: Iterable[NodeId]) -> None:
        """These are members no more."""
        gone = set(ids)
        if gone:
            self._conflicts = {pair for pair in self._conflicts if gone.isdisjoint(pair)}
