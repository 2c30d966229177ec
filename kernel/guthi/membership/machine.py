"""Who is in the network, as this node sees it: joining, gossip, refutation and leaving.

Dissemination is SWIM's (Das, Gupta and Motivala 2002) with memberlist's LAN figures. Detecting failures is a
plugin's business: it calls `accuse` and `vouch`, and this machine spreads the verdicts.

Messages: Hello (answered by Welcome), Gossip and Comparison travel in datagrams and may be lost, doubled and reordered.
A sync makes two tables equal over a reliable session, which the node opens when it sees RequestSync. It asks
`comparing` for what each side sends: `digest`, then `answer`, then `requested`; each side hands what it got to `merge`.
A node syncs with whoever lets it join, and with whoever sends it a Comparison that differs from its own table; so
nodes that agree open no session.

What is known, and how it changes, is the ledger's (see `ledger`, `own`, `roster`); here is who is told, and when.

Invariants
- Whoever repeats an accusation of this node, even a refuted one, is answered directly.
- Whoever shows a record of itself that others hold a better one of (it has restarted, it was said to have left) is
  shown that one, and is synced with only once it has refuted it.
- With no news to spread no gossip is sent. What remains is slow: a Comparison to a random member, a Hello to join
  addresses where nobody lives, and a Hello to a random failed member (see `reconnecting`). News goes to those that
  failed lately too, with what they stand accused of, as in memberlist: some of them can still take it back.
- The Hello of a node that cannot be a member here is answered by a Refusal that says why.
- With discovery STATIC only members that were met directly are admitted; of these, gossip is believed.

Records are not signed: whoever has the cluster key is believed about the state of others, as in memberlist.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from guthi.api import Address, NodeId
from guthi.errors import MalformedMessage, UnknownMember, UsageError
from guthi.membership.compatibility import incompatibility
from guthi.membership.effects import (
    Effect,
    IdentityInUse,
    IncompatibleMember,
    JoinAnswered,
    JoinRefused,
    NameConflict,
    RequestSync,
    SendGossip,
)
from guthi.membership.gossip import (
    HEAD_BYTES,
    Comparison,
    Gossip,
    Hello,
    Message,
    Refusal,
    Welcome,
    encode_comparison,
    encode_message,
    encode_refusal,
)
from guthi.membership.joining import JoinList
from guthi.membership.ledger import Ledger
from guthi.membership.members import Member, MemberState, supersedes
from guthi.membership.reconnecting import Reconnecting
from guthi.membership.records import OWN_RECORD_LIMIT_BYTES, decode_record, encode_record
from guthi.membership.settings import GossipSettings
from guthi.membership.verdict import Verdict

__all__ = [
    "Effect",
    "IdentityInUse",
    "IncompatibleMember",
    "JoinAnswered",
    "JoinRefused",
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
        self._rng = rng
        self._settings = settings or GossipSettings()
        self._ledger = Ledger(_checked(me), rng, self._settings)
        self._roster = self._ledger.roster
        self._joins = JoinList(rng, self._settings)
        self._reconnecting = Reconnecting(self._roster, rng, self._settings)
        self._told_at: dict[NodeId, float] = {}
        self._gossiped_at = 0.0
        self.comparing = self._ledger.comparing
        self.routes = self._ledger.routes
        self._has_left = False

    @property
    def me(self) -> Member:
        return self._ledger.me

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

    def everybody(self) -> list[Member]:
        """All records there are, oneself and those that left or failed before one came included, sorted by id."""
        return [member for _, member in sorted(self._roster.members.items())]

    def snapshot(self) -> list[Member]:
        """All that is passed on, oneself included, sorted by id."""
        return list(self._roster.passed_on())

    @property
    def deadline(self) -> float | None:
        """When `on_deadline` is due; it may be in the past. None: only a call can bring anything about."""
        next_gossip = self._gossiped_at + self._settings.interval_s if self._has_news else None
        due = self._joins.deadline  # no generator here: the driver asks each turn
        for moment in (self.comparing.deadline, self._reconnecting.deadline, next_gossip):
            if moment is not None and (due is None or moment < due):
                due = moment
        return due

    @property
    def _has_news(self) -> bool:
        return bool(self._ledger.rumours and self._roster.present)

    # Calls of the node

    def join(self, addresses: Sequence[Address], now: float) -> list[Effect]:
        """Say hello to these addresses, again and again until somebody lives there; one's own are left out."""
        if self._has_left:
            return []
        for address in addresses:
            if address not in self.me.addresses:
                self._joins.add(address, now)
        return self._hellos(now)

    def join_no_more(self, addresses: Iterable[Address]) -> None:
        """Do not say hello to these addresses any more; whoever lives there remains a member."""
        self._joins.cross_off(addresses)

    def update_me(
        self,
        *,
        addresses: tuple[Address, ...] | None = None,
        plugins: Iterable[tuple[str, str]] | None = None,
    ) -> None:
        """Say something new about oneself; raises UsageError when others would refuse it."""
        me = replace(self.me, incarnation=self.me.incarnation + 1)
        if addresses is not None:
            me = replace(me, addresses=addresses)
        if plugins is not None:
            me = replace(me, plugins=tuple(sorted(plugins)))
        if not self._has_left:
            self._ledger.become(_checked(me))
            self._joins.cross_off(me.addresses)

    def met(self, record: Member, now: float) -> list[Effect]:
        """A session with this member has been authenticated, and this is its own record."""
        if self._has_left or record.id == self.me.id:
            return []
        return self._did(
            [*self._ledger.take(record, now, met=True), *self._remind(record, self.address_of(record))], now
        )

    def moved(self, id: NodeId, address: Address) -> None:
        """Its session has proven that this member is reached there, whatever its record says: it sits behind a NAT."""
        self._ledger.proven(id, address)

    def accuse(
        self,
        id: NodeId,
        state: MemberState,
        now: float,
        *,
        path: str = "direct",
        evidence: str = "no reason given",
        health: int = 0,
    ) -> list[Effect]:
        """A failure detector's verdict on another member, SUSPECT or FAILED; the accused is told at once.

        The rest is what the Verdict says. Raises UsageError, UnknownMember if there is nobody to accuse.
        """
        if state not in (MemberState.SUSPECT, MemberState.FAILED):
            raise UsageError(f"a member is accused of being SUSPECT or FAILED, not {state.name}")
        if id == self.me.id:
            raise UsageError("a node cannot accuse itself; call leave()")
        member = self.get(id)
        if member is None:
            raise UnknownMember(f"no member has the id {id}")
        if member.state is MemberState.LEFT:
            raise UsageError(f"{member.name} has left, which cannot be told from failing any more; accuse it no longer")
        accused = replace(member, state=state, verdict=Verdict.given(self.me.id, path, evidence, health))
        if self._has_left or not supersedes(accused, member):
            return []
        return self._did([*self._ledger.take(accused, now), *self.vouch(id, now)], now)

    def vouch(self, id: NodeId, now: float) -> list[Effect]:
        """This member was heard: if it is thought ill of, it is told what, so that it can refute it."""
        member = self.get(id)
        if self._has_left or member is None or id == self.me.id or member.state is MemberState.ALIVE:
            return []
        if now < self._told_at.get(id, float("-inf")) + self._settings.interval_s:
            return []  # heard again before the refutation can be here
        self._told_at[id] = now
        return [self._send(self.address_of(member), Gossip, [member])]

    def objection_to(self, record: Member) -> str | None:
        """Why the node that shows this record cannot be a member here, for people there; None if it can."""
        return incompatibility(record, self.me)

    def leave(self, now: float) -> list[Effect]:
        """Say goodbye. Afterwards nothing is taken in; `deadline` is None when the goodbye has been spread."""
        if self._has_left:
            return []
        self._has_left = True
        self._joins.clear()
        self.comparing.end()
        self._reconnecting.end()
        self._ledger.become(replace(self.me, state=MemberState.LEFT, incarnation=self.me.incarnation + 1))
        return [
            self._send(self.address_of(member), Gossip, [self.me])
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
        effects, doubted = self._ledger.reconcile(records, now, is_news=unknown_count <= len(known))
        for member in self._rng.sample(doubted, min(len(doubted), self._settings.farewells)):
            effects += self.vouch(member.id, now)
        return self._did(effects, now)

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
                effects = self._ledger.hear(message.records, now)
            case Comparison():
                effects = self._on_comparison(message, source, now)
            case Refusal():
                effects = self._on_refusal(message, source, now)
        if any(record.id == self.me.id and record.state is not MemberState.ALIVE for record in message.records):
            effects.append(self._send(source, Gossip, [self.me]))  # the accuser hears the answer first
        return self._did(effects, now)

    def _did(self, effects: list[Effect], now: float) -> list[Effect]:
        self._reconnecting.look(now)
        return effects

    def _on_hello(self, hello: Hello, source: Address, now: float) -> list[Effect]:
        if hello.record.id == self.me.id:
            self._joins.cross_off([source])  # our own hello came back: that address is ours
            return []
        effects = self._sighted(hello.record, hello.more, source, now)
        reason = self.objection_to(hello.record)
        if reason is not None:
            return [*effects, SendGossip(source, encode_refusal(self.me, reason))]
        records = [encode_record(record) for record in (self.me, *self._ledger.better_known(hello.record))]
        room_bytes = self._settings.datagram_budget_bytes - sum(HEAD_BYTES + len(record) for record in records)
        records += self._ledger.news(room_bytes, but_of=hello.record.id)
        return [*effects, SendGossip(source, encode_message(Welcome, records))]

    def _on_welcome(self, welcome: Welcome, source: Address, now: float) -> list[Effect]:
        id = welcome.record.id
        if id == self.me.id:
            return []
        was_present = self._ledger.is_present(id)
        effects = self._sighted(welcome.record, welcome.more, source, now)
        effects += self._remind(welcome.record, source)
        member = self.get(id)
        if member is None:
            return effects
        # A machine with several addresses may answer from another than the one that was called.
        answered = self._joins.answered(dict.fromkeys((source, *member.addresses)), id)
        effects += [JoinAnswered(member, address) for address in answered]
        # Who answers a knock was away for long; but anybody can send a Welcome that nobody asked for, and many of them.
        if answered or (not was_present and self.comparing.has_time(now)):
            # With so many newcomers at once, who let them in could not spread them alone.
            self._ledger.rumours.add(self.me)
            if member.is_present:
                effects.append(RequestSync(member))
        return effects

    def _on_comparison(self, comparison: Comparison, source: Address, now: float) -> list[Effect]:
        if comparison.record.id == self.me.id:
            return []
        effects = self._sighted(comparison.record, (), source, now)
        effects += self._remind(comparison.record, source)
        if self._ledger.is_present(comparison.record.id) and self.comparing.calls_for_sync(comparison.fingerprint, now):
            effects.append(RequestSync(self._roster.members[comparison.record.id]))
        return effects

    def _on_refusal(self, refusal: Refusal, source: Address, now: float) -> list[Effect]:
        if refusal.record.id == self.me.id:
            return []
        effects = self._ledger.take(refusal.record, now)
        reason = incompatibility(self.me, refusal.record) or refusal.reason
        return [*effects, JoinRefused(refusal.record, source, reason)]

    def _sighted(self, record: Member, more: Sequence[Member], source: Address, now: float) -> list[Effect]:
        effects = self._ledger.hear(more, now)
        effects += self._ledger.take(record, now, met=True)
        self._ledger.sighted(record, source)
        return effects

    def _remind(self, record: Member, address: Address) -> list[Effect]:
        return [self._send(address, Gossip, [known]) for known in self._ledger.better_known(record)]

    # Timers

    def on_deadline(self, now: float) -> list[Effect]:
        """Do what is due: hellos to join addresses, a round of gossip, a sync."""
        effects = self._hellos(now)
        if self._has_news and now >= self._gossiped_at + self._settings.interval_s:
            effects += self._gossip(now)
        if self.comparing.is_due(now):
            effects += self._compare()
            self._ledger.forget(now)
            self._told_at = {id: moment for id, moment in self._told_at.items() if self.get(id) is not None}
        knocked = self._reconnecting.due(now)
        if knocked is not None:
            effects.append(self._send(self.address_of(knocked), Hello, [self.me, knocked]))
        return effects

    def _hellos(self, now: float) -> list[Effect]:
        return [self._send(address, Hello, [self.me]) for address in self._joins.due(now, self._ledger.is_present)]

    def _gossip(self, now: float) -> list[Effect]:
        self._gossiped_at = now
        effects: list[Effect] = []
        for member in self._audience(now):
            accusation = [encode_record(member)] if member.state is not MemberState.ALIVE else []
            room_bytes = self._settings.datagram_budget_bytes - sum(HEAD_BYTES + len(record) for record in accusation)
            news = self._ledger.news(room_bytes, at_least=1 - len(accusation))
            if news:
                records = list(dict.fromkeys([*accusation, *news]))
                effects.append(SendGossip(self.address_of(member), encode_message(Gossip, records)))
        return effects

    def _audience(self, now: float) -> list[Member]:
        """Some of those that are present or failed lately, all with the same chance."""
        pool = [*self._roster.present, *self._roster.failed_since(now - self._settings.dead_gossip_s)]
        chosen = self._rng.sample(pool, min(self._settings.fanout, len(pool)))
        return [self._roster.members[id] for id in chosen]

    def _compare(self) -> list[Effect]:
        payload = encode_comparison(self.me, self._roster.fingerprint)
        return [SendGossip(self.address_of(member), payload) for member in self._some_present(1)]

    # Sending

    def _send(self, address: Address, kind: type[Hello | Welcome | Gossip], records: Iterable[Member]) -> SendGossip:
        return SendGossip(address, encode_message(kind, [encode_record(record) for record in records]))

    def _some_present(self, count: int) -> list[Member]:
        present = self._roster.present
        chosen = self._rng.sample(present, min(count, len(present)))
        return [self._roster.members[id] for id in chosen]

    def address_of(self, member: Member) -> Address:
        """Where a member is best reached: whence it last spoke to us, else at an address of its own."""
        return self.routes.address_of(member)


def _checked(me: Member) -> Member:
    try:
        encoded = encode_record(me)
        if len(encoded) > OWN_RECORD_LIMIT_BYTES:
            raise MalformedMessage(
                f"it has {len(encoded)} bytes, and {OWN_RECORD_LIMIT_BYTES} are allowed; shorten the names in it, or "
                "enable fewer plugins"
            )
        return decode_record(encoded)
    except MalformedMessage as error:
        raise UsageError(f"this node's own record would be refused by others: {error}") from error
