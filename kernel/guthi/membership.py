"""Who is in the network, as this node sees it: joining, gossip, refutation and leaving.

Dissemination is SWIM's (Das, Gupta and Motivala 2002) with memberlist's LAN figures. Detecting failures is a
plugin's business: it calls `accuse` and `vouch`, and this machine spreads the verdicts.

Messages: Hello (answered by Welcome) and Gossip travel in datagrams and may be lost, doubled and reordered. A sync
is a swap of `snapshot`s over a reliable session, which the node carries out when it sees RequestSync; each side
hands what it got to `merge`.

Invariants
- Records only ever change to ones that supersede them, so all tables become equal once records stop changing.
- Only a member raises its own incarnation. Seeing a record of itself that its own does not beat (an accusation, or
  what it said before a restart), it takes a higher incarnation and spreads that: it refutes. Whoever repeats an
  accusation, even a refuted one, is answered directly. After `leave` it refutes nothing.
- With no news to spread no gossip is sent. What remains is slow: a sync with a random member, a Hello to join
  addresses where nobody lives, and, as in Serf, a Hello to a random failed member, so that partitions merge.
- With discovery STATIC only members that were met directly are admitted; of these, gossip is believed.

Records are not signed: whoever has the cluster key is believed about the state of others, as in memberlist.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from guthi.api import Address, NodeId
from guthi.errors import MalformedMessage, UnknownMember, UsageError
from guthi.gossip import (
    ENVELOPE_BYTES,
    Discovery,
    Gossip,
    GossipSettings,
    Hello,
    Message,
    RumourQueue,
    Welcome,
    encode_message,
    encode_record,
)
from guthi.members import (
    INCARNATION_LIMIT,
    Member,
    MemberEvent,
    MemberState,
    Roster,
    changes,
    supersedes,
)

__all__ = [
    "Effect",
    "IncompatibleMember",
    "JoinAnswered",
    "Membership",
    "NameConflict",
    "RequestSync",
    "SendGossip",
]


@dataclass(frozen=True, slots=True)
class SendGossip:
    """Seal this message and send it to that address."""

    address: Address
    payload: bytes


@dataclass(frozen=True, slots=True)
class RequestSync:
    """Swap snapshots with this member over a session."""

    member: Member


@dataclass(frozen=True, slots=True)
class JoinAnswered:
    """A member answered at an address that was given to `join`, for the first time."""

    member: Member
    address: Address


@dataclass(frozen=True, slots=True)
class NameConflict:
    """Two present members have one name; said once for the pair, which is sorted by id."""

    first: Member
    second: Member


@dataclass(frozen=True, slots=True)
class IncompatibleMember:
    """A member was kept out, for that reason; said once a member."""

    member: Member
    reason: str


Effect: TypeAlias = SendGossip | RequestSync | JoinAnswered | NameConflict | IncompatibleMember | MemberEvent


@dataclass(slots=True)
class _Attempt:
    """When one address is next said hello to, and who answered there."""

    due: float
    delay_s: float
    answered_by: NodeId | None = None


class JoinList:
    """The addresses given to `join`, and when each is said hello to.

    Impatient (with back-off) until the first answer, with discovery STATIC until the address's own answer; then
    slow, so that networks that were started apart become one, and a neighbour that restarted is found again.
    """

    def __init__(self, rng: random.Random, settings: GossipSettings) -> None:
        self._rng = rng
        self._settings = settings
        self._attempts: dict[Address, _Attempt] = {}

    @property
    def deadline(self) -> float | None:
        return min((attempt.due for attempt in self._attempts.values()), default=None)

    def add(self, address: Address, now: float) -> None:
        """Say hello there at once, and then until somebody answers."""
        self._attempts[address] = _Attempt(due=now, delay_s=self._settings.join_retry_s)

    def cross_off(self, addresses: Iterable[Address]) -> None:
        """These are our own."""
        for address in addresses:
            self._attempts.pop(address, None)

    def clear(self) -> None:
        self._attempts.clear()

    def answered(self, addresses: Iterable[Address], id: NodeId) -> list[Address]:
        """This member lives at these addresses; returns those of the list of which that is new."""
        news = []
        for address in addresses:
            attempt = self._attempts.get(address)
            if attempt is not None and attempt.answered_by != id:
                attempt.answered_by = id
                news.append(address)
        return news

    def due(self, now: float, is_present: Callable[[NodeId], bool]) -> list[Address]:
        """The addresses to say hello to now: those where nobody lives who is still present."""
        due = []
        is_joined = any(attempt.answered_by is not None for attempt in self._attempts.values())
        for address, attempt in self._attempts.items():
            if now >= attempt.due:
                attempt.due = now + jittered(self._rng, self._delay_s(attempt, is_joined))
                if attempt.answered_by is None or not is_present(attempt.answered_by):
                    due.append(address)
        return due

    def _delay_s(self, attempt: _Attempt, is_joined: bool) -> float:
        is_static = self._settings.discovery is Discovery.STATIC
        if attempt.answered_by is not None or (is_joined and not is_static):
            return self._settings.rejoin_interval_s
        delay_s = attempt.delay_s
        attempt.delay_s = min(2 * delay_s, self._settings.join_retry_limit_s)
        return delay_s


def jittered(rng: random.Random, delay_s: float) -> float:
    """Up to a quarter more or less, so that nodes started together do not act together."""
    return delay_s * rng.uniform(0.75, 1.25)


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
        self._conflicts: set[tuple[NodeId, NodeId]] = set()
        self._incompatible: set[NodeId] = set()
        self._gossiped_at = 0.0
        self._next_sync: float | None = None
        self._sync_delay_s = self._settings.first_sync_s
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
        """What a sync passes on, sorted by id."""
        members, hearsay = self._roster.members, self._roster.hearsay
        return [members[id] for id in sorted(members) if id not in hearsay]

    @property
    def deadline(self) -> float | None:
        """When `on_deadline` is due; it may be in the past. None: only a call can bring anything about."""
        has_news = bool(self._rumours and self._roster.present)
        next_gossip = self._gossiped_at + self._settings.interval_s if has_news else None
        times = (self._joins.deadline, self._next_sync, next_gossip)
        return min((time for time in times if time is not None), default=None)

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

    def merge(self, records: Iterable[Member], now: float) -> list[Effect]:
        """Take the other side's snapshot.

        What is new in it is spread, also by a newcomer to whom all is new: were it kept quiet, those who know would
        outnumber those who tell, and when many join at once the news would die out before it reached all.
        """
        return [] if self._has_left else self._learn_all(records, now)

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
        self._next_sync = None
        self._become(replace(self._me, state=MemberState.LEFT, incarnation=self._me.incarnation + 1))
        return [
            self._send(self.address_of(member), Gossip, [self._me])
            for member in self._some_present(self._settings.farewells)
        ]

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
        if any(record.id == self._me.id and record.state is not MemberState.ALIVE for record in message.records):
            effects.append(self._send(source, Gossip, [self._me]))  # the accuser hears the answer first
        return effects

    def _on_hello(self, hello: Hello, source: Address, now: float) -> list[Effect]:
        if hello.record.id == self._me.id:
            self._joins.cross_off([source])  # our own hello came back: that address is ours
            return []
        effects = self._sighted(hello, source, now)
        records = [encode_record(record) for record in (self._me, *self._better_known(hello.record))]
        room_bytes = self._settings.datagram_budget_bytes - sum(map(len, records))
        records += self._news(room_bytes, but_of=hello.record.id)
        return [*effects, SendGossip(source, encode_message(Welcome, records))]

    def _on_welcome(self, welcome: Welcome, source: Address, now: float) -> list[Effect]:
        id = welcome.record.id
        if id == self._me.id:
            return []
        was_present = self._is_present(id)
        effects = self._sighted(welcome, source, now)
        effects += self._remind(welcome.record, source)
        member = self.get(id)
        if member is None:
            return effects
        # A machine with several addresses may answer from another than the one that was called.
        answered = self._joins.answered(dict.fromkeys((source, *member.addresses)), id)
        effects += [JoinAnswered(member, address) for address in answered]
        if answered or not was_present:
            effects.append(RequestSync(member))
        return effects

    def _sighted(self, message: Hello | Welcome, source: Address, now: float) -> list[Effect]:
        effects = self._learn_all(message.more, now)
        effects += self._learn(message.record, now, met=True)
        if message.record.id in self._roster.members:
            self._routes[message.record.id] = source
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

    def _learn_all(self, records: Iterable[Member], now: float) -> list[Effect]:
        return [effect for record in records for effect in self._learn(record, now)]

    def _learn(self, record: Member, now: float, *, met: bool = False) -> list[Effect]:
        if record.id == self._me.id:
            self._refute(record)
            return []
        if record.protocol != self._me.protocol:
            return self._keep_out(record)
        old = self.get(record.id)
        if not (self._admits(met) if old is None else supersedes(record, old)):
            return []
        if record.id in self._roster.hearsay:
            old = None  # nobody was told of it
        self._take(record, now)
        if record.id not in self._roster.hearsay:
            self._rumours.add(record)
        return [*changes(old, record), *self._name_conflict(record)]

    def _admits(self, met: bool) -> bool:
        is_full = len(self._roster.members) >= self._settings.max_members
        return not is_full and (met or self._settings.discovery is Discovery.GOSSIP)

    def _take(self, record: Member, now: float) -> None:
        old = self.get(record.id)
        if old is not None and old.addresses != record.addresses:
            self._routes.pop(record.id, None)  # it has moved
        self._roster.put(record, now)
        if self._next_sync is None:
            self._next_sync = now + jittered(self._rng, self._sync_delay_s)

    def _refute(self, record: Member) -> None:
        is_beaten = record == self._me or supersedes(self._me, record)
        if not is_beaten and record.incarnation + 1 < INCARNATION_LIMIT:
            self._become(replace(self._me, incarnation=record.incarnation + 1))

    def _become(self, me: Member) -> None:
        self._me = me
        self._roster.put_me(me)
        self._rumours.add(me)

    def _keep_out(self, record: Member) -> list[Effect]:
        if record.id in self._incompatible or len(self._incompatible) >= self._settings.max_members:
            return []
        self._incompatible.add(record.id)
        return [IncompatibleMember(record, f"it speaks protocol {record.protocol}, and we {self._me.protocol}")]

    def _name_conflict(self, record: Member) -> list[Effect]:
        """Compare with one namesake only: a thousand nodes of one name are a thousand events, not half a million."""
        namesakes = [m for m in self._roster.named(record.name) if m.is_present and m.id != record.id]
        if not record.is_present or not namesakes:
            return []
        first, second = sorted((namesakes[0], record), key=lambda member: member.id)
        if (first.id, second.id) in self._conflicts:
            return []
        self._conflicts.add((first.id, second.id))
        return [NameConflict(first, second)]

    def _is_present(self, id: NodeId) -> bool:
        member = self.get(id)
        return member is not None and member.is_present

    # Timers

    def on_deadline(self, now: float) -> list[Effect]:
        """Do what is due: hellos to join addresses, a round of gossip, a sync."""
        effects = self._hellos(now)
        if self._rumours and now >= self._gossiped_at + self._settings.interval_s:
            effects += self._gossip(now)
        if self._next_sync is not None and now >= self._next_sync:
            self._sync_delay_s = min(2 * self._sync_delay_s, self._settings.sync_interval_s)
            self._next_sync = now + jittered(self._rng, self._sync_delay_s)
            effects += self._sync()
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

    def _sync(self) -> list[Effect]:
        """Swap tables with one member, and knock at a failed one so often that it hears from one of us a turn.

        The probability is Serf's (`reconnect`): failed members over live ones.
        """
        effects: list[Effect] = [RequestSync(member) for member in self._some_present(1)]
        failed = self._roster.failed()
        if failed and self._rng.random() * (1 + len(self._roster.present)) < len(failed):
            member = self._roster.members[self._rng.choice(failed)]
            effects.append(self._send(self.address_of(member), Hello, [self._me, member]))
        return effects

    def _forget(self, now: float) -> None:
        forgotten = self._roster.forget(now - self._settings.forget_s)
        for id in forgotten:
            self._routes.pop(id, None)
            self._told_at.pop(id, None)
            self._rumours.drop(id)
        if forgotten:
            self._conflicts = {pair for pair in self._conflicts if not set(pair).intersection(forgotten)}

    # Sending

    def _send(self, address: Address, kind: type[Message], records: Iterable[Member]) -> SendGossip:
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
        return Member.from_wire(me.to_wire())
    except MalformedMessage as error:
        raise UsageError(f"this node's own record would be refused by others: {error}") from error
