"""Decides how two nodes come by exactly one session: who dials, who answers, and when a session counts as open.

A session is made in three steps (mission A1): the initiator's INIT, the responder's RESPONSE (Noise IKpsk2, see
`handshake`), and the initiator's first session datagram, which confirms that the INIT was no replay. Until then the
responder's session is *half open*: it can receive, and nothing is sent on it.

One session a pair: when both dial at once, the INIT of the smaller node id wins and the other one's is dropped; its
messages wait for the winner's session. An INIT that comes again is answered by the same RESPONSE. A node under load
answers an INIT by a COOKIE, and the initiator sends it again behind that (see `cookies`). While cluster keys are
rotated a peer may have missed a step and cannot say so: an INIT that is not answered is made anew with the next key.

All these travel in datagrams that are sealed with one cluster key, which is also the psk; after their kind:
    INIT      0x01 | initiator index u32 | Noise message 1
    RESPONSE  0x02 | initiator index u32 | responder index u32 | Noise message 2
    COOKIE    0x05 | initiator index u32 | cookie 16
    RETRY     0x06 | cookie 16 | the INIT, with its kind
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct

from guthi.api import Address, NodeId
from guthi.security.audience import Audience
from guthi.security.cookies import COOKIE_BYTES, Admission, InitGate
from guthi.security.handshake import HandshakeFailed, Initiator, Responder
from guthi.security.identity import Identity, node_id_of
from guthi.security.keyring import ClusterKey
from guthi.transport.links import Hello, Route
from guthi.transport.session import Session, SessionSettings

__all__ = ["COOKIE", "INIT", "RESPONSE", "RETRY", "Dialing", "GaveUp", "Opened"]

PROLOGUE = b"guthi 1"
PSK_PURPOSE = b"handshake"
INIT, RESPONSE, COOKIE, RETRY = 1, 2, 5, 6
FIRST_RETRY_S = 0.25
MAX_RETRY_S = 1.0
MAX_HALF_OPEN = 4096

_init = Struct(">BI")
_response = Struct(">BII")
_cookie = Struct(f">BI{COOKIE_BYTES}s")
_retry = Struct(f">B{COOKIE_BYTES}s")


@dataclass(frozen=True, slots=True)
class Opened:
    """A new session; the peer's datagrams come with `index`. `replaces` is that of a half-open one given up for it."""

    peer: NodeId
    index: int
    session: Session
    address: Address
    hello: bytes
    replaces: int | None = None


@dataclass(frozen=True, slots=True)
class GaveUp:
    """An attempt to open a session has ended without one."""

    peer: NodeId
    reason: str
    silent: bool


@dataclass(slots=True)
class _Dial:
    """Our attempt to open a session."""

    initiator: Initiator
    key: ClusterKey
    index: int
    init: bytes
    route: Route
    started_at: float
    tries: int
    retry_at: float
    gives_up_at: float
    cookie: bytes | None = None

    @property
    def address(self) -> Address:
        return self.route.address

    @property
    def message(self) -> bytes:
        return self.init if self.cookie is None else _retry.pack(RETRY, self.cookie) + self.init


@dataclass(slots=True)
class _HalfOpen:
    """A session that the peer has not confirmed yet."""

    opened: Opened
    key: ClusterKey
    init: bytes
    response: bytes
    expires_at: float


class Dialing:
    """All handshakes of one node that are under way.

    `audience` says which cluster key to use, `transmit` seals and sends, `reserve` gives an index that no session has,
    `datagram_bytes` is the largest datagram to an address, `hello` what this node says of itself.
    """

    def __init__(
        self,
        identity: Identity,
        audience: Audience,
        *,
        entropy: Callable[[int], bytes],
        transmit: Callable[[bytes, Address, ClusterKey], None],
        reserve: Callable[[], int],
        datagram_bytes: Callable[[Address], int],
        hello: Callable[[], bytes],
        settings: SessionSettings,
        timeout_s: float,
    ) -> None:
        self._identity, self._audience, self._entropy = identity, audience, entropy
        self._transmit, self._reserve, self._datagram_bytes = transmit, reserve, datagram_bytes
        self._hello, self._settings, self._timeout_s = hello, settings, timeout_s
        self._dials: dict[NodeId, _Dial] = {}
        self._by_index: dict[int, NodeId] = {}
        self._half_open: dict[NodeId, _HalfOpen] = {}
        self._gate = InitGate(entropy)

    def __len__(self) -> int:
        return len(self._dials) + len(self._half_open)

    def is_dialing(self, peer: NodeId) -> bool:
        """True while our INIT is on its way."""
        return peer in self._dials

    def is_half_open(self, peer: NodeId) -> bool:
        """True while the peer's session waits for its confirmation."""
        return peer in self._half_open

    def has_index(self, index: int) -> bool:
        """True if one of our dials has it."""
        return index in self._by_index

    # ---- our own

    def dial(self, peer: NodeId, route: Route, now: float) -> None:
        """Send an INIT, and again until it is answered."""
        key = self._audience.key_for(route.address)
        initiator, index, init = self._made(route, key)
        retry_at, gives_up_at = now + FIRST_RETRY_S, now + self._timeout_s
        self._dials[peer] = _Dial(initiator, key, index, init, route, now, 1, retry_at, gives_up_at)
        self._by_index[index] = peer
        self._transmit(init, route.address, key)

    def _made(self, route: Route, key: ClusterKey) -> tuple[Initiator, int, bytes]:
        """A new INIT under a key, and the index that its answer comes with."""
        initiator = Initiator(
            identity=self._identity,
            peer_public_key=route.public_key,
            psk=key.derive(PSK_PURPOSE),
            prologue=PROLOGUE,
            ephemeral_private=self._entropy(32),
        )
        index = self._reserve()
        return initiator, index, _init.pack(INIT, index) + initiator.write_init(self._my_hello())

    def stop(self, peer: NodeId) -> None:
        """Dial no more."""
        dial = self._dials.pop(peer, None)
        if dial is not None:
            del self._by_index[dial.index]

    def on_response(self, plain: bytes, source: Address, now: float) -> Opened | GaveUp | None:
        """The peer answered our INIT; None if nobody waits for that. Raises HandshakeFailed for a forged one."""
        if len(plain) <= _response.size:
            raise HandshakeFailed("a response is cut short")
        _, index, remote_index = _response.unpack_from(plain)
        peer = self._by_index.get(index)
        if peer is None:
            return None
        dial = self._dials[peer]
        payload = dial.initiator.read_response(plain[_response.size :])
        self.stop(peer)
        try:
            hello = Hello.unpack(payload)
        except HandshakeFailed as failure:
            return GaveUp(peer, f"the handshake failed: {failure}", silent=False)
        session = Session(
            dial.initiator.keys,
            remote_index=remote_index,
            datagram_bytes=self._datagram_bytes(source),
            settings=self._settings,
            now=now,
            peer_max_message_bytes=hello.max_message_bytes,
            first_round_trip_s=now - dial.started_at if dial.tries == 1 else None,
        )
        session.ping()  # the third step
        return Opened(peer, index, session, source, hello.body)

    def on_cookie(self, plain: bytes) -> None:
        """The peer is under load, and answers an INIT that echoes this. Raises HandshakeFailed for a misfit."""
        if len(plain) != _cookie.size:
            raise HandshakeFailed("a cookie has the wrong length")
        _, index, cookie = _cookie.unpack(plain)
        peer = self._by_index.get(index)
        if peer is None or self._dials[peer].cookie == cookie:
            return
        dial = self._dials[peer]
        dial.cookie = cookie
        dial.tries += 1
        self._transmit(dial.message, dial.address, dial.key)

    # ---- the peer's

    def on_init(self, plain: bytes, key: ClusterKey, source: Address, now: float) -> Opened | None:
        """The peer dials, by INIT or RETRY; returns its half-open session if that is a new one. Raises HandshakeFailed.

        `key` is the cluster key of the datagram's seal: while keys are rotated the peer's primary key may be another
        than ours.
        """
        init, cookie = plain, None
        if plain[0] == RETRY and len(plain) > _retry.size:
            cookie, init = _retry.unpack_from(plain)[1], plain[_retry.size :]
        if len(init) <= _init.size or init[0] != INIT:
            raise HandshakeFailed("an init is cut short")
        match self._gate.admit(source, cookie, now):
            case Admission.SEND_COOKIE:
                _, remote_index = _init.unpack_from(init)
                self._transmit(_cookie.pack(COOKIE, remote_index, self._gate.cookie_for(source, now)), source, key)
                raise HandshakeFailed("under load, so a cookie was sent")
            case Admission.DROP:
                raise HandshakeFailed("too many from one machine")
        return self._answer(init, key, source, now)

    def _answer(self, plain: bytes, key: ClusterKey, source: Address, now: float) -> Opened | None:
        responder = Responder(
            identity=self._identity,
            psk=key.derive(PSK_PURPOSE),
            prologue=PROLOGUE,
            ephemeral_private=self._entropy(32),
        )
        hello = Hello.unpack(responder.read_init(plain[_init.size :]))
        peer = node_id_of(responder.peer_public_key)
        if peer == self._identity.node_id:
            raise HandshakeFailed("with ourselves")
        if peer in self._dials and self._identity.node_id < peer:
            return None  # ours wins, and the peer will answer it
        half = self._half_open.get(peer)
        if half is not None and half.init == plain:
            self._transmit(half.response, source, half.key)
            return None
        if half is None and len(self._half_open) >= MAX_HALF_OPEN:
            raise HandshakeFailed("too many at a time")
        self.stop(peer)
        return self._respond(peer, responder, key, plain, hello, source, now)

    def _respond(
        self,
        peer: NodeId,
        responder: Responder,
        key: ClusterKey,
        init: bytes,
        hello: Hello,
        source: Address,
        now: float,
    ) -> Opened:
        _, remote_index = _init.unpack_from(init)
        index = self._reserve()
        response = _response.pack(RESPONSE, remote_index, index) + responder.write_response(self._my_hello())
        session = Session(
            responder.keys,
            remote_index=remote_index,
            datagram_bytes=self._datagram_bytes(source),
            settings=self._settings,
            now=now,
            peer_max_message_bytes=hello.max_message_bytes,
        )
        opened = Opened(peer, index, session, source, hello.body, replaces=self.half_open_index(peer))
        self._half_open[peer] = _HalfOpen(opened, key, init, response, now + self._timeout_s)
        self._transmit(response, source, key)
        return opened

    def half_open_index(self, peer: NodeId) -> int | None:
        """The index of the peer's half-open session, if it has one."""
        half = self._half_open.get(peer)
        return half.opened.index if half is not None else None

    def confirm(self, peer: NodeId) -> Opened:
        """The third step has come: the peer has the keys, so its session may be used."""
        return self._half_open.pop(peer).opened

    def expire(self, peer: NodeId) -> int:
        """Give the peer's half-open session up; returns its index."""
        return self._half_open.pop(peer).opened.index

    # ---- time

    def next_try(self, peer: NodeId) -> float:
        """When `try_again` is due for a peer that is dialed."""
        dial = self._dials[peer]
        return min(dial.retry_at, dial.gives_up_at)

    def try_again(self, peer: NodeId, now: float) -> GaveUp | None:
        """Send the INIT once more, or give up."""
        dial = self._dials[peer]
        if now >= dial.gives_up_at:
            self.stop(peer)
            return GaveUp(peer, f"no answer from {dial.address} for {self._timeout_s:g} s", silent=True)
        if now >= dial.retry_at:
            dial.retry_at = now + min(2 * (now - dial.started_at), MAX_RETRY_S)
            if dial.cookie is None:  # else the key is right: the peer has read the INIT
                self._take_next_key(peer, dial)
            dial.tries += 1
            self._transmit(dial.message, dial.address, dial.key)
        return None

    def _take_next_key(self, peer: NodeId, dial: _Dial) -> None:
        keys = self._audience.keys_for(dial.address)
        key = keys[dial.tries % len(keys)]
        if key != dial.key:
            del self._by_index[dial.index]
            dial.key = key
            dial.initiator, dial.index, dial.init = self._made(dial.route, key)
            self._by_index[dial.index] = peer

    def expires_at(self, peer: NodeId) -> float:
        """When the peer's half-open session is given up."""
        return self._half_open[peer].expires_at

    def _my_hello(self) -> bytes:
        return Hello(self._hello(), self._settings.max_message_bytes).pack()
