"""Who is in the network, as this node sees it: joining, gossip, refutation and leaving.

Dissemination is SWIM's (Das, Gupta and Motivala 2002) with memberlist's LAN figures. Detecting failures is a
plugin's business: it calls `accuse` and `vouch`, and this machine spreads the verdicts.

Messages: Hello (answered by Welcome), Gossip and Comparison travel in datagrams and may be lost, doubled and reordered.
A sync makes two tables equal over a reliable session, which the node opens when it sees RequestSync. It asks
`comparing` for what each side sends: `digest`, then `answer`, then `requested`; each side hands what it got to `merge`.
A node syncs with whoever lets it join, and with whoever sends it a Comparison that differs from its own table; so
nodes that agree open no session.

Invariants
- Records only ever change to ones that supersede them, so all tables become equal once records stop changing.
- Only a member raises its own incarnation. Seeing a record of itself that its own does not beat (an accusation, or
  what it said before a restart), it takes a higher incarnation and spreads that: it refutes. Whoever repeats an
  accusation, even a refuted one, is answered directly. After `leave` it refutes nothing.
- Whoever shows a record of itself that others hold a better one of (it has restarted, it was said to have left) is
  shown that one, and is synced with only once it has refuted it.
- With no news to spread no gossip is sent. What remains is slow: a Comparison to a random member, a Hello to join
  addresses where nobody lives, and, as in Serf, a Hello to a random failed member, so that partitions merge.
- News is what this node learns while it knows most of its network. A newcomer to whom a sync tells more than it knew
  spreads nothing of that: it is the newcomer that is new.
- With discovery STATIC only members that were met directly are admitted; of these, gossip is believed.

Records are not signed: whoever has the cluster key is believed about the state of others, as in memberlist.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from guthi.api import Address, NodeId
from guthi.errors import MalformedMessage, UnknownMember, UsageError
from guthi.membership.admission import Admission
from guthi.membership.comparing import Comparing
from guthi.membership.effects import (
    Effect,
    IncompatibleMember,
    JoinAnswered,
    NameConflict,
    RequestSync,
    SendGossip,
)
from guthi.membership.gossip import (
    ENVELOPE_BYTES,
    HEAD_BYTES,
    Comparison,
    Gossip,
    GossipSettings,
    Hello,
    Message,
    RumourQueue,
    Welcome,
    encode_comparison,
    encode_message,
)
from guthi.membership.joining import JoinList
from guthi.membership.members import INCARNATION_LIMIT, Member, MemberState, changes, supersedes
from guthi.membership.records import decode_record, encode_record
from guthi.membership.roster import Roster

__all__ = [
    "Effect",
    "IncompatibleMember",
    "JoinAnswered",
    "Membership",
    "NameConflict",
    "RequestSync",
    "SendGossip",
]


class Membership:
    """The machine; `now` is loop time in seconds. After each call the driver performs the effects and reads `deadline`.

    Raises UsageError when `me` is a record that others would refuse.
    """

    def __init__(self, me: Member, rng: random.Random, settings: GossipSettings | None = None) -> None:
        self._me = _checked(me)
        self._rng = rng
        self._settings = settings or GossipSettings()
        self._roster = Roster(me)
        self._rumours = RumourQueue(self._settings.retransmit_multiplier)
        self._routes: dict[NodeId, Address] = {}
        self._joins = JoinList(rng, self._settings)
        self._told_at: dict[NodeId, float] = {}
        self._admission = Admission(self._roster, me.protocol, self._settings)
        self._gossiped_at = 0.0
        self.comparing = Comparing(self._roster, self._admission, rng, self._settings)
        self._has_left = False

    @property
    def me(self) -> Member:
        return self._me

    @property
    def members(self) -> Mapping[NodeId, Member]:
        """The newest record of everybody, oneself and those that failed or left included; a live view."""
        return self._roster.members

    def get(self, id: NodeId) -> Member | None:
        return self._roster.members.get(id)

    def by_name(self, name: str) -> Member | None:
        """The member of that name; of several one that is present, and then the one with the lowest id."""
        return next(iter(self._roster.named(name)), None)

    def alive(self) -> list[Member]:
        """All others that are ALIVE or SUSPECT, sorted by id."""
        return [self._roster.members[id] for id in self._roster.present]

    def snapshot(self) -> list[Member]:
        """All that is passed on, oneself included, sorted by id."""
        return list(self._roster.passed_on())

    @property
    def deadline(self) -> float | None:
        """When `on_deadline` is due; it may be in the past. None: only a call can bring anything about."""
        due = self._joins.deadline  # no generator here: the driver asks each turn
        next_comparison = self.comparing.deadline
        if next_comparison is not None and (due is None or next_comparison < due):
            due = next_comparison
        if self._has_news:
            next_gossip = self._gossiped_at + self._settings.interval_s
            due = next_gossip if due is None else min(due, next_gossip)
        return due

    @property
    def _has_news(self) -> bool:
        return bool(self._rumours and self._roster.present)

    # Calls of the node

    def join(self, addresses: Sequence[Address], now: float) -> list[Effect]:
        """Say hello to these addresses, again and again until somebody lives there; one's own are left out."""
        if self._has_left:
            return []
        for address in addresses:
            if address not in self._me.addresses:
                self._joins.add(address, now)
        return self._hellos(now)

    def update_me(
        self,
        *,
        addresses: tuple[Address, ...] | None = None,
        plugins: Iterable[tuple[str, str]] | None = None,
    ) -> None:
        """Say something new about oneself; raises UsageError when others would refuse it."""
        me = replace(self._me, incarnation=self._me.incarnation + 1)
        if addresses is not None:
            me = replace(me, addresses=addresses)
        if plugins is not None:
            me = replace(me, plugins=tuple(sorted(plugins)))
        if not self._has_left:
            self._become(_checked(me))
            self._joins.cross_off(me.addresses)

    def met(self, record: Member, now: float) -> list[Effect]:
        """A session with this member has been authenticated, and this is its own record."""
        if self._has_left or record.id == self._me.id:
            return []
        return [*self._learn(record, now, met=True), *self._remind(record, self.address_of(record))]

    def accuse(self, id: NodeId, state: MemberState, now: float) -> list[Effect]:
        """A failure detector's verdict on another member, SUSPECT or FAILED; the accused is told at once."""
        if state not in (MemberState.SUSPECT, MemberState.FAILED):
            raise UsageError(f"a member is accused of being SUSPECT or FAILED, not {state.name}")
        if id == self._me.id:
            raise UsageError("a node cannot accuse itself; call leave()")
        member = self.get(id)
        if member is None:
            raise UnknownMember(f"no member has the id {id}")
        verdict = replace(member, state=state)
        if self._has_left or not supersedes(verdict, member):
            return []
        return [*self._learn(verdict, now), *self.vouch(id, now)]

    def vouch(self, id: NodeId, now: float) -> list[Effect]:
        """This member was heard: if it is thought ill of, it is told what, so that it can refute it."""
        member = self.get(id)
        if self._has_left or member is None or id == self._me.id or member.state is MemberState.ALIVE:
            return []
        if now < self._told_at.get(id, float("-inf")) + self._settings.interval_s:
            return []  # heard again before the refutation can be here
        self._told_at[id] = now
        return [self._send(self.address_of(member), Gossip, [member])]

    def leave(self, now: float) -> list[Effect]:
        """Say goodbye. Afterwards nothing is taken in; `deadline` is None when the goodbye has been spread."""
        if self._has_left:
            return []
        self._has_left = True
        self._joins.clear()
        self.comparing.end()
        self._become(replace(self._me, state=MemberState.LEFT, incarnation=self._me.incarnation + 1))
        return [
            self._send(self.address_of(member), Gossip, [self._me])
            for member in self._some_present(self._settings.farewells)
        ]

    def merge(self, records: Sequence[Member], now: float) -> list[Effect]:
        """Take the records that a sync has brought."""
        if self._has_left:
            return []
        known = self._roster.members
        unknown_count = sum(record.id not in known for record in records)
        if len(records) > self._settings.resync_records:
            self.comparing.begin(now)
        return self._learn_all(records, now, is_news=unknown_count <= len(known))

    # Messages

    def receive(self, message: Message, source: Address, now: float) -> list[Effect]:
        """A message arrived from that address."""
        if self._has_left:
            return []
        match message:
            case Hello():
                return self._on_hello(message, source, now)
            case Welcome():
                effects = self._on_welcome(message, source, now)
            case Gossip():
                effects = self._learn_all(message.records, now)
            case Comparison():
                effects = self._on_comparison(message, source, now)
        if any(record.id == self._me.id and record.state is not MemberState.ALIVE for record in message.records):
            effects.append(self._send(source, Gossip, [self._me]))  # the accuser hears the answer first
        return effects

    def _on_hello(self, hello: Hello, source: Address, now: float) -> list[Effect]:
        if hello.record.id == self._me.id:
            self._joins.cross_off([source])  # our own hello came back: that address is ours
            return []
        effects = self._sighted(hello.record, hello.more, source, now)
        records = [encode_record(record) for record in (self._me, *self._better_known(hello.record))]
        room_bytes = self._settings.datagram_budget_bytes - sum(HEAD_BYTES + len(record) for record in records)
        records += self._news(room_bytes, but_of=hello.record.id)
        return [*effects, SendGossip(source, encode_message(Welcome, records))]

    def _on_welcome(self, welcome: Welcome, source: Address, now: float) -> list[Effect]:
        id = welcome.record.id
        if id == self._me.id:
            return []
        was_present = self._is_present(id)
        effects = self._sighted(welcome.record, welcome.more, source, now)
        effects += self._remind(welcome.record, source)
        member = self.get(id)
        if member is None:
            return effects
        # A machine with several addresses may answer from another than the one that was called.
        answered = self._joins.answered(dict.fromkeys((source, *member.addresses)), id)
        effects += [JoinAnswered(member, address) for address in answered]
        if answered or not was_present:
            self._rumours.add(self._me)  # with so many newcomers at once, who let them in could not spread them alone
            if member.is_present:
                effects.append(RequestSync(member))
        return effects

    def _on_comparison(self, comparison: Comparison, source: Address, now: float) -> list[Effect]:
        if comparison.record.id == self._me.id:
            return []
        effects = self._sighted(comparison.record, (), source, now)
        effects += self._remind(comparison.record, source)
        if self._is_present(comparison.record.id) and self.comparing.calls_for_sync(comparison.fingerprint, now):
            effects.append(RequestSync(self._roster.members[comparison.record.id]))
        return effects

    def _sighted(self, record: Member, more: Sequence[Member], source: Address, now: float) -> list[Effect]:
        effects = self._learn_all(more, now)
        effects += self._learn(record, now, met=True)
        if record.id in self._roster.members:
            self._routes[record.id] = source
        return effects

    def _better_known(self, record: Member) -> list[Member]:
        """What is known of a member that has just shown this record of itself, if that is something else.

        Then it has restarted, or stands accused, and must see what is known in order to refute it.
        """
        known = self.get(record.id)
        return [known] if known is not None and known != record else []

    def _remind(self, record: Member, address: Address) -> list[Effect]:
        return [self._send(address, Gossip, [known]) for known in self._better_known(record)]

    # Records

    def _learn_all(self, records: Iterable[Member], now: float, *, is_news: bool = True) -> list[Effect]:
        known = self._roster.members
        effects: list[Effect] = []
        for record in records:
            if known.get(record.id) is not record:  # most often it is the very same, thanks to `decode_record`
                effects += self._learn(record, now, is_news=is_news)
        return effects

    def _learn(self, record: Member, now: float, *, met: bool = False, is_news: bool = True) -> list[Effect]:
        if record.id == self._me.id:
            self._refute(record)
            return []
        if record.protocol != self._me.protocol:
            return self._admission.keep_out(record)
        old = self.get(record.id)
        if not (self._admission.admits(met=met) if old is None else supersedes(record, old)):
            return []
        if record.id in self._roster.hearsay:
            old = None  # nobody was told of it
        self._take(record, now)
        if is_news and record.id not in self._roster.hearsay:
            self._rumours.add(record)
        else:
            self._rumours.drop(record.id)  # what was being said of it is out of date
        effects: list[Effect] = [*changes(old, record)]
        if self._roster.is_shared(record.name):
            effects += self._admission.name_conflict(record)
        return effects

    def _take(self, record: Member, now: float) -> None:
        old = self.get(record.id)
        if old is not None and old.addresses != record.addresses:
            self._routes.pop(record.id, None)  # it has moved
        self._roster.put(record, now)
        if self.comparing.deadline is None:
            self.comparing.begin(now)

    def _refute(self, record: Member) -> None:
        is_beaten = record == self._me or supersedes(self._me, record)
        if not is_beaten and record.incarnation + 1 < INCARNATION_LIMIT:
            self._become(replace(self._me, incarnation=record.incarnation + 1))

    def _become(self, me: Member) -> None:
        self._me = me
        self._roster.put_me(me)
        self._rumours.add(me)

    def _is_present(self, id: NodeId) -> bool:
        member = self.get(id)
        return member is not None and member.is_present

    # Timers

    def on_deadline(self, now: float) -> list[Effect]:
        """Do what is due: hellos to join addresses, a round of gossip, a sync."""
        effects = self._hellos(now)
        if self._has_news and now >= self._gossiped_at + self._settings.interval_s:
            effects += self._gossip(now)
        if self.comparing.is_due(now):
            effects += self._compare()
            effects += self._knock()
            self._forget(now)
        return effects

    def _hellos(self, now: float) -> list[Effect]:
        return [self._send(address, Hello, [self._me]) for address in self._joins.due(now, self._is_present)]

    def _gossip(self, now: float) -> list[Effect]:
        self._gossiped_at = now
        effects: list[Effect] = []
        for member in self._some_present(self._settings.fanout):
            news = self._news(self._settings.datagram_budget_bytes, at_least=1)
            if news:
                effects.append(SendGossip(self.address_of(member), encode_message(Gossip, news)))
        return effects

    def _compare(self) -> list[Effect]:
        payload = encode_comparison(self._me, self._roster.fingerprint)
        return [SendGossip(self.address_of(member), payload) for member in self._some_present(1)]

    def _knock(self) -> list[Effect]:
        """Say hello to a failed member, so often that it hears from one of us a turn.

        The probability is Serf's (`reconnect`): failed members over live ones.
        """
        failed = self._roster.failed()
        if not failed or self._rng.random() * (1 + len(self._roster.present)) >= len(failed):
            return []
        member = self._roster.members[self._rng.choice(failed)]
        return [self._send(self.address_of(member), Hello, [self._me, member])]

    def _forget(self, now: float) -> None:
        forgotten = self._roster.forget(now - self._settings.forget_s)
        for id in forgotten:
            self._routes.pop(id, None)
            self._told_at.pop(id, None)
            self._rumours.drop(id)
        self._admission.forget(forgotten)

    # Sending

    def _send(self, address: Address, kind: type[Hello | Welcome | Gossip], records: Iterable[Member]) -> SendGossip:
        return SendGossip(address, encode_message(kind, [encode_record(record) for record in records]))

    def _news(self, budget_bytes: int, *, at_least: int = 0, but_of: NodeId | None = None) -> list[bytes]:
        member_count = 1 + len(self._roster.present)
        return self._rumours.take(budget_bytes - ENVELOPE_BYTES, member_count, at_least=at_least, but_of=but_of)

    def _some_present(self, count: int) -> list[Member]:
        present = self._roster.present
        chosen = self._rng.sample(present, min(count, len(present)))
        return [self._roster.members[id] for id in chosen]

    def address_of(self, member: Member) -> Address:
        """Where a member is best reached: whence it last spoke to us, else the first of its own addresses."""
        return self._routes.get(member.id, member.addresses[0])


def _checked(me: Member) -> Member:
    try:
        return decode_record(encode_record(me))
    except MalformedMessage as error:
        raise UsageError(f"this node's own record would be refused by others: {error}") from error
