"""Redis by redis-py, where the program redis-server is installed, in the clear: its lock, and clients that cache.

The lock is one key of one server. It is not fair, and whoever waits asks again every 100 ms, so as it comes the one
that has just left mostly has it next. The second way asks every millisecond. It has no fence, and is lost without a
word when its time is over.

A value is read from the cache of redis-py's blocking client, for the one of asyncio has none; it wants Redis 7.4. The
server's news that a value is not valid any more is awaited on a connection of its own (CLIENT TRACKING … REDIRECT).
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from redis import Redis as CachingConnection
from redis.asyncio import Redis as Connection
from redis.asyncio.client import PubSub
from redis.cache import CacheConfig
from redis.exceptions import ConnectionError as NotConnected

from performance.contest import Contest, contend, contest
from performance.shape import Missing, Ready

VALID_S = 10.0
START_S = 10.0
KEY = "bench"
QUIET = asyncio.subprocess.DEVNULL


class Redis:
    """Contenders with a connection each; the first of them starts the server. `sleep_s` is between two tries."""

    def __init__(self, sleep_s: float) -> None:
        self._sleep_s = sleep_s
        self._server: asyncio.subprocess.Process | None = None

    async def serve(self, join: Sequence[str], ready: Ready) -> None:
        """Contend."""
        port = int(join[0].split()[1]) if join else await self._start()
        connection = Connection(port=port)
        lock = connection.lock("bench", timeout=VALID_S, sleep=self._sleep_s)
        await contend(lambda: lock, ready, port)

    async def _start(self) -> int:
        program = shutil.which("redis-server")
        if program is None:
            raise Missing("the program redis-server is not installed")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port: int = probe.getsockname()[1]
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._server = await asyncio.create_subprocess_exec(program, *options, stdout=QUIET, stderr=QUIET)
        async with asyncio.timeout(START_S), Connection(port=port) as connection:
            while not await self._answers(connection):
                await asyncio.sleep(0.05)
        return port

    async def _answers(self, connection: Connection) -> bool:
        try:
            return bool(await connection.ping())
        except NotConnected:
            return False

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.terminate()

    def client(self, addresses: Sequence[str]) -> AbstractAsyncContextManager[Contest]:
        """Of all contenders."""
        return contest(addresses)


class WriterAndReader:
    """Both in the client's process, each with a connection of its own."""

    def __init__(self, writer: Connection, reader: Connection, told: PubSub) -> None:
        self._writer, self._reader, self._told = writer, reader, told
        self._number = 0

    async def seen(self) -> float:
        """Seconds until the reader's connection is told."""
        await self._reader.get(KEY)
        self._number += 1
        began = time.perf_counter()
        writing = asyncio.ensure_future(self._writer.set(KEY, self._number))
        while (message := await self._told.get_message(timeout=START_S)) is None or message["type"] != "message":
            continue
        took_s = time.perf_counter() - began
        await writing
        return took_s


class Caching(WriterAndReader):
    """With a cache."""

    def __init__(self, cached: CachingConnection, *others: Any) -> None:
        super().__init__(*others)
        self._cached = cached

    async def read_valid(self, times: int) -> None:
        """From the client's own cache."""
        cached = self._cached
        cached.get(KEY)
        for _ in range(times):
            cached.get(KEY)


class Tracking(Redis):
    """A server of which clients keep what they have read."""

    def __init__(self) -> None:
        super().__init__(sleep_s=0.0)

    async def serve(self, join: Sequence[str], ready: Ready) -> None:
        """Start the server."""
        ready(await self._start())
        await asyncio.Event().wait()

    @asynccontextmanager
    async def client(self, addresses: Sequence[str]) -> AsyncIterator[Any]:
        """One that writes, one that reads and is told."""
        port = int(addresses[0])
        async with Connection(port=port) as writer, Connection(port=port, single_connection_client=True) as reader:
            await writer.set(KEY, 0)
            async with Connection(port=port, protocol=2).pubsub() as told:
                await told.connect()  # type: ignore[no-untyped-call]
                assert told.connection is not None
                await told.connection.send_command("CLIENT", "ID")
                listener = await told.connection.read_response()
                await told.subscribe("__redis__:invalidate")
                await reader.execute_command("CLIENT", "TRACKING", "ON", "REDIRECT", listener)
                try:
                    cached = CachingConnection(port=port, protocol=3, cache_config=CacheConfig())
                    cached.ping()
                except NotConnected:  # the server is older
                    yield WriterAndReader(writer, reader, told)
                else:
                    yield Caching(cached, writer, reader, told)
                    cached.close()


ADAPTERS = {"default": Redis(sleep_s=0.1), "eager": Redis(sleep_s=0.001), "tracking": Tracking()}
