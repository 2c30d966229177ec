"""NATS request and reply through its broker, where the program nats-server is installed. In the clear."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgpack
import nats

from performance.peers.service import FUNCTIONS
from performance.shape import Floats, Missing, Ready, in_tasks

SUBJECT = "bench"
TIMEOUT_S = 20.0
LARGEST_PAYLOAD_BYTES = 64 << 20  # the most that the broker can be told
CONFIG = """
listen: "127.0.0.1:{port}"
max_payload: {largest}
max_pending: {pending}
"""


class Client:
    """One connection to the broker."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def _request(self, *request: object) -> bytes:
        reply = await self._connection.request(SUBJECT, msgpack.packb(request), timeout=TIMEOUT_S)
        return cast(bytes, reply.data)

    async def add(self, a: int, b: int) -> int:
        """Through the broker there, and back."""
        return cast(int, msgpack.unpackb(await self._request("add", a, b)))

    async def in_flight(self, calls: int) -> None:
        """Tasks."""
        await in_tasks(self.add, calls)

    async def bulk(self, size_bytes: int) -> bytes:
        """The result as it is: with a frame about it, 64 MiB are more than the broker lets through."""
        return await self._request("bulk", size_bytes)

    async def array_sum(self, values: Floats) -> float:
        """A MessagePack bin."""
        return cast(float, msgpack.unpackb(await self._request("array_sum", values.data.cast("B"))))


class Nats:
    """A broker, and a process that answers."""

    def __init__(self) -> None:
        self._broker: asyncio.subprocess.Process | None = None

    async def serve(self, join: Sequence[str], ready: Ready) -> None:
        """Start the broker and subscribe."""
        program = shutil.which("nats-server", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        if program is None:
            raise Missing("the program nats-server is not installed")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        text = CONFIG.format(port=port, largest=LARGEST_PAYLOAD_BYTES, pending=4 * LARGEST_PAYLOAD_BYTES)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "nats.conf"
            file.write_text(text)
            quiet = asyncio.subprocess.DEVNULL
            self._broker = await asyncio.create_subprocess_exec(program, "-c", file, stdout=quiet, stderr=quiet)
            connection = await nats.connect(
                f"nats://127.0.0.1:{port}", max_reconnect_attempts=50, reconnect_time_wait=0.1
            )

        async def respond(message: Any) -> None:
            name, *arguments = msgpack.unpackb(message.data)
            result = FUNCTIONS[name](*arguments)
            await message.respond(result if isinstance(result, bytes) else msgpack.packb(result))

        await connection.subscribe(SUBJECT, cb=respond)
        await connection.flush()
        ready(port, self._broker.pid)
        await asyncio.Event().wait()

    def close(self) -> None:
        """End the broker."""
        if self._broker is not None:
            self._broker.terminate()

    @asynccontextmanager
    async def client(self, addresses: Sequence[str]) -> AsyncIterator[Client]:
        """One connection."""
        connection = await nats.connect(f"nats://127.0.0.1:{addresses[0]}", pending_size=LARGEST_PAYLOAD_BYTES)
        try:
            yield Client(connection)
        finally:
            await connection.close()


ADAPTERS = {"broker": Nats()}
