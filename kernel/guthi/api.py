"""What all parts of the kernel agree on: node ids, addresses, and the ports through which a node touches the world."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

from guthi.errors import ConfigError

__all__ = [
    "PROTOCOL_VERSION",
    "Address",
    "Announcement",
    "Beacon",
    "Buffer",
    "DatagramReceiver",
    "Datagrams",
    "Departing",
    "Ecn",
    "Host",
    "NodeId",
    "Workers",
]

PROTOCOL_VERSION = 1

Buffer: TypeAlias = bytes | bytearray | memoryview


class NodeId(bytes):
    """The first 16 bytes of BLAKE2b of a node's X25519 public key: it names the node as long as it keeps the key."""

    SIZE = 16
    __slots__ = ()

    def __new__(cls, value: bytes) -> NodeId:
        if len(value) != cls.SIZE:
            raise ValueError(f"a node id has {cls.SIZE} bytes, not {len(value)}")
        return super().__new__(cls, value)

    def __str__(self) -> str:
        return base64.b32encode(self[:8]).decode().rstrip("=").lower()

    def __repr__(self) -> str:
        return f"NodeId({self})"


class Address(NamedTuple):
    """A UDP address: host (a literal IP address once resolved) and port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `host:port` or `[v6]:port`; raises ConfigError with the mend."""
        host, separator, port = text.rpartition(":")
        if not separator or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise ConfigError(f"{text!r} is not an address; write host:port, for example 127.0.0.1:6969")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ConfigError(f"{text!r} is not an address; put an IPv6 host in brackets, for example [::1]:6969")
        if not host:
            raise ConfigError(f"{text!r} names no host; 0.0.0.0:{port} listens on every interface")
        return cls(host, int(port))

    @property
    def is_loopback(self) -> bool:
        """True when datagrams to this address cannot leave the machine."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_wildcard(self) -> bool:
        """True for 0.0.0.0 and ::, which name every interface and so cannot be sent to."""
        try:
            return ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            return False

    @property
    def from_here(self) -> Address:
        """Where this machine itself reaches a port that is bound to this address: for a wildcard, loopback."""
        if not self.is_wildcard:
            return self
        return Address("::1" if ":" in self.host else "127.0.0.1", self.port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Ecn(IntEnum):
    """The mark of a datagram for routers and by routers: the two bits of RFC 3168 in the header of IP."""

    NOT_ECT = 0  # congestion drops it
    ECT1 = 1
    ECT0 = 2  # its sender heeds marks
    CE = 3  # congestion was met on the way


Departing: TypeAlias = tuple[Buffer, Address, Ecn]
"""A datagram, its destination, and its mark."""


class DatagramReceiver(Protocol):
    """What a datagram port calls into; both methods run on the event loop."""

    def datagram_received(self, datagram: Buffer, source: Address, mark: int = Ecn.NOT_ECT) -> None:
        """One datagram arrived. The buffer holds it during this call only; `mark` is an `Ecn`, if it can be read."""

    def turn_ended(self) -> None:
        """All datagrams that were waiting have been handed over: now is the time to answer them together."""


class Datagrams(Protocol):
    """An open, unconnected datagram port."""

    @property
    def local_address(self) -> Address:
        """The bound address, with the port that the system chose."""

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many datagrams the system did not take, by reason."""

    def max_datagram_bytes(self, destination: Address) -> int:
        """The largest datagram that is worth trying on the way to the destination (see `pathmtu`)."""

    def send(self, datagram: Buffer, destination: Address, mark: Ecn = Ecn.NOT_ECT) -> None:
        """Send, or drop when the system has no room: loss is the session's business. A port may be unable to mark."""

    def send_many(self, datagrams: Iterable[Departing]) -> None:
        """The same for several, in order, as they are made; a port may save system calls."""

    def poll(self, limit_s: float, ended: Callable[[bool], None]) -> None:
        """Keep the loop from sleeping until a datagram comes, for so long at most, and tell whether one came.

        Other callbacks of the loop run meanwhile. While it polls, to ask again is to poll for longer. A port may be
        unable to, and say nothing.
        """

    def close(self) -> None:
        """Release the port; nothing is received afterwards."""


class Announcement(NamedTuple):
    """What a node says of itself on the local network (see `guthi.network.discovery`); nothing of it is secret."""

    instance: str
    addresses: tuple[Address, ...]
    tags: tuple[str, ...]


class Beacon(Protocol):
    """An announcement that is made, again and again, until it is closed."""

    async def update(self, announcement: Announcement) -> None:
        """Say something else from now on."""

    async def close(self) -> None:
        """Say goodbye."""


class Workers(Protocol):
    """A number of processes that run functions (see `workers`)."""

    def submit(self, call: Callable[[], Any], on_report: Callable[[Any], None]) -> Future[Any]:
        """Run a call in a process; `on_report` is given what it passes to `workers.report` meanwhile.

        The future can be cancelled at any time; it raises what the call raises, and WorkerLost.
        """

    def shutdown(self) -> None:
        """End the processes, and wait for none."""


class Host(Protocol):
    """The machine that a node lives on: the real one, or one of a simulated network."""

    @property
    def name(self) -> str:
        """What people call the machine."""

    async def open_datagrams(self, address: Address, receiver: DatagramReceiver) -> Datagrams:
        """Bind a port; raises AddressUnavailable."""

    async def open_beacon(self, announcement: Announcement, found: Callable[[Announcement], None]) -> Beacon:
        """Announce on the local network, and call `found` for what others announce.

        Raises AddressUnavailable where there is no multicast, ConfigError where a library for it is missing.
        """

    async def resolve(self, address: Address) -> list[Address]:
        """All literal addresses of a host name; empty when it has none."""

    def interface_addresses(self, bound: Address) -> list[Address]:
        """Where others can reach a port bound to `bound`: itself, or for a wildcard the machine's own addresses."""

    def entropy(self, size_bytes: int) -> bytes:
        """Unpredictable bytes for keys."""

    def hold_identity(self, data_dir: Path) -> AbstractContextManager[None]:
        """Keep other processes from being the node of `data_dir` meanwhile; raises ConfigError when one is."""

    def wall_time_s(self) -> float:
        """Seconds since 1970, for people and files; never for protocol decisions."""

    def thread_executor(self, name: str, workers: int, *, daemon: bool = False) -> Executor:
        """Threads for blocking functions; the end of the process waits for them, but not for `daemon` ones."""

    def worker_processes(self, name: str, workers: int) -> Workers:
        """Processes for functions that burn the processor."""


Clock: TypeAlias = Callable[[], float]
