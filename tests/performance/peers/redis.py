"""The lock of redis-py, where the program redis-server is installed: one key of one server, in the clear.

It is not fair, and whoever waits asks again every 100 ms, so as it comes the one that has just left mostly has it next.
The second way asks every millisecond. It has no fence, and is lost without a word when its time is over.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from redis.asyncio import Redis as Connection
from redis.exceptions import ConnectionError as NotConnected

from performance.contest import Contest, contend, contest
from performance.shape import Missing, Ready

VALID_S = 10.0
START_S = 10.0
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


ADAPTERS = {"default": Redis(sleep_s=0.1), "eager": Redis(sleep_s=0.001)}
