"""Decides how a broadcast reaches every member: sent to each while they are few, along a repaired tree beyond.

The tree is Plumtree's (Leitao, Pereira and Rodrigues 2007, "Epidemic Broadcast Trees") over the overlay of `overlay`.
Each link to a neighbour is eager or lazy. A new message is pushed over eager links and offered over lazy ones. Who gets
a message it has prunes the link; who hears of one that does not come grafts it. What is left eager is a spanning tree,
one for all origins: a tree has no direction, and nodes that broadcast rarely find it settled.

Messages: Payload, Note, Graft and Prune (see `messages`). They may be lost, doubled and reordered.

Where this differs from the paper
- An offer or push counts only when the peer has confirmed it (see `links`), as in Riak's and Partisan's Plumtree.
- A neighbour that is new, because members came, went or recovered, is offered all that is kept; so is one that may
  have restarted.
- A peer for which too much waits is sent offers only; it takes what it can (see `backlog`).
- In a small network the origin pushes to every member, with the same offers and confirmations behind it. When it is
  suspected, fails or leaves, those who have its messages offer them to their neighbours ("lazy reliable broadcast":
  Cachin, Guerraoui and Rodrigues, section 3.3), so that it is all or nobody who gets them, also if it crashed midway.

Invariants
- A node tells its app a message once in a life (see `arrivals`), and only others' messages.
- As long as a message is kept, whoever keeps it offers it to each neighbour that has not shown to have it. So when
  links of present members form a connected graph, all get it.
- All memory is bounded: by the store, and per link by what is in the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from guthi.api import NodeId
from guthi.broadcast.arrivals import Arrivals
from guthi.broadcast.links import Links
from guthi.broadcast.messages import MOST_IDS, Graft, Message, MessageId, Note, Payload, Prune
from guthi.broadcast.missing import Missing
from guthi.broadcast.overlay import Overlay
from guthi.broadcast.settings import BroadcastSettings
from guthi.broadcast.store import Kept, Store
from guthi.membership.members import Member, MemberEvent, MemberJoined, MemberRecovered, MemberState

__all__ = ["Deliver", "Effect", "Plumtree", "Send"]


@dataclass(frozen=True, slots=True)
class Send:
    """Send this to a peer."""

    peer: NodeId
    message: Message


@dataclass(frozen=True, slots=True)
class Deliver:
    """Tell the app of this message."""

    payload: Payload


Effect: TypeAlias = Send | Deliver


class Plumtree:
    """The machine of one node in one life; `now` is loop time in seconds.

    `members` gives all others that are present; `backlog` how many bytes wait for a peer. With `always_direct` this
    node pushes to every member, however many they are.
    """

    def __init__(
        self,
        me: NodeId,
        life: int,
        members: Callable[[], Sequence[Member]],
        settings: BroadcastSettings,
        rng: Random,
        *,
        backlog: Callable[[NodeId], int] = lambda _: 0,
        always_direct: bool = False,
    ) -> None:
        self._me, self._life, self._members, self._settings = me, life, members, settings
        self._backlog, self._always_direct = backlog, always_direct
        self._sequence = 0
        self._floor = 1  # the number of our oldest message that is kept
        self._under_way: dict[MessageId, int] = {}  # sizes of our messages that nobody has shown to have
        self.under_way_bytes = 0
        self._store = Store(settings.keep_s, settings.buffer_bytes)
        self._arrivals = Arrivals(settings.order_s, settings.stream_idle_s, settings.buffer_bytes)
        self._missing = Missing(settings, rng)
        self._links = Links(self._store, settings)
        self._overlay = Overlay(me, members)

    @property
    def is_full(self) -> bool:
        """Whether so much of our own has reached nobody that we had better wait."""
        return self.under_way_bytes > self._settings.window_bytes

    @property
    def neighbours(self) -> tuple[NodeId, ...]:
        """To whom this node relays."""
        return self._overlay.neighbours

    # ---- what the node asks for

    def broadcast(self, topic: str, body: bytes, now: float) -> list[Effect]:
        """Send a message to all members."""
        members = self._members()
        is_direct = self._always_direct or len(members) < self._settings.direct_limit
        self._sequence += 1
        payload = Payload(MessageId(self._me, self._life, self._sequence), self._floor, is_direct, topic, body)
        targets = [member.id for member in members] if is_direct else self._overlay.neighbours
        if targets:
            self._under_way[payload.id] = len(body)
            self.under_way_bytes += len(body)
        self._keep(payload, now, is_relayed=not is_direct)
        return self._spread(payload, targets, now)

    def member_changed(self, event: MemberEvent, now: float) -> None:
        """Something happened to another member."""
        member = event.member
        if not member.is_present:
            self._links.drop(member.id)
        elif member.state is MemberState.SUSPECT and member.id in self._links:
            self._links.set_eager(member.id, False)
        for id in self._overlay.update(member):
            if id != member.id:
                self._links.set_eager(id, False)  # known for long, it has its place in the tree; a newcomer has none
            self._offer(id, [kept for kept in self._store if kept.is_relayed], now)
        if member.state is not MemberState.ALIVE:
            self._adopt(member.id, now)
        elif isinstance(event, MemberJoined | MemberRecovered):
            self._offer(member.id, [kept for kept in self._store if kept.payload.id.origin == self._me], now)

    def connected(self, peer: NodeId, now: float) -> None:
        """A session with the peer was opened, perhaps because it has restarted: what it had it may lack."""
        is_neighbour = peer in self._overlay.neighbours if len(self._store) else False
        for kept in self._store:
            if kept.payload.id.origin == self._me or (is_neighbour and kept.is_relayed):
                self._links.offer_anew(peer, kept.payload.id, now)

    def _adopt(self, origin: NodeId, now: float) -> None:
        """Relay the direct messages of somebody who may not have sent them to all."""
        for kept in self._store:
            if kept.payload.id.origin == origin and not kept.is_relayed:
                kept.is_relayed = True
                for peer in self._overlay.neighbours:
                    self._links.offer(peer, kept.payload.id, now)

    def _offer(self, peer: NodeId, messages: Iterable[Kept], now: float) -> None:
        for kept in messages:
            self._links.offer(peer, kept.payload.id, now)

    # ---- what peers say

    def receive(self, peer: NodeId, message: Message, now: float) -> list[Effect]:
        """Take in what a peer said."""
        self._links.heard(peer, now)
        match message:
            case Payload() if self._has(message.id):
                return self._repeated(peer, message, now)
            case Payload():
                return self._new(peer, message, now)
            case Note():
                self._noted(peer, message, now)
            case Graft():
                return self._grafted(peer, message, now)
            case Prune():
                self._links.set_eager(peer, False)
                self._peer_has(peer, message.ids)
        return []

    def _has(self, id: MessageId) -> bool:
        return id.origin == self._me or self._arrivals.has(id)

    def _repeated(self, peer: NodeId, payload: Payload, now: float) -> list[Effect]:
        self._peer_has(peer, [payload.id])
        if payload.is_direct:
            self._links.confirm(peer, payload.id, now)
            return []
        self._links.set_eager(peer, False)
        return [Send(peer, Prune((payload.id,)))]

    def _new(self, peer: NodeId, payload: Payload, now: float) -> list[Effect]:
        holders = {peer, *self._missing.came(payload.id)}
        for holder in sorted(holders):
            self._links.has(holder, payload.id)
            self._links.confirm(holder, payload.id, now)
        is_relayed = not payload.is_direct or self._is_doubtful(payload.id.origin)
        self._keep(payload, now, is_relayed=is_relayed)
        effects: list[Effect] = [Deliver(ready) for ready in self._arrivals.take(payload, now)]
        others = [id for id in self._overlay.neighbours if id not in holders] if is_relayed else []
        if payload.is_direct:
            for other in others:
                self._links.offer(other, payload.id, now)
            return effects
        self._links.set_eager(peer, True)
        return effects + self._spread(payload, others, now)

    def _is_doubtful(self, origin: NodeId) -> bool:
        """Whether the origin may not reach all: only one that is ALIVE is relied upon."""
        return not any(member.id == origin and member.state is MemberState.ALIVE for member in self._members())

    def _noted(self, peer: NodeId, note: Note, now: float) -> None:
        for id, size_bytes in note.offered.items():
            if self._has(id):
                self._arrived_somewhere(id)
                self._links.offered(peer, id, now)
            else:
                self._missing.heard(id, size_bytes, peer, now)
        self._peer_has(peer, note.known)

    def _grafted(self, peer: NodeId, graft: Graft, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for id in graft.ids:
            kept = self._store.get(id)
            if kept is None:
                continue
            if not kept.payload.is_direct:
                self._links.set_eager(peer, True)
            effects += self._push(peer, kept.payload, now)
        return effects

    def _peer_has(self, peer: NodeId, ids: Iterable[MessageId]) -> None:
        for id in ids:
            self._links.has(peer, id)
            self._arrived_somewhere(id)

    def _arrived_somewhere(self, id: MessageId) -> None:
        self.under_way_bytes -= self._under_way.pop(id, 0)

    # ---- time

    @property
    def deadline(self) -> float | None:
        """When `on_deadline` is due; it may be early. None for never."""
        moments = (self._arrivals.deadline, self._missing.deadline, self._links.deadline, self._store.deadline)
        return min((moment for moment in moments if moment is not None), default=None)

    def on_deadline(self, now: float) -> list[Effect]:
        """Do what is due."""
        effects: list[Effect] = [Deliver(payload) for payload in self._arrivals.on_deadline(now)]
        for peer, ids in self._missing.due(now).items():
            self._links.set_eager(peer, True)
            effects += [Send(peer, Graft(tuple(ids[at : at + MOST_IDS]))) for at in range(0, len(ids), MOST_IDS)]
        effects += [Send(peer, note) for peer, note in self._links.notes(now)]
        if gone := self._store.expire(now):
            self._forget(gone)
            self._links.prune(self._overlay.neighbours)
        return effects

    # ---- spreading

    def _keep(self, payload: Payload, now: float, *, is_relayed: bool) -> None:
        self._forget(self._store.put(payload, now, is_relayed=is_relayed))

    def _forget(self, gone: Sequence[MessageId]) -> None:
        self._links.forget(gone)
        for id in gone:
            self._arrived_somewhere(id)  # or it never will
            if id.origin == self._me:
                self._floor = id.sequence + 1

    def _spread(self, payload: Payload, targets: Iterable[NodeId], now: float) -> list[Effect]:
        effects: list[Effect] = []
        for peer in targets:
            pushed = self._push(peer, payload, now) if payload.is_direct or self._links.is_eager(peer) else []
            effects += pushed
            if not pushed:
                self._links.offer(peer, payload.id, now)
        return effects

    def _push(self, peer: NodeId, payload: Payload, now: float) -> list[Effect]:
        """Send the message, unless too much waits for the peer already."""
        if self._backlog(peer) > self._settings.backlog_bytes:
            return []
        self._links.pushed(peer, payload.id, now)
        return [Send(peer, payload)]
