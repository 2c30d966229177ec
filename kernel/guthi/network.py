"""A node's view of its network: the endpoint, the membership and the requests, joined to one another and to the loop.

This is the edge where the machines' effects become deeds: datagrams, syncs, hooks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from guthi.api import Address, Buffer, Host, NodeId
from guthi.backpressure import Backpressure
from guthi.configuration.config import Config
from guthi.driver import Driver
from guthi.errors import ConfigError, JoinFailed, MalformedMessage, PeerLost, UnknownMember
from guthi.hooks import HookBus
from guthi.membership.gossip import Discovery, GossipSettings, decode_message
from guthi.membership.machine import (
    Effect,
    IncompatibleMember,
    JoinAnswered,
    Membership,
    NameConflict,
    RequestSync,
    SendGossip,
)
from guthi.membership.members import (
    Member,
    MemberEvent,
    MemberFailed,
    MemberJoined,
    MemberLeft,
    MemberRecovered,
    MemberState,
    MemberSuspected,
    MemberUpdated,
)
from guthi.membership.records import decode_record, encode_record
from guthi.requests import Requests
from guthi.security.identity import Identity
from guthi.spin import Spin
from guthi.syncing import Syncing
from guthi.tasks import TaskSet
from guthi.transport.endpoint import (
    Endpoint,
    EndpointEvent,
    GossipArrived,
    LinkState,
    MessageArrived,
    PeerConnected,
    PeerDisconnected,
    Posted,
    PostRefused,
    Route,
    StraySession,
)
from guthi.transport.session import SessionSettings
from guthi.transport.wire import CloseCode
from guthi.values.codec import Codec

__all__ = ["Network"]

CLOSE_TIMEOUT_S = 2.0

HOOKS: dict[type[MemberEvent], str] = {
    MemberJoined: "member_joined",
    MemberUpdated: "member_updated",
    MemberSuspected: "member_suspected",
    MemberFailed: "member_failed",
    MemberRecovered: "member_recovered",
    MemberLeft: "member_left",
}

log = logging.getLogger("guthi.network")


class Network:
    """Everything between a node and its sockets. Made by `open`, ended by `close`."""

    def __init__(
        self, me: Member, identity: Identity, config: Config, host: Host, codec: Codec, hooks: HookBus, tasks: TaskSet
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._config, self._host, self._hooks, self._tasks = config, host, hooks, tasks
        self.membership: Membership  # made by `open`: a record says where its node can be reached
        self._syncing: Syncing  # likewise
        self.gossip_at: float | None = None  # when the membership machine wants to be called; it changes in `perform`
        self._me = me
        self.requests = Requests(self._loop, codec, self)
        self.endpoint = Endpoint(
            identity,
            config.keyring(),
            entropy=host.entropy,
            route=self._route,
            datagram_bytes=self._datagram_bytes,
            settings=_session_settings(config),
            handshake_timeout_s=config.transport.handshake_timeout,
        )
        self._driver = Driver(
            self._loop,
            self.endpoint,
            [_GossipTimer(self), self.requests],
            self._on_event,
            spin=Spin(config.transport.busy_poll_us / 1e6),
            awaits_answers=lambda: self.requests.awaits_answers,
        )
        self._backpressure = Backpressure(self.endpoint.buffered_bytes)
        self._driver.on_progress(self._backpressure.wake)
        self._datagram_limit: Callable[[Address], int] = lambda _: config.transport.max_datagram
        self._member_at: dict[Address, NodeId] = {}

    # ---- life

    async def open(self, listen: Address, advertise: Sequence[Address]) -> Address:
        """Bind the port and become reachable; returns the bound address.

        Raises AddressUnavailable, and ConfigError for an address to advertise that is none.
        """
        advertised = await self._resolved(advertise)
        port = await self._host.open_datagrams(listen, self._driver)
        self._datagram_limit = port.max_datagram_bytes
        addresses = advertised or self._host.interface_addresses(port.local_address)
        me = replace(self._me, addresses=tuple(addresses))
        self.membership = Membership(me, Random(self._host.entropy(16)), _gossip_settings(self._config))
        self._syncing = Syncing(self.requests, self.membership.comparing, self._merge)
        self.gossip_at = self.membership.deadline
        self._introduce()
        self._driver.attach(port)
        return port.local_address

    async def _resolved(self, advertise: Sequence[Address]) -> list[Address]:
        """Literal addresses, because others look up no names for us."""
        resolved: list[Address] = []
        for address in advertise:
            literal = await self._host.resolve(address)
            if not literal:
                raise ConfigError(f"advertise = {address}: no such host; write a name or address that others can reach")
            resolved += literal
        return list(dict.fromkeys(resolved))

    async def join(self, addresses: Iterable[Address], timeout_s: float) -> None:
        """Join through whichever of the addresses answers first.

        Raises JoinFailed when none answers in time, unless one of them is this node's own: it is the one that the
        others join.
        """
        wanted = list(addresses)
        resolved: list[Address] = []
        for address in wanted:
            resolved += await self._host.resolve(address)
        others = [address for address in resolved if address not in self.membership.me.addresses]
        is_first = len(others) < len(resolved)
        self.perform(self.membership.join(others, self._loop.time()))
        if not wanted or is_first:
            self._syncing.joined.set()
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._syncing.joined.wait()
        except TimeoutError:
            listed = ", ".join(map(str, wanted))
            raise JoinFailed(
                f"no answer from {listed} within {timeout_s:g} s; check that a node runs there, that UDP is let "
                "through, and that it has the same cluster key"
            ) from None

    async def close(self) -> None:
        """Leave: say goodbye, let what was sent arrive, close the sessions and the port."""
        self.perform(self.membership.leave(self._loop.time()))
        await self._settle()
        self.requests.close()
        for peer in self.endpoint.peers:
            self.endpoint.disconnect(peer, "the node left")
        self._driver.touch()
        await self._settle()
        self._driver.detach()
        self._backpressure.close()

    async def _settle(self) -> None:
        """Wait until everything sent has been acknowledged, but not for peers that do not answer."""
        done = asyncio.Event()

        def check() -> None:
            if self.endpoint.settled:
                done.set()

        self._driver.on_progress(check)
        self._driver.touch()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await done.wait()
        except TimeoutError:
            log.debug("closing although a peer has not acknowledged everything")
        finally:
            self._driver.no_progress(check)

    # ---- what the node asks for

    def member(self, name_or_id: str | NodeId) -> Member:
        """The member of that name or id; raises UnknownMember with the names there are."""
        if isinstance(name_or_id, NodeId):
            found = self.membership.get(name_or_id)
        else:
            found = self.membership.by_name(name_or_id) or next(
                (each for each in self.membership.snapshot() if str(each.id) == name_or_id), None
            )
        if found is None:
            known = ", ".join(sorted(each.name for each in self.membership.alive())) or "nobody else"
            raise UnknownMember(f"no member is called {name_or_id}; known are: {known}")
        return found

    def writable(self, peer: NodeId) -> Coroutine[Any, Any, None]:
        """Wait until not too much waits for this peer; returns at once in the ordinary case."""
        return self._backpressure.writable(peer)

    def accuse(self, peer: NodeId, state: MemberState) -> None:
        """Spread a verdict on a member: SUSPECT or FAILED."""
        self.perform(self.membership.accuse(peer, state, self._loop.time()))

    # ---- the Wire that requests leave by

    def post(self, peer: NodeId, parts: list[Buffer]) -> Posted | None:
        """Send a message; to this node itself it is delivered at the end of the turn."""
        if peer == self.membership.me.id:
            self._loop.call_soon(self.requests.received, peer, b"".join(parts))
            return None
        member = self.membership.get(peer)
        if member is None or member.state in (MemberState.FAILED, MemberState.LEFT):
            raise PeerLost(self.name_of(peer), "it has left" if member is not None else "it is no member")
        posted = self.endpoint.send(peer, parts, self._loop.time())
        self._driver.touch()
        return posted

    def abandon(self, posted: Posted) -> None:
        """Do not send what has not been sent."""
        self.endpoint.abandon(posted)
        self._driver.touch()

    def watch(self, peer: NodeId, watched: bool) -> None:
        """Say whether somebody waits for an answer of the peer."""
        self.endpoint.watch(peer, watched)
        if watched:  # to stop watching can wait: the session's timer finds out
            self._driver.touch()

    def name_of(self, peer: NodeId) -> str:
        """The name of a member; of a stranger the id."""
        member = self.membership.get(peer)
        return member.name if member is not None else str(peer)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run as a task that does not outlive the node."""
        return self._tasks.start(work)

    # ---- events of the endpoint

    def _on_event(self, event: EndpointEvent) -> None:
        try:
            match event:
                case MessageArrived():
                    self.requests.received(event.peer, event.body)
                case GossipArrived():
                    message = decode_message(event.body)
                    self.perform(self.membership.receive(message, event.source, self._loop.time()))
                case PeerConnected():
                    self._connected(event)
                case PeerDisconnected():
                    self._disconnected(event)
                case PostRefused():
                    self.requests.refused(event.posted, event.reason)
                case StraySession():
                    self._renew(event.source)
        except MalformedMessage as breach:
            self._breach(event, breach)

    def _breach(self, event: EndpointEvent, breach: MalformedMessage) -> None:
        if isinstance(event, MessageArrived | PeerConnected):
            log.warning("closing the session with %s: %s", self.name_of(event.peer), breach)
            self.endpoint.disconnect(event.peer, str(breach), CloseCode.BREACH)
        else:
            self.endpoint.dropped["malformed gossip"] += 1

    def _connected(self, event: PeerConnected) -> None:
        record = decode_record(event.hello)
        if record.id != event.peer:
            raise MalformedMessage("it introduced itself as somebody else")
        self.perform(self.membership.met(record, self._loop.time()))
        if self.membership.get(event.peer) is None:
            reason = f"it speaks protocol {record.protocol}, and we {self.membership.me.protocol}"
            self.endpoint.disconnect(event.peer, reason, CloseCode.REFUSED)

    def _disconnected(self, event: PeerDisconnected) -> None:
        self.requests.peer_lost(event.peer, event.reason)
        member = self.membership.get(event.peer)
        if event.silent and member is not None and member.state is MemberState.ALIVE:
            log.info("%s is suspected: %s", member.name, event.reason)
            self.accuse(event.peer, MemberState.SUSPECT)

    def _renew(self, source: Address) -> None:
        """A member uses a session that this node does not have, because it restarted: a new one tells it so.

        Whoever forges such a datagram gets nothing; the member that is dialed is dialed once in a handshake's time.
        """
        peer = self._member_at.get(source)
        if peer is not None and self.endpoint.state(peer) is LinkState.IDLE:
            self.endpoint.connect(peer, self._loop.time())

    # ---- effects of the membership

    def perform(self, effects: Iterable[Effect]) -> None:
        """Do what the membership machine asks for."""
        for effect in effects:
            match effect:
                case SendGossip():
                    self.endpoint.gossip(effect.payload, effect.address)
                case RequestSync():
                    self._tasks.start(self._syncing.sync(effect.member))
                case JoinAnswered():
                    log.debug("%s answered at %s", effect.member.name, effect.address)
                case NameConflict(first, second):
                    log.warning("two members are called %r: %s and %s; rename one", first.name, first.id, second.id)
                case IncompatibleMember(member, reason):
                    log.warning("%s at %s is kept out: %s", member.name, member.addresses[0], reason)
                case MemberEvent():
                    self._member_changed(effect)
        self.gossip_at = self.membership.deadline
        self._introduce()
        self._driver.touch()

    def _member_changed(self, event: MemberEvent) -> None:
        for address in event.member.addresses:
            if event.member.is_present:
                self._member_at[address] = event.member.id
            elif self._member_at.get(address) == event.member.id:
                del self._member_at[address]
        if isinstance(event, MemberFailed | MemberLeft):
            verb = "has left" if isinstance(event, MemberLeft) else "failed"
            self.endpoint.disconnect(event.member.id, f"it {verb}")
            self.requests.peer_lost(event.member.id, f"it {verb}")
        self._hooks.notify(HOOKS[type(event)], member=event.member)

    def _introduce(self) -> None:
        """What the handshake says of this node follows its record."""
        self.endpoint.hello = encode_record(self.membership.me)

    def _merge(self, records: Sequence[Member]) -> None:
        self.perform(self.membership.merge(records, self._loop.time()))

    # ---- ports of the endpoint

    def _route(self, peer: NodeId) -> Route | None:
        member = self.membership.get(peer)
        return Route(self.membership.address_of(member), member.public_key) if member is not None else None

    def _datagram_bytes(self, address: Address) -> int:
        return self._datagram_limit(address)


class _GossipTimer:
    """Gives the membership machine its deadlines."""

    def __init__(self, network: Network) -> None:
        self._network = network

    @property
    def deadline(self) -> float | None:
        return self._network.gossip_at

    def on_deadline(self, now: float) -> None:
        self._network.perform(self._network.membership.on_deadline(now))


def _session_settings(config: Config) -> SessionSettings:
    transport = config.transport
    return SessionSettings(transport.keepalive, transport.timeout, transport.max_message, transport.idle)


def _gossip_settings(config: Config) -> GossipSettings:
    gossip = config.gossip
    return GossipSettings(
        interval_s=gossip.interval,
        fanout=gossip.fanout,
        sync_interval_s=gossip.sync_interval,
        discovery=Discovery(config.node.discovery),
    )
