"""A small network of endpoint machines: virtual time, and from one seed losses, copies, delays and all keys."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from random import Random

from guthi.api import Address, NodeId
from guthi.security.identity import Identity
from guthi.security.keyring import ClusterKey, Keyring
from guthi.transport.endpoint import Endpoint, EndpointEvent, MessageArrived, PeerConnected, PeerDisconnected, Route
from guthi.transport.session import SessionSettings

__all__ = ["KEY", "Station", "World"]

KEY = ClusterKey(bytes([7]) * 32)


@dataclass(slots=True)
class Station:
    """One endpoint at its address, and all it said."""

    endpoint: Endpoint
    identity: Identity
    address: Address
    events: list[EndpointEvent] = field(default_factory=list)
    sent: int = 0

    @property
    def id(self) -> NodeId:
        return self.identity.node_id

    @property
    def bodies(self) -> list[bytes]:
        return [bytes(event.body) for event in self.events if isinstance(event, MessageArrived)]

    def of(self, *kinds: type[EndpointEvent]) -> list[EndpointEvent]:
        return [event for event in self.events if isinstance(event, kinds)]

    @property
    def course(self) -> list[str]:
        """Connections and their ends, in order."""
        return [type(event).__name__ for event in self.of(PeerConnected, PeerDisconnected)]


class World:
    """A network in virtual time; one seed decides losses, copies, delays and all keys."""

    def __init__(self, seed: int = 0, *, loss: float = 0.0, duplication: float = 0.0, jitter_s: float = 0.0) -> None:
        self.now = 1000.0
        self.loss, self.duplication, self.jitter_s = loss, duplication, jitter_s
        self.handshake_timeout_s, self.timeout_s = 5.0, 10.0
        self.stations: dict[Address, Station] = {}
        self.routes: dict[NodeId, Route] = {}
        self.record: list[tuple[bytes, Address, Address]] = []  # datagram, from, to
        self.unreachable: set[Address] = set()
        self._random = Random(seed)
        self._order = count()
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []

    def add(
        self,
        *,
        keys: tuple[ClusterKey, ...] = (KEY,),
        identity: Identity | None = None,
        address: Address | None = None,
        max_message_bytes: int = 1 << 20,
        known: bool = True,
    ) -> Station:
        """A node that starts now; with the identity of an older one, that one restarted."""
        entropy = Random(self._random.getrandbits(64)).randbytes
        identity = identity or Identity.generate(entropy)
        address = address or Address("10.0.0.1", 1 + len(self.stations))
        endpoint = Endpoint(
            identity,
            Keyring(keys),
            entropy=entropy,
            route=self.routes.get,
            datagram_bytes=lambda _: 1200,
            settings=SessionSettings(5.0, self.timeout_s, max_message_bytes),
            handshake_timeout_s=self.handshake_timeout_s,
            hello=b"I am " + str(address).encode(),
        )
        station = self.stations[address] = Station(endpoint, identity, address)
        if known:
            self.routes[station.id] = Route(address, identity.public_key)
        return station

    def pair(self) -> tuple[Station, Station]:
        """Two nodes, the one with the smaller id first."""
        one, other = sorted((self.add(), self.add()), key=lambda station: station.id)
        return one, other

    def at(self, moment: float, action: Callable[[], object]) -> None:
        heapq.heappush(self._agenda, (moment, next(self._order), action))

    def flush(self) -> None:
        """The end of a turn, everywhere."""
        for station in self.stations.values():
            station.events += station.endpoint.take_events()
            for datagram, to, _ in station.endpoint.take_datagrams(self.now):
                station.sent += 1
                self.record.append((datagram, station.address, to))
                self._carry(datagram, station.address, to)

    def _carry(self, datagram: bytes, source: Address, to: Address) -> None:
        if self._random.random() < self.loss or {source, to} & self.unreachable:
            return
        for _ in range(2 if self._random.random() < self.duplication else 1):
            delay_s = 0.01 + self._random.random() * self.jitter_s
            self.at(self.now + delay_s, partial(self.hand_over, datagram, source, to))

    def hand_over(self, datagram: bytes, source: Address, to: Address) -> None:
        """A datagram reaches its address, if somebody is there."""
        station = self.stations.get(to)
        if station is not None:
            station.endpoint.receive(datagram, source, self.now)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.flush()
        end_at, turns = self.now + seconds, 0
        while (upcoming := self._upcoming()) <= end_at:
            turns = turns + 1 if upcoming <= self.now else 0
            assert turns < 10_000, f"stuck at {self.now}"
            self.now = max(self.now, upcoming)
            while self._agenda and self._agenda[0][0] <= self.now:
                heapq.heappop(self._agenda)[2]()
            for station in self.stations.values():
                deadline = station.endpoint.deadline
                if deadline is not None and deadline <= self.now:
                    station.endpoint.on_deadline(self.now)
            self.flush()
        self.now = end_at

    def _upcoming(self) -> float:
        deadlines = [station.endpoint.deadline for station in self.stations.values()]
        moments = [deadline for deadline in deadlines if deadline is not None]
        return min(moments + [moment for moment, _, _ in self._agenda[:1]], default=float("inf"))
