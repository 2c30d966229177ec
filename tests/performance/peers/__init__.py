"""The table of peers: what is measured, and in how many processes. One file beside this one for each family."""

from __future__ import annotations

from dataclasses import dataclass

from performance.contest import CONTENDERS
from performance.shape import BULK_BYTES

__all__ = ["PEERS", "Peer"]


@dataclass(frozen=True, slots=True)
class Peer:
    """`adapter` is "family:name", `servers` how many processes serve, `package` what to ask for its version.

    `starts_at_most` bounds how often a peer that takes long to start is started; `bulk_bytes` is less than the others'
    64 MiB for a peer that would take many seconds. `beside` is the title of the Guthi that it is compared with.
    """

    title: str
    adapter: str
    package: str = ""
    servers: int = 1
    starts_at_most: int = 1000
    bulk_bytes: int = BULK_BYTES
    beside: str = "Guthi"

    @property
    def family(self) -> str:
        """The file that it is in, and what PEERS= chooses."""
        return self.adapter.partition(":")[0]


LOCKING = "Guthi, five nodes"

PEERS = (
    Peer("Guthi", "guthi:default", "guthi"),
    Peer("Guthi, polling", "guthi:polling", "guthi"),
    Peer("Guthi, 1,400-byte path", "guthi:narrow", "guthi"),
    Peer("Guthi, four idle nodes", "guthi:idle", "guthi", servers=4, starts_at_most=2),
    Peer("Guthi, two workers", "guthi:workers", "guthi", servers=2),
    Peer(LOCKING, "guthi:locks", "guthi-mutex", servers=CONTENDERS),
    Peer("Guthi, files", "gutfs:files", "guthi-gutfs", starts_at_most=3),
    Peer("Guthi, variables", "dvar:variables", "guthi-dvar", starts_at_most=3),
    Peer("UDP floor", "udp:clear", "uvloop"),
    Peer("UDP floor + AES-GCM", "udp:sealed", "cryptography"),
    Peer("asyncio TCP", "tcp:tcp", "msgpack"),
    Peer("asyncio TLS 1.3", "tcp:tls", "msgpack"),
    Peer("raw TLS 1.3 socket", "tcp:raw"),
    Peer("http.server + urllib", "http:server", starts_at_most=3, beside="Guthi, files"),
    Peer("pyzmq REQ/REP", "zmq:request", "pyzmq"),
    Peer("pyzmq DEALER/ROUTER", "zmq:dealer", "pyzmq"),
    Peer("Pyro5", "pyro5:msgpack", "Pyro5"),
    Peer("RPyC", "rpyc:default", "rpyc", bulk_bytes=8 << 20),
    Peer("gRPC", "grpc:blocking", "grpcio"),
    Peer("gRPC aio", "grpc:asyncio", "grpcio"),
    Peer("NATS", "nats:broker", "nats-py"),
    Peer("Redis lock", "redis:default", "redis", servers=CONTENDERS, starts_at_most=3, beside=LOCKING),
    Peer("Redis lock, asking each ms", "redis:eager", "redis", servers=CONTENDERS, beside=LOCKING),
    Peer("Redis, cached by its clients", "redis:tracking", "redis", starts_at_most=3, beside="Guthi, variables"),
    Peer("etcd lock", "etcd:default", "grpcio", servers=CONTENDERS, starts_at_most=3, beside=LOCKING),
    Peer("aioquic", "aioquic:bulk", "aioquic", bulk_bytes=16 << 20, beside="Guthi, 1,400-byte path"),
    Peer("Ray", "ray:actor", "ray", servers=0, starts_at_most=3),
    Peer("Dask", "dask:actor", "distributed", servers=0, starts_at_most=3),
    Peer("multiprocessing.Pool", "pool:pool", servers=0),
    Peer("one process", "pool:alone", servers=0, starts_at_most=3),
)
