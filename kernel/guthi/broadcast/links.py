"""What this node holds of each peer: whether the link is in the tree, and which messages the peer may still lack.

| link  | a new message goes out | becomes the other by                                                              |
|-------|------------------------|-----------------------------------------------------------------------------------|
| eager | at once                | its PRUNE, or our own, when it sent what we had; the peer is suspected            |
| lazy  | as an offer in a note  | its GRAFT, or our own, when we lacked something; it sent what we lacked           |

A message that was pushed or offered is *open* until the peer shows that it has it: by a payload, an offer, a prune or a
note. What stays open is offered again, so neither a lost session nor a lost note loses a message. Offers and
confirmations travel together in notes. An offer of what we have too is confirmed, unless our own push or offer is on
its way: that confirms it as well. Confirmations are not answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from guthi.api import NodeId
from guthi.broadcast.messages import MOST_IDS, MessageId, Note
from guthi.broadcast.settings import BroadcastSettings
from guthi.broadcast.store import Store
from guthi.transport.alarms import Alarms

__all__ = ["Links"]


class _Link:
    """One peer."""

    def __init__(self, pause_s: float) -> None:
        self.is_eager = True
        self.open: dict[MessageId, float] = {}  # when it was last pushed or offered
        self.offers: dict[MessageId, None] = {}  # for the next note, as are the confirmations
        self.confirmations: dict[MessageId, None] = {}
        self.pause_s = pause_s
        self.notes_soon = self.repeats = False  # whether there is an alarm

    @property
    def is_idle(self) -> bool:
        return not (self.open or self.offers or self.confirmations)


class Links:
    """The links to all peers that anything was said to or heard from."""

    def __init__(self, store: Store, settings: BroadcastSettings) -> None:
        self._store, self._settings = store, settings
        self._links: dict[NodeId, _Link] = {}
        self._notes: Alarms[NodeId] = Alarms()
        self._repeats: Alarms[NodeId] = Alarms()

    def __len__(self) -> int:
        return len(self._links)

    def __contains__(self, peer: NodeId) -> bool:
        return peer in self._links

    def _link(self, peer: NodeId) -> _Link:
        link = self._links.get(peer)
        if link is None:
            link = self._links[peer] = _Link(self._settings.repeat_s)
        return link

    # ---- the tree

    def is_eager(self, peer: NodeId) -> bool:
        """Whether the link is in the tree; a new one is, until a payload shows that it is not needed."""
        return self._link(peer).is_eager

    def set_eager(self, peer: NodeId, is_eager: bool) -> None:
        """Take the link into the tree, or out of it."""
        self._link(peer).is_eager = is_eager

    def drop(self, peer: NodeId) -> None:
        """The peer is gone."""
        self._links.pop(peer, None)
        self._notes.clear(peer)
        self._repeats.clear(peer)

    def prune(self, kept: Iterable[NodeId]) -> None:
        """Forget the idle links to all but these."""
        wanted = set(kept)
        for peer in [peer for peer, link in self._links.items() if link.is_idle and peer not in wanted]:
            self.drop(peer)

    # ---- what a peer may lack

    def pushed(self, peer: NodeId, id: MessageId, now: float) -> None:
        """The message is on its way to the peer."""
        link = self._link(peer)
        link.offers.pop(id, None)
        link.confirmations.pop(id, None)
        link.open[id] = now
        self._repeat_later(peer, link, now)

    def offer(self, peer: NodeId, id: MessageId, now: float) -> None:
        """Offer the message in the next note."""
        link = self._link(peer)
        link.offers[id] = None
        self._note_soon(peer, link, now)

    def offer_anew(self, peer: NodeId, id: MessageId, now: float) -> None:
        """Offer the message also if the peer has shown to have it; but not what was pushed or offered just now."""
        if id not in self._link(peer).open:
            self.offer(peer, id, now)

    def confirm(self, peer: NodeId, id: MessageId, now: float) -> None:
        """Say in the next note that this node has the message."""
        link = self._link(peer)
        link.confirmations[id] = None
        self._note_soon(peer, link, now)

    def offered(self, peer: NodeId, id: MessageId, now: float) -> None:
        """The peer has offered a message that this node has."""
        link = self._link(peer)
        if link.open.pop(id, None) is not None:
            return  # what makes it open tells the peer
        link.offers.pop(id, None)
        self.confirm(peer, id, now)

    def has(self, peer: NodeId, id: MessageId) -> None:
        """The peer has the message."""
        link = self._link(peer)
        link.open.pop(id, None)
        link.offers.pop(id, None)

    def heard(self, peer: NodeId, now: float) -> None:
        """The peer is there: what is open is offered again without a long pause."""
        link = self._link(peer)
        if link.pause_s > self._settings.repeat_s:
            link.pause_s, link.repeats = self._settings.repeat_s, False
            self._repeat_later(peer, link, now)

    def forget(self, ids: Iterable[MessageId]) -> None:
        """These are not kept any more, and so cannot be had from here."""
        for id in ids:
            for link in self._links.values():
                link.open.pop(id, None)
                link.offers.pop(id, None)

    # ---- time

    @property
    def deadline(self) -> float | None:
        """When `notes` has something; it may be early."""
        note, repeat = self._notes.first, self._repeats.first
        if note is None or repeat is None:
            return repeat if note is None else note
        return min(note, repeat)

    def notes(self, now: float) -> Iterator[tuple[NodeId, Note]]:
        """What is due to be said, and to whom."""
        for peer in self._repeats.due(now):
            self._offer_again(peer, self._links[peer], now)
        for peer in self._notes.due(now):
            link = self._links[peer]
            link.notes_soon = False
            while link.offers or link.confirmations:
                offered, known = _taken(link.offers), _taken(link.confirmations)
                for id in offered:
                    link.open[id] = now
                yield peer, Note({id: self._size_bytes(id) for id in offered}, tuple(known))
            self._repeat_later(peer, link, now)

    def _offer_again(self, peer: NodeId, link: _Link, now: float) -> None:
        for id, told_at in link.open.items():
            # What was told just before has its answer on the way.
            if told_at + self._settings.repeat_s / 2 + self._size_bytes(id) / self._settings.pace_bytes_s <= now:
                self.offer(peer, id, now)
        link.pause_s, link.repeats = min(2 * link.pause_s, self._settings.repeat_limit_s), False
        self._repeat_later(peer, link, now)

    def _repeat_later(self, peer: NodeId, link: _Link, now: float) -> None:
        if link.open and not link.repeats:
            link.repeats = True
            self._repeats.set(peer, now + link.pause_s)

    def _note_soon(self, peer: NodeId, link: _Link, now: float) -> None:
        if not link.notes_soon:
            link.notes_soon = True
            self._notes.set(peer, now + self._settings.note_s)

    def _size_bytes(self, id: MessageId) -> int:
        kept = self._store.get(id)
        return len(kept.payload.body) if kept is not None else 0


def _taken(ids: dict[MessageId, None]) -> list[MessageId]:
    """The first that fit into one note, taken out."""
    taken = list(islice(ids, MOST_IDS))
    for id in taken:
        del ids[id]
    return taken
