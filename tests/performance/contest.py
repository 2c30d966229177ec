"""A contest for one lock: five processes, each of which goes through the critical section when and as often as told.

In the section a number in a file is read, the loop yields, and the number is written one higher: what two processes do
at a time is lost, and the client sees it.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from performance.shape import Ready

__all__ = ["CONTENDERS", "Contest", "contend", "contest"]

CONTENDERS = 5


async def contend(enter: Callable[[], AbstractAsyncContextManager[Any]], ready: Ready, told: object = "") -> None:
    """Be one of the processes, for ever; `enter` gives the section, `told` is for the processes started later."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            sections, file = line.decode().strip().split(maxsplit=1)
            try:
                for _ in range(int(sections)):
                    async with enter():
                        await _count(Path(file))
            except Exception as error:  # whatever it is, the client shall know
                writer.write(f"{error!r}\n".encode())
            else:
                writer.write(b"done\n")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    ready(f"{server.sockets[0].getsockname()[1]} {told}")
    await server.serve_forever()


async def _count(file: Path) -> None:
    number = int(file.read_text())
    await asyncio.sleep(0)
    file.write_text(f"{number + 1}")


class Contest:
    """Lets all the processes contend, and checks that nothing was lost."""

    def __init__(self, lines: Sequence[tuple[asyncio.StreamReader, asyncio.StreamWriter]], file: Path) -> None:
        self._lines, self._file = lines, file

    async def sections(self, each: int) -> None:
        """So many critical sections of each process, all of them on one lock."""
        self._file.write_text("0")
        for _, writer in self._lines:
            writer.write(f"{each} {self._file}\n".encode())
        for reader, _ in self._lines:
            answer = await reader.readline()
            assert answer == b"done\n", answer
        assert int(self._file.read_text()) == each * len(self._lines)


@asynccontextmanager
async def contest(addresses: Sequence[str]) -> AsyncIterator[Contest]:
    """The client of the processes that have these addresses."""
    lines = [await asyncio.open_connection("127.0.0.1", int(address.split()[0])) for address in addresses]
    with tempfile.TemporaryDirectory() as folder:
        try:
            yield Contest(lines, Path(folder) / "number")
        finally:
            for _, writer in lines:
                writer.close()
