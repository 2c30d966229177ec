"""What this node knows of everybody, and how a record that it hears of changes that.

Invariants
- Records only ever change to ones that supersede them, so all tables become equal once records stop changing.
- Only a member raises its own incarnation (see `own`). After `leave` it refutes nothing.
- What is new here is news to be spread, except what a newcomer's first sync tells it: it is the newcomer that is new.
- Members of which one hears only when they are gone are not passed on (see `roster`).
- A FAILED that a sync brings about a member that is ALIVE here is a doubt at first: it is taken as SUSPECT, and as
  FAILED only if the member has not refuted it within `doubt_s`. Else the end of a partition would fail all members on
  both sides, because each side holds the other one for failed. memberlist does the same in its push-pull.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from random import Random

from guthi.api import Address, NodeId
from guthi.membership.admission import Admission
from guthi.membership.comparing import Comparing
from guthi.membership.compatibility import incompatibility
from guthi.membership.effects import Effect, IdentityInUse, NoIncarnationLeft
from guthi.membership.gossip import ENVELOPE_BYTES
from guthi.membership.members import Member, MemberLeft, MemberState, changes, supersedes
from guthi.membership.own import Answer, OwnRecord
from guthi.membership.roster import Roster
from guthi.membership.routes import Routes
from guthi.membership.rumours import RumourQueue, transmissions
from guthi.membership.settings import GossipSettings

__all__ = ["Ledger"]


class Ledger:
    """The roster with all that is kept beside it: news to spread, routes, doubts."""

    def __init__(self, me: Member, rng: Random, settings: GossipSettings) -> None:
        self._settings = settings
        self._own = OwnRecord(me)
        self.roster = Roster(me)
        often = partial(transmissions, loss=settings.bearable_loss, miss_chance=settings.miss_chance)
        self.rumours = RumourQueue(often)
        self.admission = Admission(self.roster, settings)
        self.comparing = Comparing(self.roster, self.admission, rng, settings)
        self.routes = Routes()
        self._suspect_since: dict[NodeId, float] = {}

    # ---- this node itself

    @property
    def me(self) -> Member:
        return self._own.record

    def become(self, me: Member) -> None:
        """Say this of oneself from now on."""
        self._own.record = me
        self._publish()

    def _publish(self) -> None:
        self.roster.put_me(self.me)
        self.rumours.add(self.me)

    def _shown(self, record: Member, now: float) -> list[Effect]:
        match self._own.answer(record, now):
            case Answer.REFUTE:
                self._publish()
                if record.state is MemberState.ALIVE:
                    self.comparing.begin(now)  # a twin has all the gossip: how it goes on is told by others' tables
            case Answer.FOLLOW:
                self.roster.put_me(self.me)
            case Answer.ALARM:
                self._publish()
                return [IdentityInUse(record)]
            case Answer.DESPAIR:
                return [NoIncarnationLeft(record)]
            case Answer.NOTHING:
                pass
        return []

    # ---- others

    def get(self, id: NodeId) -> Member | None:
        return self.roster.members.get(id)

    def is_present(self, id: NodeId) -> bool:
        """Whether this is a member that is spoken to."""
        member = self.get(id)
        return member is not None and member.is_present

    def sighted(self, record: Member, source: Address) -> None:
        """A member showed this record of itself from that address."""
        known = self.get(record.id)
        if known is not None:
            self.routes.sighted(known, record, source)

    def proven(self, id: NodeId, address: Address) -> None:
        """A session has shown that a member is at that address."""
        if id in self.roster.members:
            self.routes.learn(id, address)

    def better_known(self, record: Member) -> list[Member]:
        """What is known of a member that has just shown this record of itself, if that is something else.

        Then it has restarted, or stands accused, and must see what is known in order to refute it.
        """
        known = self.get(record.id)
        return [known] if known is not None and known != record else []

    def news(self, budget_bytes: int, *, at_least: int = 0, but_of: NodeId | None = None) -> list[bytes]:
        """Encoded records for one datagram (see RumourQueue)."""
        member_count = 1 + len(self.roster.present)
        return self.rumours.take(budget_bytes - ENVELOPE_BYTES, member_count, at_least=at_least, but_of=but_of)

    def forget(self, now: float) -> None:
        """Drop those that have been gone for too long."""
        self._drop(self.roster.forget(now - self._settings.forget_s))

    # ---- what is heard

    def reconcile(self, records: Iterable[Member], now: float, *, is_news: bool) -> tuple[list[Effect], list[Member]]:
        """Take what a sync has brought; also returns the members that are doubted because of it."""
        effects: list[Effect] = []
        doubted: list[Member] = []
        for record in records:
            accepted = self._doubted(record, now)
            if accepted is not None:
                effects += self.take(accepted, now, is_news=is_news)
                if accepted is not record and self.get(record.id) is accepted:
                    doubted.append(accepted)
        return effects, doubted

    def _doubted(self, record: Member, now: float) -> Member | None:
        known = self.get(record.id)
        if record.state is not MemberState.FAILED or known is None or known.id == self.me.id:
            return record
        if known.state is MemberState.ALIVE and supersedes(record, known):
            return replace(record, state=MemberState.SUSPECT)
        is_fresh = now < self._suspect_since.get(record.id, float("-inf")) + self._settings.doubt_s
        return None if known.state is MemberState.SUSPECT and is_fresh else record

    def hear(self, records: Iterable[Member], now: float) -> list[Effect]:
        """Take what a message says."""
        known = self.roster.members
        effects: list[Effect] = []
        for record in records:
            if known.get(record.id) is not record:  # most often it is the very same, thanks to `decode_record`
                effects += self.take(record, now)
        return effects

    def take(self, record: Member, now: float, *, met: bool = False, is_news: bool = True) -> list[Effect]:
        """Take one record; `met` says that the member itself has just shown it."""
        if record.id == self.me.id:
            return self._shown(record, now)
        old = self.get(record.id)
        reason = incompatibility(self.me, record)
        if reason is not None:
            return [*self.admission.keep_out(record, reason), *self._part_with(record)]
        if old is not None:
            is_taken = supersedes(record, old)
        elif is_taken := self.admission.admits(met=met, is_present=record.is_present):
            self._make_room()
        if not is_taken:
            return []
        if record.id in self.roster.hearsay:
            old = None  # nobody was told of it
        self._put(record, now)
        if is_news and record.id not in self.roster.hearsay:
            self.rumours.add(record)
        else:
            self.rumours.drop(record.id)  # what was being said of it is out of date
        effects: list[Effect] = [*changes(old, record)]
        if self.roster.is_shared(record.name):
            effects += self.admission.name_conflict(record)
        return effects

    def _make_room(self) -> None:
        id = self.admission.in_the_way
        if id is not None:
            self.roster.remove(id)
            self._drop([id])

    def _put(self, record: Member, now: float) -> None:
        old = self.get(record.id)
        if old is not None and old.addresses != record.addresses:
            self.routes.forget(record.id)  # it has moved
        self.roster.put(record, now)
        if record.state is MemberState.SUSPECT:
            self._suspect_since[record.id] = now
        is_back = old is not None and old.state is MemberState.FAILED and record.is_present
        if self.comparing.deadline is None or is_back:
            self.comparing.begin(now)  # most often more are back, and gossip has its hands full

    def _part_with(self, record: Member) -> list[Effect]:
        """A member has become incompatible: it has been upgraded. For this node it is gone."""
        old = self.get(record.id)
        if old is None or not supersedes(record, old):
            return []
        self.roster.remove(record.id)
        self._drop([record.id])
        return [MemberLeft(replace(old, state=MemberState.LEFT, verdict=None))] if old.is_present else []

    def _drop(self, ids: list[NodeId]) -> None:
        for id in ids:
            self.routes.forget(id)
            self._suspect_since.pop(id, None)
            self.rumours.drop(id)
        self.admission.forget(ids)
