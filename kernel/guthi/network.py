"""A node's view of its network: the endpoint, the membership and the requests, joined to one another and to the loop.

This is the edge where the machines' effects become deeds: datagrams, syncs, hooks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from guthi.api import Address, Buffer, Host, NodeId
from guthi.backpressure import Backpressure
from guthi.broadcast.plumtree import Plumtree
from guthi.broadcast.settings import BroadcastSettings
from guthi.broadcasting import Broadcasting
from guthi.calmlog import CalmLog
from guthi.configuration.config import Config
from guthi.discovery import LanDiscovery, announcement_of
from guthi.driver import Driver
from guthi.entry import Entry
from guthi.errors import ConfigError, MalformedMessage, PeerLost, UnknownMember
from guthi.hooks import HookBus
from guthi.host.spin import Spin
from guthi.membership.gossip import decode_message
from guthi.membership.machine import (
    Effect,
    IdentityInUse,
    IncompatibleMember,
    JoinAnswered,
    JoinRefused,
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
from guthi.membership.settings import Discovery, GossipSettings
from guthi.messages.datagrams import Datagrams
from guthi.messages.requests import Requests
from guthi.messages.streams import Streams
from guthi.rotating import Rotating
from guthi.security.identity import Identity
from guthi.security.keyring import Keyring
from guthi.security.rotation import KeyFile, Rotation
from guthi.syncing import Syncing
from guthi.tasks import TaskSet
from guthi.transport.endpoint import (
    DatagramArrived,
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
from guthi.transport.outbox import UNORDERED
from guthi.transport.session import SessionSettings
from guthi.transport.wire import CloseCode
from guthi.values.codec import Codec

__all__ = ["Network"]

CLOSE_TIMEOUT_S = 2.0
ADDRESS_CHECK_S = 10.0

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
        self._log = CalmLog(log, self._loop.time)
        self._config, self._host, self._hooks, self._tasks = config, host, hooks, tasks
        self.membership: Membership  # made by `open`: a record says where its node can be reached
        self._syncing: Syncing  # likewise
        self._entry: Entry  # likewise
        self.keys: Rotating  # likewise
        self.gossip_at: float | None = None  # when the membership machine wants to be called; it changes in `perform`
        self._me, self._own_id = me, identity.node_id
        self.requests = Requests(self._loop, codec, self)
        self.streams = Streams(self.requests, codec, self, config.transport.stream_window)
        self.endpoint = Endpoint(
            identity,
            config.keyring(),
            entropy=host.entropy,
            route=self._route,
            datagram_bytes=self._datagram_bytes,
            settings=_session_settings(config),
            handshake_timeout_s=config.transport.handshake_timeout,
        )
        self.datagrams = Datagrams(
            codec, lambda peer: peer in self.membership.members, self.endpoint.dropped, self._loop.time
        )
        self.broadcasting = self._broadcasting(codec)
        self._driver = Driver(
            self._loop,
            self.endpoint,
            [_GossipTimer(self), self.requests, self.broadcasting],
            self._on_event,
            spin=Spin(config.transport.busy_poll_us / 1e6),
            awaits_answers=lambda: self.requests.awaits_answers,
        )
        self._backpressure = Backpressure(self.endpoint.buffered_bytes)
        self._driver.on_progress(self._backpressure.wake)
        self._port_dropped: Mapping[str, int] = {}
        self._datagram_limit: Callable[[Address], int] = lambda _: config.transport.max_datagram
        self._member_at: dict[Address, NodeId] = {}
        self._known_at: dict[NodeId, tuple[Address, ...]] = {}  # where `_member_at` has whom
        self._lan = LanDiscovery(host, lambda found: self.perform(self.membership.join(found, self._loop.time())))

    def _broadcasting(self, codec: Codec) -> Broadcasting:
        tree = Plumtree(
            self._me.id,
            int.from_bytes(self._host.entropy(8), "big"),
            lambda: self.membership.alive(),
            _broadcast_settings(self._config),
            Random(self._host.entropy(16)),
            backlog=self.endpoint.buffered_bytes,
            always_direct=self._config.node.discovery == "static",
        )
        return Broadcasting(self._loop, codec, self.requests, tree, self.start, self._config.transport.max_message)

    # ---- life

    async def open(self, listen: Address, advertise: Sequence[Address]) -> Address:
        """Bind the port and become reachable; returns the bound address.

        Raises AddressUnavailable, and ConfigError for an address to advertise that is none.
        """
        advertised = await self._resolved(advertise)
        port = await self._host.open_datagrams(listen, self._driver)
        self._datagram_limit = port.max_datagram_bytes
        self._port_dropped = port.dropped
        addresses = advertised or self._host.interface_addresses(port.local_address)
        me = replace(self._me, addresses=tuple(addresses))
        self.membership = Membership(me, Random(self._host.entropy(16)), _gossip_settings(self._config))
        self.keys = Rotating(self.requests, self._rotation(me.id), me.id)
        self._syncing = Syncing(self.requests, self.membership.comparing, self._merge)
        self._entry = Entry(self._syncing.joined)
        self.gossip_at = self.membership.deadline
        self._introduce()
        self._driver.attach(port)
        if port.local_address.is_wildcard and not advertised:
            self._tasks.start(self._follow_addresses(port.local_address))
        return port.local_address

    async def _follow_addresses(self, bound: Address) -> None:
        """A node that listens on every interface tells the others when the machine gets another address."""
        while True:
            await asyncio.sleep(ADDRESS_CHECK_S)
            addresses = tuple(self._host.interface_addresses(bound))
            if addresses and addresses != self.membership.me.addresses:
                log.info("this node is now at %s", ", ".join(map(str, addresses)))
                self.membership.update_me(addresses=addresses)
                self.perform(())

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

        Raises JoinFailed when none answers in time, or all refuse, unless one of them is this node's own: it is the
        one that the others join.
        """
        wanted = list(addresses)
        resolved: list[Address] = []
        for address in wanted:
            resolved += await self._host.resolve(address)
        if self._config.node.discovery == "lan":
            await self._lan.start(announcement_of(self.membership.me, self.endpoint.keyring))
        others = [address for address in resolved if address not in self.membership.me.addresses]
        is_first = len(others) < len(resolved)
        self.perform(self.membership.join(others, self._loop.time()))
        if not wanted or is_first:
            self._syncing.joined.set()
            return
        await self._entry.wait(wanted, resolved, timeout_s)

    async def close(self) -> None:
        """Leave: say goodbye, let what was sent arrive, close the sessions and the port."""
        await self._lan.close()
        self.streams.close()  # they would go on sending
        self.perform(self.membership.leave(self._loop.time()))
        await self._settle()
        self.broadcasting.close()
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

    @property
    def dropped(self) -> dict[str, int]:
        """How many datagrams were not let in, or could not be sent, since the node started, by reason."""
        unsent = {f"not sent: {reason}": count for reason, count in self._port_dropped.items()}
        return dict(self.endpoint.drops) | unsent

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

    def is_writable(self, peer: NodeId) -> bool:
        """Whether not too much waits for this peer, which is the ordinary case."""
        return not self._backpressure.is_full(peer)

    def writable(self, peer: NodeId) -> Coroutine[Any, Any, None]:
        """Wait until not too much waits for this peer."""
        return self._backpressure.writable(peer)

    def accuse(self, peer: NodeId, state: MemberState, *, path: str, evidence: str, health: int = 0) -> None:
        """Spread a verdict on a member: SUSPECT or FAILED."""
        now = self._loop.time()
        self.perform(self.membership.accuse(peer, state, now, path=path, evidence=evidence, health=health))

    def send_datagram(self, peer: NodeId, topic: str, value: Any) -> None:
        """Send what may be lost; see `Node.send_datagram`."""
        member = self.member(peer)
        me = self.membership.me.id
        packed = self.datagrams.pack(me, topic, value)
        if peer == me:
            self._loop.call_soon(self.datagrams.received, packed)
        elif member.state is not MemberState.LEFT:
            self.endpoint.datagram(packed, self.membership.address_of(member))
            self._driver.touch()

    # ---- the Wire that requests leave by

    def post(self, peer: NodeId, parts: list[Buffer], channel: int = UNORDERED) -> Posted | None:
        """Send a message; to this node itself it is delivered at the end of the turn."""
        if peer == self._own_id:
            self._loop.call_soon(self.requests.received, peer, b"".join(parts))
            return None
        member = self.membership.get(peer)
        if member is None or member.state in (MemberState.FAILED, MemberState.LEFT):
            raise PeerLost(self.name_of(peer), self._end_of(member) if member is not None else "it is no member")
        posted = self.endpoint.send(peer, parts, self._loop.time(), channel)
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
                case DatagramArrived():
                    self._datagram_arrived(event)
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
            self._log.warning("closing the session with %s: %s", self.name_of(event.peer), breach)
            self.endpoint.disconnect(event.peer, str(breach), CloseCode.BREACH)
        else:
            self.endpoint.dropped["malformed gossip or datagram"] += 1

    def _datagram_arrived(self, event: DatagramArrived) -> None:
        sender = self.datagrams.received(event.body)
        if sender is not None and self.membership.members[sender].state is not MemberState.ALIVE:
            self.perform(self.membership.vouch(sender, self._loop.time()))

    def _connected(self, event: PeerConnected) -> None:
        record = decode_record(event.hello)
        if record.id != event.peer:
            raise MalformedMessage("it introduced itself as somebody else")
        self.perform(self.membership.met(record, self._loop.time()))
        if self.membership.get(event.peer) is None:
            reason = self.membership.objection_to(record) or "the table of members is full"
            self.endpoint.disconnect(event.peer, reason, CloseCode.REFUSED)
        self.broadcasting.connected(event.peer)

    def _disconnected(self, event: PeerDisconnected) -> None:
        self.requests.peer_lost(event.peer, event.reason)
        member = self.membership.get(event.peer)
        if event.silent and member is not None and member.state is MemberState.ALIVE:
            log.info("%s is suspected: %s", member.name, event.reason)
            self.accuse(event.peer, MemberState.SUSPECT, path="direct", evidence=event.reason)

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
                case JoinRefused():
                    self._entry.refused(effect)
                case IdentityInUse(record):
                    log.error(
                        "the identity of this node (%s) is in use at %s too: a data_dir was copied; stop one of "
                        "the two and delete its data_dir, so that it gets its own",
                        record.id,
                        record.addresses[0],
                    )
                case NameConflict(first, second):
                    self._log.warning(
                        "two members are called %r: %s and %s; rename one", first.name, first.id, second.id
                    )
                case IncompatibleMember(member, reason):
                    self._log.warning("%s at %s is kept out: %s", member.name, member.addresses[0], reason)
                case MemberEvent():
                    self._member_changed(effect)
        self.gossip_at = self.membership.deadline
        self._introduce()
        self._driver.touch()

    def _member_changed(self, event: MemberEvent) -> None:
        self._locate(event.member)
        if isinstance(event, MemberFailed | MemberLeft):
            self._part_from(event.member)
        self.broadcasting.member_changed(event)
        self._hooks.notify(HOOKS[type(event)], member=event.member)

    def _part_from(self, member: Member) -> None:
        """Expect nothing more of a member, and send it nothing more.

        Who leaves closes the session itself, when all that it sent before has arrived: its goodbye may overtake that.
        """
        self.requests.peer_lost(member.id, self._end_of(member))
        if member.state is MemberState.LEFT and self.endpoint.state(member.id) is LinkState.OPEN:
            return
        verb = "left" if member.state is MemberState.LEFT else "failed"
        self.endpoint.disconnect(member.id, f"it holds that this node {verb}{self._finding(member)}")

    def _locate(self, member: Member) -> None:
        for address in self._known_at.pop(member.id, ()):
            if self._member_at.get(address) == member.id:
                del self._member_at[address]
        if member.is_present:
            self._known_at[member.id] = member.addresses
            self._member_at.update(dict.fromkeys(member.addresses, member.id))

    def _end_of(self, member: Member) -> str:
        """Why nothing is sent any more to a member that left or failed."""
        return "it has left" if member.state is MemberState.LEFT else f"it failed{self._finding(member)}"

    def _finding(self, member: Member) -> str:
        verdict = member.verdict
        if verdict is None:
            return ""
        return f", as {self.name_of(verdict.accuser)} found ({verdict.path}): {verdict.evidence}"

    def _introduce(self) -> None:
        """What the handshake says of this node follows its record."""
        self.endpoint.hello = encode_record(self.membership.me)

    def _merge(self, records: Sequence[Member]) -> None:
        self.perform(self.membership.merge(records, self._loop.time()))

    # ---- cluster keys

    def _rotation(self, me: NodeId) -> Rotation:
        path = self._config.security.cluster_key_file
        file = KeyFile(path, lambda: self._host.entropy(8).hex()) if path is not None else None
        return Rotation(me, self.endpoint.keyring, self._change_keys, file)

    def _change_keys(self, keyring: Keyring) -> None:
        log.info("the cluster keys are now %s", keyring)
        self.endpoint.change_keys(keyring)
        update = self._lan.change(announcement_of(self.membership.me, keyring))
        if update is not None:
            self._tasks.start(update)

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
        reconnect_s=gossip.reconnect,
        forget_s=gossip.forget,
        discovery=Discovery.STATIC if config.node.discovery == "static" else Discovery.GOSSIP,
    )


def _broadcast_settings(config: Config) -> BroadcastSettings:
    broadcast = config.broadcast
    return BroadcastSettings(direct_limit=broadcast.direct_limit, keep_s=broadcast.keep, buffer_bytes=broadcast.buffer)
