"""Guthi's variables: a node that keeps one, and a writer and a reader that are nodes of the client's process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import guthi
from guthi import Config, Node
from guthi_dvar import DVAR, Dvar
from performance.shape import Ready

NAME = "bench"


def _config(*join: str) -> Config:
    node = {"listen": "127.0.0.1:0", "join": join, "plugins": ["dvar"]}
    return Config.from_mapping({"node": node}, environment={})


class _Ear:
    """Notes that the reader's copy is not valid any more."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()

    @guthi.hookimpl
    def variable_invalidated(self) -> None:
        self.heard.set()


class WriterAndReader:
    """Two nodes of three."""

    def __init__(self, writer: Dvar, reader: Dvar, ear: _Ear) -> None:
        self._writer, self._reader, self._ear = writer, reader, ear
        self._number = 0

    async def read_valid(self, times: int) -> None:
        """As an application does it: a call of a coroutine function."""
        reader = self._reader
        await reader.get(NAME)
        for _ in range(times):
            await reader.get(NAME)

    async def seen(self) -> float:
        """Seconds until the reader knows."""
        assert await self._reader.get(NAME) == self._number
        self._number += 1
        self._ear.heard.clear()
        began = time.perf_counter()
        writing = asyncio.ensure_future(self._writer.set(NAME, self._number))
        await self._ear.heard.wait()
        took_s = time.perf_counter() - began
        await writing
        return took_s


class Variables:
    """As it comes: eventual, with copies on two other nodes."""

    async def serve(self, join: Sequence[str], ready: Ready) -> None:
        """Be one of the nodes."""
        async with Node(_config()) as node:
            ready(node.address)
            await asyncio.Event().wait()

    @asynccontextmanager
    async def client(self, addresses: Sequence[str]) -> AsyncIterator[Any]:
        """The others, with a variable that both know."""
        async with Node(_config(*addresses)) as writing, Node(_config(*addresses, str(writing.address))) as reading:
            writer, reader, ear = writing.require(DVAR), reading.require(DVAR), _Ear()
            reading.hooks.register(ear, "ear")
            await writer.create(NAME, 0)
            yield WriterAndReader(writer, reader, ear)


ADAPTERS = {"variables": Variables()}
