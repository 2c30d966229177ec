"""The lock of etcd, where the program etcd is installed: one server, in the clear, by its own lock service over gRPC.

It is fair, and each step is synced to the disk before it is answered. Its messages have so few fields that they are
written here by hand; what grpcio would generate from the .proto files is not needed.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import grpc

from performance.contest import Contest, contend, contest
from performance.shape import Missing, Ready

LEASE_S = 600
START_S = 10.0
QUIET = asyncio.subprocess.DEVNULL
VARINT, BYTES = 0, 2  # kinds of fields


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _field(place: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(place << 3 | VARINT) + _varint(value)
    return _varint(place << 3 | BYTES) + _varint(len(value)) + value


def _read(message: bytes, place: int) -> int | bytes:
    """The field of that place; messages of etcd's lock service have numbers and bytes only."""
    at = 0

    def varint() -> int:
        nonlocal at
        number = shift = 0
        while True:
            byte = message[at]
            at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    while at < len(message):
        found, kind = divmod(varint(), 8)
        value: int | bytes = varint()
        if kind == BYTES:
            assert isinstance(value, int)
            value, at = message[at : at + value], at + value
        if found == place:
            return value
    raise ValueError(f"no field {place} in an answer of etcd")


class _Locks:
    """A connection to etcd, with a lease of its own."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._grant = channel.unary_unary("/etcdserverpb.Lease/LeaseGrant")
        self._lock = channel.unary_unary("/v3lockpb.Lock/Lock")
        self._unlock = channel.unary_unary("/v3lockpb.Lock/Unlock")
        self._lease = 0

    async def begin(self) -> None:
        """Have a lease, under which locks are held."""
        answer = await self._grant(_field(1, LEASE_S), timeout=START_S, wait_for_ready=True)
        lease = _read(answer, 2)
        assert isinstance(lease, int)
        self._lease = lease

    @asynccontextmanager
    async def section(self) -> AsyncIterator[None]:
        """Hold the lock."""
        key = _read(await self._lock(_field(1, b"bench") + _field(2, self._lease)), 2)
        try:
            yield
        finally:
            await self._unlock(_field(1, key))


class Etcd:
    """Contenders with a connection each; the first of them starts the server."""

    def __init__(self) -> None:
        self._server: asyncio.subprocess.Process | None = None
        self._folder = tempfile.TemporaryDirectory()

    async def serve(self, join: Sequence[str], ready: Ready) -> None:
        """Contend."""
        port = int(join[0].split()[1]) if join else await self._start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            locks = _Locks(channel)
            await locks.begin()
            await contend(locks.section, ready, port)

    async def _start(self) -> int:
        program = shutil.which("etcd")
        if program is None:
            raise Missing("the program etcd is not installed")
        port, peer_port = _free_ports()
        clients, peers = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
        self._server = await asyncio.create_subprocess_exec(
            program, "--name", "bench", "--data-dir", self._folder.name,
            "--listen-client-urls", clients, "--advertise-client-urls", clients,
            "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", f"bench={peers}",
            stdout=QUIET, stderr=QUIET,
        )  # fmt: skip
        return port

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.terminate()

    def client(self, addresses: Sequence[str]) -> AbstractAsyncContextManager[Contest]:
        """Of all contenders."""
        return contest(addresses)


def _free_ports() -> list[int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return [each.getsockname()[1] for each in (one, other)]


ADAPTERS = {"default": Etcd()}
