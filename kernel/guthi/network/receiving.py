"""What a node does about the events of its endpoint: who hears a message, what a new or an ended session means."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from guthi.api import Address
from guthi.calmlog import CalmLog
from guthi.errors import MalformedMessage
from guthi.membership.gossip import decode_message
from guthi.membership.members import MemberState
from guthi.membership.records import decode_record
from guthi.network.early import Early
from guthi.transport.endpoint import (
    DatagramArrived,
    EndpointEvent,
    GossipArrived,
    LinkState,
    MessageArrived,
    PeerConnected,
    PeerDisconnected,
    PeerMoved,
    PostRefused,
    StraySession,
)
from guthi.transport.wire import CloseCode

if TYPE_CHECKING:
    from guthi.network.network import Network

__all__ = ["Receiving"]

log = logging.getLogger("guthi.network")


class Receiving:
    """The upward way through one node's network; `on_event` is given each event, in order."""

    def __init__(self, network: Network, loop: asyncio.AbstractEventLoop) -> None:
        self._network, self._loop = network, loop
        self._requests = network.requests
        self._log = CalmLog(log, loop.time)
        self._early: Early | None = Early()  # None as soon as the plugins run

    def begin(self) -> None:
        """The plugins run: what was asked of them before is theirs now."""
        early, self._early = self._early, None
        for message in early or ():
            self.on_event(message)

    def on_event(self, event: EndpointEvent) -> None:
        """Whatever a peer sent, nothing but what the node's own code raises is raised."""
        try:
            match event:
                case MessageArrived():
                    if self._early is None or not self._early.keeps(event):
                        self._requests.received(event.peer, event.body)
                case GossipArrived():
                    self._gossip_arrived(event)
                case DatagramArrived():
                    self._datagram_arrived(event)
                case PeerConnected():
                    self._connected(event)
                case PeerDisconnected():
                    self._disconnected(event)
                case PeerMoved():
                    self._network.membership.moved(event.peer, event.address)
                case PostRefused():
                    self._requests.refused(event.posted, event.reason)
                case StraySession():
                    self._renew(event.source)
        except MalformedMessage as breach:
            self._breach(event, breach)

    def _breach(self, event: EndpointEvent, breach: MalformedMessage) -> None:
        endpoint = self._network.endpoint
        if isinstance(event, MessageArrived | PeerConnected):
            self._log.warning("closing the session with %s: %s", self._network.name_of(event.peer), breach)
            endpoint.disconnect(event.peer, str(breach), CloseCode.BREACH)
        else:
            endpoint.dropped["malformed gossip or datagram"] += 1

    def _gossip_arrived(self, event: GossipArrived) -> None:
        message = decode_message(event.body)
        self._network.perform(self._network.membership.receive(message, event.source, self._loop.time()))

    def _datagram_arrived(self, event: DatagramArrived) -> None:
        network = self._network
        sender = network.datagrams.received(event.body)
        if sender is not None and network.membership.members[sender].state is not MemberState.ALIVE:
            network.perform(network.membership.vouch(sender, self._loop.time()))

    def _connected(self, event: PeerConnected) -> None:
        record = decode_record(event.hello)
        if record.id != event.peer:
            raise MalformedMessage("it introduced itself as somebody else")
        network = self._network
        network.membership.routes.answered(event.peer)
        network.perform(network.membership.met(record, self._loop.time()))
        network.membership.moved(event.peer, event.address)
        if network.membership.get(event.peer) is None:
            reason = network.membership.objection_to(record) or "the table of members is full"
            network.endpoint.disconnect(event.peer, reason, CloseCode.REFUSED)
        network.broadcasting.connected(event.peer)

    def _disconnected(self, event: PeerDisconnected) -> None:
        self._requests.peer_lost(event.peer, event.reason)
        if self._early is not None:
            self._early.forget(event.peer)
        member = self._network.membership.get(event.peer)
        self._network.membership.routes.ended(event.peer, member, silent=event.silent)
        if event.silent and member is not None and member.state is MemberState.ALIVE:
            log.info("%s is suspected: %s", member.name, event.reason)
            self._network.accuse(event.peer, MemberState.SUSPECT, path="direct", evidence=event.reason)

    def _renew(self, source: Address) -> None:
        """A member uses a session that this node does not have, because it restarted: a new one tells it so.

        Whoever forges such a datagram gets nothing; the member that is dialed is dialed once in a handshake's time.
        """
        endpoint = self._network.endpoint
        peer = self._network.whereabouts.member_at(source)
        if peer is not None and endpoint.state(peer) is LinkState.IDLE:
            endpoint.connect(peer, self._loop.time())
