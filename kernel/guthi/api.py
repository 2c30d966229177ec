"""What all parts of the kernel agree on: node ids, addresses, and the ports through which a node touches the world."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

from guthi.errors import ConfigError

__all__ = ["PROTOCOL_VERSION", "Address", "Buffer", "DatagramReceiver", "Datagrams", "Host", "NodeId"]

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


class DatagramReceiver(Protocol):
    """What a datagram port calls into; both methods run on the event loop."""

    def datagram_received(self, datagram: Buffer, source: Address) -> None:
        """One datagram arrived. The buffer holds it during this call only."""

    def turn_ended(self) -> None:
        """All datagrams that were waiting have been handed over: now is the time to answer them together."""


class Datagrams(Protocol):
    """An open, unconnected datagram port."""

    @property
    def local_address(self) -> Address:
        """The bound address, with the port that the system chose."""

    def max_datagram_bytes(self, destination: Address) -> int:
        """The largest datagram that is worth trying on the way to the destination (see `pathmtu`)."""

    def send(self, datagram: Buffer, destination: Address) -> None:
        """Send, or drop when the system has no room: loss is the session's business."""

    def send_many(self, datagrams: Iterable[tuple[Buffer, Address]]) -> None:
        """The same for several, in order, as they are made; a port may save system calls."""

    def poll(self, limit_s: float) -> bool:
        """Look for datagrams for as long without sleeping; True when some came and were handed over."""

    def close(self) -> None:
        """Release the port; nothing is received afterwards."""


class Host(Protocol):
    """The machine that a node lives on: the real one, or one of a simulated network."""

    @property
    def name(self) -> str:
        """What people call the machine."""

    async def open_datagrams(self, address: Address, receiver: DatagramReceiver) -> Datagrams:
        """Bind a port; raises AddressUnavailable."""

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

    def thread_executor(self, name: str, workers: int) -> Executor:
        """Threads for blocking functions."""

    def process_executor(self, name: str, workers: int) -> Executor:
        """Processes for functions that burn the processor."""


Clock: TypeAlias = Callable[[], float]
