"""The floors: a bare UDP echo of small calls on uvloop, in the clear and sealed with AES-256-GCM.

There is no reliability, no congestion control and no identity here: it is what those may be compared with.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import msgpack
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from performance.peers.service import respond
from performance.shape import Ready, in_tasks

BUFFER_BYTES = 4 << 20
LARGEST_BYTES = 65536
KEY = bytes(32)  # a floor has no secrets


class Clear:
    """Datagrams as they are."""

    def seal(self, plaintext: bytes) -> bytes:
        """The datagram to send."""
        return plaintext

    def open(self, datagram: bytes) -> bytes:
        """What is in a datagram."""
        return datagram


class Sealed:
    """A counter, which is the nonce, and AES-256-GCM; each direction counts from a start of its own."""

    def __init__(self, start: int) -> None:
        self._cipher, self._counter = AESGCM(KEY), itertools.count(start)

    def seal(self, plaintext: bytes) -> bytes:
        """The datagram to send."""
        nonce = next(self._counter).to_bytes(12, "big")
        return nonce + self._cipher.encrypt(nonce, plaintext, None)

    def open(self, datagram: bytes) -> bytes:
        """What is in a datagram; raises InvalidTag."""
        return self._cipher.decrypt(datagram[:12], datagram[12:], None)


def _socket() -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.setblocking(False)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    bound.bind(("127.0.0.1", 0))
    return bound


class Client:
    """A future for each call that is under way."""

    def __init__(self, connected: socket.socket, seal: Clear | Sealed) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket, self._seal = connected, seal
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._loop.add_reader(connected.fileno(), self._on_readable)

    async def add(self, a: int, b: int) -> int:
        """One datagram there, one back."""
        number = next(self._numbers)
        future: asyncio.Future[int] = self._loop.create_future()
        self._waiting[number] = future
        self._socket.send(self._seal.seal(msgpack.packb((number, "add", a, b))))
        return await future

    async def in_flight(self, calls: int) -> None:
        """One datagram a call here, too."""
        await in_tasks(self.add, calls)

    def _on_readable(self) -> None:
        while True:
            try:
                datagram = self._socket.recv(LARGEST_BYTES)
            except BlockingIOError:
                return
            number, result = msgpack.unpackb(self._seal.open(datagram))
            self._waiting.pop(number).set_result(result)

    def close(self) -> None:
        """Release the port."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()


class Udp:
    """UDP sealed in some way; `seal` is given the first number of its counter."""

    def __init__(self, seal: Callable[[int], Clear | Sealed]) -> None:
        self._seal = seal

    async def serve(self, join: Sequence[str], ready: Ready) -> None:
        """Answer each datagram when it is read."""
        bound, seal = _socket(), self._seal(1 << 64)

        def on_readable() -> None:
            while True:
                try:
                    datagram, source = bound.recvfrom(LARGEST_BYTES)
                except BlockingIOError:
                    return
                bound.sendto(seal.seal(respond(seal.open(datagram))), source)

        asyncio.get_running_loop().add_reader(bound.fileno(), on_readable)
        ready(bound.getsockname()[1])
        await asyncio.Event().wait()

    @asynccontextmanager
    async def client(self, addresses: Sequence[str]) -> AsyncIterator[Client]:
        """A connected socket."""
        connected = _socket()
        connected.connect(("127.0.0.1", int(addresses[0])))
        client = Client(connected, self._seal(0))
        try:
            yield client
        finally:
            client.close()


ADAPTERS = {"clear": Udp(lambda _: Clear()), "sealed": Udp(Sealed)}
