"""Decides which session a datagram belongs to, and how two nodes come by exactly one session.

Two kinds of datagram exist. Those that belong to no session (gossip and handshakes) are sealed with the cluster key:
whoever lacks it gets no answer, whatever is sent. All others belong to a session and name it by the receiver's index.

A session is made in three steps (mission A1): the initiator's INIT, the responder's RESPONSE (Noise IKpsk2, see
`handshake`), and the initiator's first session datagram, which confirms that it is no replay. Only then does the
responder use the session. A peer's link is thus

| state   | meaning                                      | leaves by                                            |
|---------|----------------------------------------------|------------------------------------------------------|
| IDLE    | no session; or the peer is about to open one | `send`, `connect`, the end of the peer's handshake   |
| DIALING | our INIT is on its way, repeated             | RESPONSE, the peer's better INIT, handshake_timeout  |
| OPEN    | there is a session                           | its end                                              |

One session a pair: when both dial at once, the INIT of the smaller node id wins and the other one's is dropped; its
messages wait for the winner's session. A confirmed new session replaces an older one (the peer restarted).

After the kind, a cluster datagram is:
    INIT      0x01 | initiator index u32 | Noise message 1
    RESPONSE  0x02 | initiator index u32 | responder index u32 | Noise message 2
    GOSSIP    0x03 | a membership message
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Literal, TypeAlias

from guthi.alarms import Alarms
from guthi.api import Address, Buffer, NodeId
from guthi.errors import UsageError
from guthi.handshake import HandshakeFailed, Initiator, Responder
from guthi.identity import Identity, node_id_of
from guthi.keyring import Keyring
from guthi.links import (
    Dial,
    EndpointEvent,
    GossipArrived,
    HalfOpen,
    Hello,
    Link,
    LinkState,
    MessageArrived,
    PeerConnected,
    PeerDisconnected,
    Posted,
    PostRefused,
    Route,
)
from guthi.outbox import UNORDERED
from guthi.seal import SEALED_KIND, ClusterSeal
from guthi.session import (
    MessageReceived,
    Session,
    SessionClosed,
    SessionEvent,
    SessionLost,
    SessionSettings,
    SessionState,
)
from guthi.wire import HEADER, SESSION_KIND, CloseCode

__all__ = [
    "Endpoint",
    "EndpointEvent",
    "GossipArrived",
    "Hello",
    "LinkState",
    "MessageArrived",
    "PeerConnected",
    "PeerDisconnected",
    "PostRefused",
    "Posted",
    "Route",
]

PROLOGUE = b"guthi 1"
INIT, RESPONSE, GOSSIP = 1, 2, 3
FIRST_RETRY_S = 0.25
MAX_RETRY_S = 1.0
MAX_HALF_OPEN = 4096
KEY_ID = slice(1, 5)  # where a sealed datagram names its cluster key

_AlarmKey: TypeAlias = int | tuple[Literal["dial", "half open"], NodeId]  # an int is a session's index

_init = Struct(">BI")
_response = Struct(">BII")


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
        self._identity, self._keyring = identity, keyring
        self._entropy, self._route, self._datagram_bytes = entropy, route, datagram_bytes
        self._settings, self._handshake_timeout_s = settings, handshake_timeout_s
        self._seal = ClusterSeal(keyring, entropy)
        self._links: dict[NodeId, Link] = {}
        self._sessions: dict[int, tuple[NodeId, Session]] = {}  # by our index: every session that may still receive
        self._dials: dict[int, NodeId] = {}
        self._half_open: dict[NodeId, HalfOpen] = {}
        self._events: list[EndpointEvent] = []
        self._outgoing: list[tuple[bytes, Address]] = []
        self._addresses: dict[int, Address] = {}  # where each session of `_sessions` sends to
        self._stirred: dict[int, Session] = {}  # sessions that may have datagrams to send
        self._alarms: Alarms[_AlarmKey] = Alarms()
        self._watched: set[NodeId] = set()

    # ---- what the node asks for

    def send(self, peer: NodeId, parts: Sequence[Buffer], now: float, channel: int = UNORDERED) -> Posted:
        """Queue a message for a peer, opening a session first where there is none.

        Messages on one channel arrive in order, on channel 0 as soon as they are complete. Raises UsageError for one
        that the peer does not accept. Where the peer has no route, PeerDisconnected follows at once.
        """
        posted = Posted(peer, parts, channel, sum(map(len, parts)))
        link = self._link(peer)
        if link.session is not None and not link.session.is_stale(now):
            posted.session, posted.outgoing = link.session, link.session.send(parts, channel)
            self._stirred[link.index] = link.session
            return posted
        link.pending.append(posted)
        if link.state is not LinkState.DIALING:
            self._dial(link, now)
        return posted

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
        self._outgoing.append((self._seal.seal(bytes([GOSSIP]) + payload), address))

    def buffered_bytes(self, peer: NodeId) -> int:
        """Bytes that wait for this peer: not sent, or not acknowledged."""
        link = self._links.get(peer)
        if link is None:
            return 0
        waiting = sum(posted.size_bytes for posted in link.pending if not posted.abandoned)
        return waiting + (link.session.buffered_bytes if link.session is not None else 0)

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

    # ---- receiving

    def receive(self, datagram: Buffer, source: Address, now: float) -> None:
        """Take one datagram in; whatever it is, it does no harm."""
        kind = datagram[0] if len(datagram) else None
        if kind == SESSION_KIND and len(datagram) >= HEADER.size:
            self._receive_session(datagram, source, now)
        elif kind == SEALED_KIND:
            self._receive_cluster(datagram, source, now)
        else:
            self.dropped["unknown kind"] += 1

    def _receive_session(self, datagram: Buffer, source: Address, now: float) -> None:
        index = int.from_bytes(datagram[1:5], "big")
        entry = self._sessions.get(index)
        if entry is None:
            self.dropped["no such session"] += 1
            return
        peer, session = entry
        events = session.receive(datagram, now)
        if events is None:
            self.dropped["not authentic or repeated"] += 1
            return
        half = self._half_open.get(peer)
        if half is not None and half.index == index:
            self._confirm(half, now)
        self._addresses[index] = source
        self._stirred[index] = session
        if events:
            self._session_events(index, peer, events)

    def _session_events(self, index: int, peer: NodeId, events: Sequence[SessionEvent]) -> None:
        for event in events:
            match event:
                case MessageReceived():
                    self._events.append(MessageArrived(peer, event.body))
                case SessionLost():
                    self._session_over(index, peer, event.reason, silent=True)
                case SessionClosed():
                    self._session_over(index, peer, event.reason or "the peer closed the session")

    def _session_over(self, index: int, peer: NodeId, reason: str, *, silent: bool = False) -> None:
        link = self._links.get(peer)
        if link is not None and link.index == index and link.session is not None:
            del self._links[peer]
            self._events.append(PeerDisconnected(peer, reason, silent))

    def _receive_cluster(self, datagram: Buffer, source: Address, now: float) -> None:
        plain = self._seal.open(datagram)
        if not plain:
            self.dropped["not sealed for this cluster, or repeated"] += 1
            return
        try:
            if plain[0] == GOSSIP:
                self._events.append(GossipArrived(source, plain[1:]))
            elif plain[0] == INIT and len(plain) > _init.size:
                self._receive_init(plain, bytes(datagram[KEY_ID]), source, now)
            elif plain[0] == RESPONSE and len(plain) > _response.size:
                self._receive_response(plain, source, now)
            else:
                self.dropped["unknown cluster message"] += 1
        except HandshakeFailed as failure:
            self.dropped[f"handshake: {failure}"] += 1

    # ---- handshakes

    def _link(self, peer: NodeId) -> Link:
        link = self._links.get(peer)
        if link is None:
            link = self._links[peer] = Link(peer)
        return link

    def _new_index(self) -> int:
        while True:
            index = int.from_bytes(self._entropy(4), "big")
            if index not in self._sessions and index not in self._dials:
                return index

    def _my_hello(self) -> bytes:
        return Hello(self.hello, self._settings.max_message_bytes).pack()

    def _dial(self, link: Link, now: float) -> None:
        if link.peer in self._half_open:
            return  # the peer's own session is about to be confirmed
        route = self._route(link.peer)
        if route is None:
            self._give_up(link, "no address of it is known")
            return
        initiator = Initiator(
            identity=self._identity,
            peer_public_key=route.public_key,
            psk=self._keyring.primary.derive(b"handshake"),
            prologue=PROLOGUE,
            ephemeral_private=self._entropy(32),
        )
        index = self._new_index()
        datagram = _init.pack(INIT, index) + initiator.write_init(self._my_hello())
        gives_up_at = now + self._handshake_timeout_s
        link.dial = Dial(initiator, index, datagram, route.address, now, 1, now + FIRST_RETRY_S, gives_up_at)
        link.state = LinkState.DIALING
        self._dials[index] = link.peer
        self._alarms.set(("dial", link.peer), link.dial.retry_at)
        self._outgoing.append((self._seal.seal(datagram), route.address))

    def _stop_dialing(self, link: Link) -> None:
        if link.dial is not None:
            self._dials.pop(link.dial.index, None)
            self._alarms.clear(("dial", link.peer))
            link.dial = None
            link.state = LinkState.IDLE

    def _give_up(self, link: Link, reason: str, *, silent: bool = False) -> None:
        self._stop_dialing(link)
        del self._links[link.peer]
        self._events.append(PeerDisconnected(link.peer, reason, silent))

    def _receive_init(self, plain: bytes, key_id: bytes, source: Address, now: float) -> None:
        _, remote_index = _init.unpack_from(plain)
        key = self._keyring.by_id(key_id)
        assert key is not None  # the seal was opened with it
        responder = Responder(
            identity=self._identity,
            psk=key.derive(b"handshake"),  # while keys are rotated, the peer's primary may differ from ours
            prologue=PROLOGUE,
            ephemeral_private=self._entropy(32),
        )
        hello = Hello.unpack(responder.read_init(plain[_init.size :]))
        peer = node_id_of(responder.peer_public_key)
        if peer == self._identity.node_id:
            self.dropped["a handshake with ourselves"] += 1
            return
        link = self._links.get(peer)
        if link is not None and link.state is LinkState.DIALING and self._identity.node_id < peer:
            return  # ours wins, and the peer will answer it
        half = self._half_open.get(peer)
        if half is not None and half.init == plain:
            self._outgoing.append((self._seal.seal(half.response), source))
            return
        self._forget_half_open(peer)
        if len(self._half_open) >= MAX_HALF_OPEN:
            self.dropped["too many handshakes"] += 1
            return
        if link is not None:
            self._stop_dialing(link)
        self._respond(peer, responder, remote_index, hello, plain, source, now)

    def _respond(
        self,
        peer: NodeId,
        responder: Responder,
        remote_index: int,
        hello: Hello,
        init: bytes,
        source: Address,
        now: float,
    ) -> None:
        index = self._new_index()
        response = _response.pack(RESPONSE, remote_index, index) + responder.write_response(self._my_hello())
        session = Session(
            responder.keys,
            remote_index=remote_index,
            datagram_bytes=self._datagram_bytes(source),
            settings=self._settings,
            now=now,
            peer_max_message_bytes=hello.max_message_bytes,
        )
        expires_at = now + self._handshake_timeout_s
        self._half_open[peer] = HalfOpen(peer, index, source, session, init, response, hello.body, expires_at)
        self._alarms.set(("half open", peer), expires_at)
        self._sessions[index] = (peer, session)
        self._outgoing.append((self._seal.seal(response), source))

    def _forget_half_open(self, peer: NodeId) -> None:
        half = self._half_open.pop(peer, None)
        if half is not None:
            del self._sessions[half.index]
            self._alarms.clear(("half open", peer))

    def _confirm(self, half: HalfOpen, now: float) -> None:
        """The third step: the peer has the keys, so its session is used from now on."""
        del self._half_open[half.peer]
        self._alarms.clear(("half open", half.peer))
        self._open_session(half.peer, half.index, half.session, half.address, half.hello, now)

    def _receive_response(self, plain: bytes, source: Address, now: float) -> None:
        _, index, remote_index = _response.unpack_from(plain)
        peer = self._dials.get(index)
        link = self._links.get(peer) if peer is not None else None
        if link is None or link.dial is None or link.dial.index != index:
            self.dropped["a response that nobody waits for"] += 1
            return
        payload = link.dial.initiator.read_response(plain[_response.size :])
        try:
            hello = Hello.unpack(payload)
        except HandshakeFailed as failure:
            self._give_up(link, f"the handshake failed: {failure}")
            return
        session = Session(
            link.dial.initiator.keys,
            remote_index=remote_index,
            datagram_bytes=self._datagram_bytes(source),
            settings=self._settings,
            now=now,
            peer_max_message_bytes=hello.max_message_bytes,
            first_round_trip_s=now - link.dial.started_at if link.dial.tries == 1 else None,
        )
        session.ping()
        self._stop_dialing(link)
        self._sessions[index] = (link.peer, session)
        self._open_session(link.peer, index, session, source, hello.body, now)

    def _open_session(
        self, peer: NodeId, index: int, session: Session, address: Address, hello: bytes, now: float
    ) -> None:
        link = self._link(peer)
        self._stop_dialing(link)
        self._retire(link, now)
        session.watched = peer in self._watched
        link.session, link.index, link.state = session, index, LinkState.OPEN
        self._addresses[index] = address
        self._stirred[index] = session
        self._events.append(PeerConnected(peer, address, hello))
        while link.pending:
            self._send_pending(session, link.pending.popleft())

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

    def take_datagrams(self, now: float) -> list[tuple[bytes, Address]]:
        """All datagrams that may leave now, each with its destination."""
        ready, self._outgoing = self._outgoing, []
        stirred, self._stirred = self._stirred, {}
        for index, session in stirred.items():
            address = self._addresses[index]
            ready.extend((datagram, address) for datagram in session.datagrams(now))
            self._note_moment(index, session)
        return ready

    def _note_moment(self, index: int, session: Session) -> None:
        deadline = session.deadline
        if deadline is not None:
            self._alarms.set(index, deadline)
            return
        self._alarms.clear(index)
        if session.state is SessionState.CLOSED:
            self._sessions.pop(index, None)
            self._addresses.pop(index, None)

    def take_events(self) -> list[EndpointEvent]:
        """What has happened since the last call."""
        events, self._events = self._events, []
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
                    self._dial_again(self._links[peer], now)
                case "half open", peer:
                    self._half_open_expired(peer, now)

    def _dial_again(self, link: Link, now: float) -> None:
        dial = link.dial
        if dial is None:
            return
        if now >= dial.gives_up_at:
            reason = f"no answer from {dial.address} for {self._handshake_timeout_s:g} s"
            self._give_up(link, reason, silent=True)
        elif now >= dial.retry_at:
            dial.retry_at = now + min(2 * (now - dial.started_at), MAX_RETRY_S)
            dial.tries += 1
            self._alarms.set(("dial", link.peer), min(dial.retry_at, dial.gives_up_at))
            self._outgoing.append((self._seal.seal(dial.datagram), dial.address))

    def _half_open_expired(self, peer: NodeId, now: float) -> None:
        self._forget_half_open(peer)
        link = self._links.get(peer)
        if link is not None and link.state is LinkState.IDLE:
            self._dial(link, now)  # it had been left to the peer
