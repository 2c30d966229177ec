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
from guthi.broadcast.plumtree import Plumtree
from guthi.configuration.config import Config
from guthi.errors import JoinFailed, PeerLost, UnknownMember
from guthi.hooks import HookBus
from guthi.host.spin import Spin
from guthi.membership.machine import Effect, Membership
from guthi.membership.members import Member, MemberState
from guthi.membership.records import encode_record
from guthi.messages.datagrams import Datagrams
from guthi.messages.requests import Requests
from guthi.messages.streams import Streams
from guthi.network.acquaintances import Acquaintances
from guthi.network.addressing import follow_addresses, resolved
from guthi.network.backpressure import Backpressure
from guthi.network.broadcasting import Broadcasting
from guthi.network.consequences import Consequences, telling
from guthi.network.discovery import LanDiscovery, announcement_of
from guthi.network.driver import Driver
from guthi.network.entry import Entry
from guthi.network.parting import Parting
from guthi.network.receiving import Receiving
from guthi.network.rotating import Rotating
from guthi.network.syncing import Syncing
from guthi.network.tuning import broadcast_settings, gossip_settings, session_settings
from guthi.network.whereabouts import Whereabouts
from guthi.security.identity import Identity
from guthi.security.keyring import Keyring
from guthi.security.rotation import KeyFile, Rotation
from guthi.tasks import TaskSet
from guthi.transport.endpoint import Endpoint, Posted, Route
from guthi.transport.outbox import UNORDERED
from guthi.values.codec import Codec

__all__ = ["Network"]

CLOSE_TIMEOUT_S = 2.0
_GONE = (MemberState.FAILED, MemberState.LEFT)

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
        self._entry: Entry  # likewise
        self._acquaintances: Acquaintances  # likewise
        self._consequences: Consequences  # likewise
        self.keys: Rotating  # likewise
        self.gossip_at: float | None = None  # when the membership machine wants to be called; it changes in `perform`
        self._me, self._own_id = me, identity.node_id
        self._looks_for_others = False
        self.requests = Requests(self._loop, codec, self)
        self.streams = Streams(self.requests, codec, self, config.transport.stream_window)
        self.endpoint = Endpoint(
            identity,
            config.keyring(),
            entropy=host.entropy,
            route=self._route,
            datagram_bytes=self._datagram_bytes,
            settings=session_settings(config),
            handshake_timeout_s=config.transport.handshake_timeout,
        )
        self.datagrams = Datagrams(
            codec, lambda peer: peer in self.membership.members, self.endpoint.dropped, self._loop.time
        )
        self.broadcasting = self._broadcasting(codec)
        self._receiving = Receiving(self, self._loop)
        self._driver = Driver(
            self._loop,
            self.endpoint,
            [_GossipTimer(self), self.requests, self.broadcasting],
            self._receiving.on_event,
            spin=Spin(config.transport.busy_poll_us / 1e6),
            expects=self.requests.expects_more,
            gather=self.requests.flush,
        )
        self._backpressure = Backpressure(self.endpoint.buffered_bytes)
        self._driver.on_progress(self._backpressure.wake)
        self._port_dropped: Mapping[str, int] = {}
        self._datagram_limit: Callable[[Address], int] = lambda _: config.transport.max_datagram
        self.whereabouts = Whereabouts()
        self._parting = Parting(self.endpoint, self.requests, self.name_of)
        self._lan = LanDiscovery(
            host,
            lambda found: self.perform(self.membership.join(found, self._loop.time())),
            lambda gone: self.membership.join_no_more(gone),
            self._loop.time,
        )

    def _broadcasting(self, codec: Codec) -> Broadcasting:
        tree = Plumtree(
            self._me.id,
            int.from_bytes(self._host.entropy(8), "big"),
            lambda: self.membership.alive(),
            broadcast_settings(self._config),
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
        advertised = await resolved(advertise, self._host)
        port = await self._host.open_datagrams(listen, self._driver)
        self._datagram_limit = port.max_datagram_bytes
        self._port_dropped = port.dropped
        addresses = advertised or self._host.interface_addresses(port.local_address)
        me = replace(self._me, addresses=tuple(addresses))
        self.membership = Membership(me, Random(self._host.entropy(16)), gossip_settings(self._config))
        self.keys = Rotating(self.requests, self._rotation(me.id), me.id, self.membership.everybody)
        self._syncing = Syncing(self.requests, self.membership.comparing, self._merge)
        self._entry = Entry(self._syncing.joined)
        self._acquaintances = self._made_acquaintances()
        self._consequences = self._made_consequences()
        self.gossip_at = self.membership.deadline
        self._introduce()
        self._driver.attach(port)
        if listen.is_wildcard and not advertised:
            tell, host = self._now_at, self._host
            self._tasks.start(follow_addresses(host, port.local_address, lambda: self.membership.me.addresses, tell))
        return port.local_address

    def _made_acquaintances(self) -> Acquaintances:
        node = self._config.node
        folder = node.data_dir if node.discovery != "static" else None  # there, whom to know is what `join` says
        return Acquaintances(folder, self._own_id, self.membership.alive, self.membership.address_of)

    def _made_consequences(self) -> Consequences:
        return Consequences(
            self.endpoint.gossip,
            lambda member: self._tasks.start(self._syncing.sync(member)),
            self._entry.refused,
            (
                self.whereabouts.member_changed,
                self._acquaintances.member_changed,
                self._parting.member_changed,
                self.broadcasting.member_changed,
                telling(self._hooks),
            ),
            self._loop.time,
        )

    def _now_at(self, addresses: tuple[Address, ...]) -> None:
        self.membership.update_me(addresses=addresses)
        self.perform(())

    def begin(self) -> None:
        """The plugins run: answer what peers have asked of them, those that knew this node before."""
        self._receiving.begin()

    async def join(self, addresses: Iterable[Address], timeout_s: float) -> None:
        """Join through whichever of the addresses answers first; with none, those kept from before a restart are tried.

        Raises JoinFailed when none answers in time, or all refuse, unless one of them is this node's own: then it is
        the first of its network, and the others will join it. That it has to wait for until then: a node that comes
        back would else be a network of one for a moment, beside the one that there is.
        """
        wanted = list(addresses)
        found: list[Address] = []
        for address in wanted:
            found += await self._host.resolve(address)
        if self._config.node.discovery == "lan":
            await self._lan.start(announcement_of(self.membership.me, self.endpoint.keyring), found)
        others = [address for address in found if address not in self.membership.me.addresses]
        is_first, is_only = len(others) < len(found), bool(found) and not others
        others = others or list(self._acquaintances.former)
        self._looks_for_others = bool(others)
        self.perform(self.membership.join(others, self._loop.time()))
        if not wanted or is_only:
            self._syncing.joined.set()
            return
        try:
            await self._entry.wait(wanted, others, timeout_s)
        except JoinFailed as error:
            if not is_first or self._entry.is_refused:
                raise
            log.info("this node is the first of its network: %s", error)
            self._syncing.joined.set()

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
        if not await self._driver.until(lambda: self.endpoint.settled, CLOSE_TIMEOUT_S):
            log.debug("closing although a peer has not acknowledged everything")

    # ---- what the node asks for

    @property
    def dropped(self) -> dict[str, int]:
        """How many datagrams were not let in, or could not be sent, since the node started, by reason."""
        unsent = {f"not sent: {reason}": count for reason, count in self._port_dropped.items()}
        return dict(self.endpoint.drops) | unsent

    @property
    def has_met_nobody(self) -> bool:
        """Whether it looks for others and has met none since it started: there may be a network all the same."""
        return self._looks_for_others and len(self.membership.members) == 1

    def member(self, name_or_id: str | NodeId) -> Member:
        """The member of that name or id; raises UnknownMember with the names there are."""
        if isinstance(name_or_id, NodeId):
            found = self.membership.get(name_or_id)
        else:
            found = self.membership.by_name(name_or_id) or next(
                (each for each in self.membership.everybody() if str(each.id) == name_or_id), None
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
        self.check(peer)
        posted = self.endpoint.send(peer, parts, self._loop.time(), channel)
        self._driver.touch()
        return posted

    def check(self, peer: NodeId) -> None:
        """Raises PeerLost when nothing is sent to the peer, because it failed, left or is no member."""
        member = self.membership.get(peer)
        if peer != self._own_id and (member is None or member.state in _GONE):
            raise PeerLost(
                self.name_of(peer), self._parting.end_of(member) if member is not None else "it is no member"
            )

    def collect(self) -> None:
        """Messages are being collected, which the driver calls for at the end of the turn."""
        self._driver.touch()

    def room_bytes(self, peer: NodeId) -> int:
        """How long a message may be to share the next datagram to the peer; 0 where there is no session yet."""
        return self.endpoint.room_bytes(peer, self._loop.time())

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

    # ---- effects of the membership

    def perform(self, effects: Iterable[Effect]) -> None:
        """Do what the membership machine asks for."""
        self._consequences.carry_out(effects)
        self.gossip_at = self.membership.deadline
        self._introduce()
        self._driver.touch()

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
        return Route(self.membership.routes.dial(member), member.public_key) if member is not None else None

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
