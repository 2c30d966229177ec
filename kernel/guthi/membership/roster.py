"""The table of all members: the newest record of each, with the indexes that are asked for."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType

from guthi.api import NodeId
from guthi.membership.members import Member, MemberState

__all__ = ["Roster"]

_LATELY = 256  # of how many that went last it is asked who has failed: a bound on the work, not on what is true


class Roster:
    """The newest record of every member, `me` included.

    `hearsay` are members of whom we learnt only when they were gone. They are listed for people, but never passed
    on: else two nodes that forget at different times would remind one another of a dead member for ever.

    `fingerprint` is equal for two rosters when, and practically only when, they pass on the same: it is the XOR of the
    fingerprints of all records that are passed on, and so is kept up to date at the cost of one step a change.
    """

    def __init__(self, me: Member) -> None:
        self._members: dict[NodeId, Member] = {me.id: me}
        self._present: list[NodeId] = []
        self._names: dict[str, tuple[NodeId, ...]] = {me.name: (me.id,)}
        self._gone_since: dict[NodeId, float] = {}  # whoever went last is last
        self._failed: set[NodeId] = set()
        self.hearsay: set[NodeId] = set()
        self.fingerprint = me.fingerprint
        self.members: Mapping[NodeId, Member] = MappingProxyType(self._members)

    @property
    def present(self) -> Sequence[NodeId]:
        """Ids of all others that are present, sorted."""
        return self._present

    def passed_on(self) -> Iterator[Member]:
        """The records that others are told, sorted by id."""
        return (self._members[id] for id in sorted(self._members) if id not in self.hearsay)

    def failed(self) -> list[NodeId]:
        """Ids of all that failed, sorted."""
        return sorted(self._failed)

    @property
    def failed_count(self) -> int:
        """How many have failed."""
        return len(self._failed)

    def failed_since(self, moment: float) -> list[NodeId]:
        """Ids of those that failed after that moment, the latest first, without hearsay; not all, if very many went."""
        lately = islice(reversed(self._gone_since.items()), _LATELY)
        return [id for id, since in lately if since >= moment and id in self._failed and id not in self.hearsay]

    @property
    def longest_gone(self) -> NodeId | None:
        """Whoever failed or left first of all that are gone."""
        return next(iter(self._gone_since), None)

    def is_shared(self, name: str) -> bool:
        """Whether several members have the name."""
        return len(self._names[name]) > 1

    def named(self, name: str) -> list[Member]:
        """All of that name, those present first, then by id."""
        found = [self._members[id] for id in self._names.get(name, ())]
        return sorted(found, key=lambda member: not member.is_present) if len(found) > 1 else found

    def put(self, member: Member, now: float) -> None:
        """Take a record of another member in place of what was known of it."""
        old = self._members.get(member.id)
        if old is not None and member.id not in self.hearsay:
            self.fingerprint ^= old.fingerprint
        self._index(member, old)
        if member.state is MemberState.FAILED:
            self._failed.add(member.id)
        else:
            self._failed.discard(member.id)
        if old is None and not member.is_present:
            self.hearsay.add(member.id)
        was_present = old is not None and old.is_present
        if member.is_present and not was_present:
            self._arrived(member.id)
        elif not member.is_present and (was_present or old is None):
            self._went(member.id, now)
        if member.id not in self.hearsay:
            self.fingerprint ^= member.fingerprint

    def put_me(self, me: Member) -> None:
        """Take a new record of this node itself, which is never among the present or the failed."""
        self.fingerprint ^= self._members[me.id].fingerprint ^ me.fingerprint
        self._index(me, self._members[me.id])

    def forget(self, gone_before: float) -> list[NodeId]:
        """Drop those that went before that time, and say who they were, sorted."""
        forgotten = sorted(id for id, since in self._gone_since.items() if since < gone_before)
        for id in forgotten:
            self.remove(id)
        return forgotten

    def remove(self, id: NodeId) -> None:
        """Drop another member, as if it had never been known."""
        member = self._members.pop(id)
        self._unname(member)
        self._failed.discard(id)
        if member.is_present:
            del self._present[bisect_left(self._present, id)]
        else:
            del self._gone_since[id]
        if id in self.hearsay:
            self.hearsay.discard(id)
        else:
            self.fingerprint ^= member.fingerprint

    def _index(self, member: Member, old: Member | None) -> None:
        self._members[member.id] = member
        if old is None or old.name != member.name:
            self._unname(old)
            namesakes = self._names.get(member.name, ())
            self._names[member.name] = tuple(sorted((*namesakes, member.id))) if namesakes else (member.id,)

    def _arrived(self, id: NodeId) -> None:
        insort(self._present, id)
        self._gone_since.pop(id, None)
        self.hearsay.discard(id)

    def _went(self, id: NodeId, now: float) -> None:
        self._gone_since[id] = now
        if id not in self.hearsay:
            del self._present[bisect_left(self._present, id)]

    def _unname(self, member: Member | None) -> None:
        if member is not None:
            namesakes = tuple(id for id in self._names[member.name] if id != member.id)
            if namesakes:
                self._names[member.name] = namesakes
            else:
                del self._names[member.name]
