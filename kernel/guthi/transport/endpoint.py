"""Decides which session a datagram belongs to, and keeps the link to each peer.

Two kinds of datagram exist. Those that belong to no session (gossip and handshakes) are sealed with the cluster key:
whoever lacks it gets no answer, whatever is sent. All others belong to a session and name it by the receiver's index.

| link    | meaning                                      | leaves by                                            |
|---------|----------------------------------------------|------------------------------------------------------|
| IDLE    | no session; or the peer is about to open one | `send`, `connect`, the end of the peer's handshake   |
| DIALING | our INIT is on its way (see `dialing`)       | RESPONSE, the peer's better INIT, handshake_timeout  |
| OPEN    | there is a session                           | its end                                              |

A confirmed new session replaces an older one: the peer has restarted, or the old one had been unused for so long that
the peer may have dropped it.

After the kind, a cluster datagram is INIT, RESPONSE, COOKIE or RETRY (see `dialing`), or
    GOSSIP    0x03 | a membership message
    DATAGRAM  0x04 | a word of one member to another, which may be lost (see `guthi.messages.datagrams`)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Literal, TypeAlias

from guthi.api import Address, Buffer, Departing, Ecn, NodeId
from guthi.errors import UsageError
from guthi.security.audience import Audience
from guthi.security.handshake import HandshakeFailed
from guthi.security.identity import Identity
from guthi.security.keyring import ClusterKey, Keyring
from guthi.security.seal import SEALED_KIND, ClusterSeal
from guthi.transport.alarms import Alarms
from guthi.transport.dialing import COOKIE, INIT, RESPONSE, RETRY, Dialing, GaveUp, Opened
from guthi.transport.links import (
    DatagramArrived,
    EndpointEvent,
    GossipArrived,
    Hello,
    Link,
    LinkState,
    MessageArrived,
    PeerConnected,
    PeerDisconnected,
    PeerMoved,
    Posted,
    PostRefused,
    Route,
    StraySession,
)
from guthi.transport.outbox import UNORDERED
from guthi.transport.session import (
    MessageReceived,
    Session,
    SessionEvent,
    SessionLost,
    SessionMoved,
    SessionSettings,
    SessionState,
)
from guthi.transport.wire import HEADER, SESSION_KIND, CloseCode

__all__ = [
    "DatagramArrived",
    "Endpoint",
    "EndpointEvent",
    "GossipArrived",
    "Hello",
    "LinkState",
    "MessageArrived",
    "PeerConnected",
    "PeerDisconnected",
    "PeerMoved",
    "PostRefused",
    "Posted",
    "Route",
    "StraySession",
]

GOSSIP, DATAGRAM = 3, 4
UNSEALED = "not sealed for this cluster, or repeated"
MAX_SESSIONS = 65_536  # those of peers that opened them count; our own are bounded by the members there are

_AlarmKey: TypeAlias = int | tuple[Literal["dial", "half open"], NodeId]  # an int is a session's index


class Endpoint:
    """All sessions of one node; a machine without a socket.

    `route` tells how to reach a member by id, or None; `datagram_bytes` the largest datagram to an address.
    """

    def __init__(
        self,
        identity: Identity,
        keyring: Keyring,
        *,
        entropy: Callable[[int], bytes],
        route: Callable[[NodeId], Route | None],
        datagram_bytes: Callable[[Address], int],
        settings: SessionSettings,
        handshake_timeout_s: float = 5.0,
        hello: bytes = b"",
    ) -> None:
        self.hello = hello
        self.dropped: Counter[str] = Counter()
        self._entropy, self._route = entropy, route
        self._audience = Audience(keyring)
        self._seal = ClusterSeal(keyring, entropy)
        self._dialing = Dialing(
            identity,
            self._audience,
            entropy=entropy,
            transmit=self._transmit,
            reserve=self._new_index,
            datagram_bytes=datagram_bytes,
            hello=lambda: self.hello,
            settings=settings,
            timeout_s=handshake_timeout_s,
        )
        self._links: dict[NodeId, Link] = {}
        self._sessions: dict[int, tuple[NodeId, Session]] = {}  # by our index: every session that may still receive
        self._events: list[EndpointEvent] = []
        self._outgoing: list[Departing] = []
        self._stirred: dict[int, Session] = {}  # sessions that may have datagrams to send
        self._alarms: Alarms[_AlarmKey] = Alarms()
        self._watched: set[NodeId] = set()

    # ---- what the node asks for

    def send(self, peer: NodeId, parts: Sequence[Buffer], now: float, channel: int = UNORDERED) -> Posted:
        """Queue a message for a peer, opening a session first where there is none.

        Messages on one channel arrive in order, on channel 0 as soon as they are complete. Raises UsageError for one
        that the peer does not accept. Where the peer has no route, PeerDisconnected follows at once.
        """
        link = self._links.get(peer) or self._link(peer)
        session = link.session
        if session is not None and not session.is_stale(now):
            outgoing = session.send(parts, channel)
            self._stirred[link.index] = session
            return Posted(peer, parts, channel, session, outgoing)
        posted = Posted(peer, parts, channel)
        link.pending.append(posted)
        if link.state is not LinkState.DIALING:
            self._dial(link, now)
        return posted

    def room_bytes(self, peer: NodeId, now: float) -> int:
        """How long a message may be to leave in one datagram with all that goes along; 0 without an open session."""
        link = self._links.get(peer)
        if link is None or link.session is None or link.session.is_stale(now):
            return 0
        return link.session.room_bytes

    def abandon(self, posted: Posted) -> None:
        """Give up a message that may not have been delivered yet; the peer does not wait for it."""
        posted.abandoned = True
        link = self._links.get(posted.peer)
        if link is None or posted.session is None or posted.outgoing is None or posted.session is not link.session:
            return  # it has not left, or went down with its session
        link.session.abandon(posted.outgoing)
        self._stirred[link.index] = link.session

    def watch(self, peer: NodeId, watched: bool) -> None:
        """Say whether somebody waits for an answer of the peer; only then is it asked for signs of life."""
        if watched:
            self._watched.add(peer)
        else:
            self._watched.discard(peer)
        link = self._links.get(peer)
        if link is not None and link.session is not None:
            link.session.watched = watched
            if watched:
                self._stirred[link.index] = link.session

    def connect(self, peer: NodeId, now: float) -> None:
        """Open a session if there is none."""
        link = self._link(peer)
        if link.state is LinkState.IDLE:
            self._dial(link, now)

    def disconnect(self, peer: NodeId, reason: str, code: CloseCode = CloseCode.DONE) -> None:
        """Close the session with a peer, or stop dialing it; nothing that waits is sent."""
        link = self._links.pop(peer, None)
        if link is None:
            return
        self._stop_dialing(link)
        if link.session is not None:
            link.session.close(code, reason)
            self._stirred[link.index] = link.session
        self._events.append(PeerDisconnected(peer, reason))

    def gossip(self, payload: bytes, address: Address) -> None:
        """Send a membership message; it may be lost."""
        self._transmit(bytes([GOSSIP]) + payload, address)

    def datagram(self, payload: bytes, address: Address) -> None:
        """Send an unreliable datagram, which waits for no session and no other traffic; it may be lost."""
        self._transmit(bytes([DATAGRAM]) + payload, address)

    def _transmit(self, message: bytes, address: Address, key: ClusterKey | None = None) -> None:
        sealed = self._seal.seal(message, key or self._audience.key_for(address))
        self._outgoing.append((sealed, address, Ecn.NOT_ECT))  # nobody would tell us of marks on the way

    @property
    def keyring(self) -> Keyring:
        """The cluster keys of this node."""
        return self._audience.keyring

    def change_keys(self, keyring: Keyring) -> None:
        """Hold these cluster keys from now on. Open sessions go on: they have keys of their own."""
        self._audience.change_keys(keyring)
        self._seal.change_keys(keyring)

    def buffered_bytes(self, peer: NodeId) -> int:
        """Bytes that wait for this peer: not sent, or not acknowledged."""
        link = self._links.get(peer)
        if link is None:
            return 0
        buffered_bytes = link.session.buffered_bytes if link.session is not None else 0
        if link.pending:
            buffered_bytes += sum(posted.size_bytes for posted in link.pending if not posted.abandoned)
        return buffered_bytes

    def round_trip_s(self, peer: NodeId) -> float | None:
        """The smoothed round-trip time to a peer with an open session."""
        link = self._links.get(peer)
        return link.session.round_trip_s if link is not None and link.session is not None else None

    def state(self, peer: NodeId) -> LinkState:
        """Where the link to a peer stands."""
        link = self._links.get(peer)
        return link.state if link is not None else LinkState.IDLE

    @property
    def peers(self) -> list[NodeId]:
        """Peers with an open session, sorted."""
        return sorted(peer for peer, link in self._links.items() if link.state is LinkState.OPEN)

    @property
    def settled(self) -> bool:
        """True when every message has been acknowledged and no session is still closing."""
        closing = any(session.state is SessionState.CLOSING for _, session in self._sessions.values())
        return not closing and all(
            not link.pending and (link.session is None or link.session.settled) for link in self._links.values()
        )

    @property
    def drops(self) -> Counter[str]:
        """How many datagrams were not let in since the start, by reason; what the seal refused, by its reasons."""
        drops = Counter(self.dropped)
        for reason, count in asdict(self._seal.dropped).items():
            drops[f"cluster seal: {reason}"] = count
            drops[UNSEALED] -= count
        return +drops

    # ---- receiving

    def receive(self, datagram: Buffer, source: Address, now: float, mark: int = Ecn.NOT_ECT) -> None:
        """Take one datagram in; whatever it is, it does no harm."""
        kind = datagram[0] if len(datagram) else None
        if kind == SESSION_KIND and len(datagram) >= HEADER.size:
            self._receive_session(datagram, source, now, mark)
        elif kind == SEALED_KIND:
            self._receive_cluster(datagram, source, now)
        else:
            self.dropped["unknown kind"] += 1

    def _receive_session(self, datagram: Buffer, source: Address, now: float, mark: int) -> None:
        _, index, _, _ = HEADER.unpack_from(datagram)
        entry = self._sessions.get(index)
        if entry is None:
            self.dropped["no such session"] += 1
            self._events.append(StraySession(source))
            return
        peer, session = entry
        events = session.receive(datagram, now, source, mark)
        if events is None:
            self.dropped["not authentic or repeated"] += 1
            return
        if self._dialing.half_open_index(peer) == index:
            self._alarms.clear(("half open", peer))
            self._open_session(self._dialing.confirm(peer), now)
        self._stirred[index] = session
        if events:
            self._session_events(index, peer, events)

    def _session_events(self, index: int, peer: NodeId, events: Sequence[SessionEvent]) -> None:
        for event in events:
            if isinstance(event, MessageReceived):
                self._events.append(MessageArrived(peer, event.body))
            elif isinstance(event, SessionMoved):
                self._events.append(PeerMoved(peer, event.address))
            elif isinstance(event, SessionLost):
                self._session_over(index, peer, event.reason, silent=True)
            else:
                self._session_over(index, peer, event.reason or "the peer closed the session")

    def _session_over(self, index: int, peer: NodeId, reason: str, *, silent: bool = False) -> None:
        link = self._links.get(peer)
        if link is not None and link.index == index and link.session is not None:
            del self._links[peer]
            self._events.append(PeerDisconnected(peer, reason, silent))

    def _receive_cluster(self, datagram: Buffer, source: Address, now: float) -> None:
        opened = self._seal.open_with_key(datagram)
        if opened is None or not opened.plaintext:
            self.dropped[UNSEALED] += 1
            return
        plain, key = opened
        self._audience.heard(source, key)
        try:
            if plain[0] == GOSSIP:
                self._events.append(GossipArrived(source, plain[1:]))
            elif plain[0] == DATAGRAM:
                self._events.append(DatagramArrived(source, plain[1:]))
            elif plain[0] in (INIT, RETRY):
                self._receive_init(plain, key, source, now)
            elif plain[0] == COOKIE:
                self._dialing.on_cookie(plain)
            elif plain[0] == RESPONSE:
                self._receive_response(plain, source, now)
            else:
                self.dropped["unknown cluster message"] += 1
        except HandshakeFailed as failure:
            self.dropped[f"handshake: {failure}"] += 1

    # ---- links

    def _link(self, peer: NodeId) -> Link:
        link = self._links.get(peer)
        if link is None:
            link = self._links[peer] = Link(peer)
        return link

    def _new_index(self) -> int:
        while True:
            index = int.from_bytes(self._entropy(4), "big")
            if index not in self._sessions and not self._dialing.has_index(index):
                return index

    def _dial(self, link: Link, now: float) -> None:
        if self._dialing.is_half_open(link.peer):
            return  # the peer's own session is about to be confirmed
        route = self._route(link.peer)
        if route is None:
            self._end_dial(GaveUp(link.peer, "no address of it is known", silent=False))
            return
        self._dialing.dial(link.peer, route, now)
        link.state = LinkState.DIALING
        self._alarms.set(("dial", link.peer), self._dialing.next_try(link.peer))

    def _stop_dialing(self, link: Link) -> None:
        self._dialing.stop(link.peer)
        self._alarms.clear(("dial", link.peer))
        if link.state is LinkState.DIALING:
            link.state = LinkState.IDLE

    def _end_dial(self, failure: GaveUp) -> None:
        link = self._links.pop(failure.peer)
        self._stop_dialing(link)
        self._events.append(PeerDisconnected(failure.peer, failure.reason, failure.silent))

    def _receive_init(self, plain: bytes, key: ClusterKey, source: Address, now: float) -> None:
        if len(self._sessions) >= MAX_SESSIONS:
            raise HandshakeFailed("too many sessions")
        opened = self._dialing.on_init(plain, key, source, now)
        if opened is None:
            return
        link = self._links.get(opened.peer)
        if link is not None:
            self._stop_dialing(link)
        if opened.replaces is not None:
            del self._sessions[opened.replaces]
        self._register(opened)
        self._alarms.set(("half open", opened.peer), self._dialing.expires_at(opened.peer))

    def _receive_response(self, plain: bytes, source: Address, now: float) -> None:
        match self._dialing.on_response(plain, source, now):
            case Opened() as opened:
                self._register(opened)
                self._open_session(opened, now)
            case GaveUp() as failure:
                self._end_dial(failure)
            case None:
                self.dropped["a response that nobody waits for"] += 1

    def _register(self, opened: Opened) -> None:
        opened.session.address = opened.address
        self._sessions[opened.index] = (opened.peer, opened.session)

    def _open_session(self, opened: Opened, now: float) -> None:
        link = self._link(opened.peer)
        self._stop_dialing(link)
        self._retire(link, now)
        opened.session.watched = opened.peer in self._watched
        link.session, link.index, link.state = opened.session, opened.index, LinkState.OPEN
        self._stirred[opened.index] = opened.session
        self._events.append(PeerConnected(opened.peer, opened.address, opened.hello))
        while link.pending:
            self._send_pending(opened.session, link.pending.popleft())

    def _retire(self, link: Link, now: float) -> None:
        """A new session takes the place of the one that the link has, if it has one."""
        if link.session is None:
            return
        self._stirred[link.index] = link.session
        if link.session.is_stale(now):
            link.session.expire()
            return
        link.session.close(CloseCode.REPLACED, "replaced by a newer session")
        self._events.append(PeerDisconnected(link.peer, "it opened a new session, most likely after a restart"))

    def _send_pending(self, session: Session, posted: Posted) -> None:
        if posted.abandoned:
            return
        try:
            posted.session, posted.outgoing = session, session.send(posted.parts, posted.channel)
        except UsageError as error:
            self._events.append(PostRefused(posted, str(error)))

    # ---- sending

    def take_datagrams(self, now: float) -> Iterator[Departing]:
        """All datagrams that may leave now, each with its destination and mark, made one by one."""
        if self._outgoing:
            outgoing, self._outgoing = self._outgoing, []
            yield from outgoing
        stirred, self._stirred = self._stirred, {}
        for index, session in stirred.items():
            address = session.address
            assert address is not None  # `_register` saw to that
            for datagram in session.datagrams(now):
                yield datagram, address, session.mark
            self._note_moment(index, session)

    def _note_moment(self, index: int, session: Session) -> None:
        deadline = session.deadline
        if deadline is not None:
            self._alarms.set(index, deadline)
            return
        self._alarms.clear(index)
        if session.state is SessionState.CLOSED:
            self._sessions.pop(index, None)

    def take_events(self) -> Sequence[EndpointEvent]:
        """What has happened since the last call."""
        events = self._events
        if events:
            self._events = []
        return events

    # ---- time

    @property
    def deadline(self) -> float | None:
        """When `on_deadline` wants to be called; None for never."""
        return self._alarms.first

    def on_deadline(self, now: float) -> None:
        """Do what time asks for; datagrams and events may be ready afterwards."""
        for key in self._alarms.due(now):
            match key:
                case int():
                    peer, session = self._sessions[key]
                    self._session_events(key, peer, session.on_deadline(now))
                    self._stirred[key] = session
                case "dial", peer:
                    self._dial_again(peer, now)
                case "half open", peer:
                    self._half_open_expired(peer, now)

    def _dial_again(self, peer: NodeId, now: float) -> None:
        failure = self._dialing.try_again(peer, now)
        if failure is not None:
            self._end_dial(failure)
        else:
            self._alarms.set(("dial", peer), self._dialing.next_try(peer))

    def _half_open_expired(self, peer: NodeId, now: float) -> None:
        del self._sessions[self._dialing.expire(peer)]
        link = self._links.get(peer)
        if link is not None and link.state is LinkState.IDLE:
            self._dial(link, now)  # it had been left to the peer
