"""The lines of a file that may be a pipe or a terminal: read as they come, while the loop goes on."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress

from guthi import UsageError

__all__ = ["lines_of"]

BLOCK_BYTES = 1 << 16


async def lines_of(descriptor: int) -> AsyncGenerator[str, None]:
    """The lines, without their ends, in UTF-8; raises UsageError where one is not."""
    number = 0
    parts: list[bytes] = []  # of a line whose end has not come yet
    while block := await _block(descriptor):
        *ended, rest = block.split(b"\n")
        for line in ended:
            number += 1
            yield _text(b"".join([*parts, line]), number)
            parts.clear()
        parts.append(rest)
    if any(parts):
        yield _text(b"".join(parts), number + 1)


def _text(line: bytes, number: int) -> str:
    try:
        return line.decode().removesuffix("\r")
    except UnicodeDecodeError:
        raise UsageError(f"line {number} of the input is not UTF-8") from None


def _block(descriptor: int) -> asyncio.Future[bytes]:
    """What has come, empty at the end. A thread that waits for more must not keep the program from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bytes] = loop.create_future()

    def settle(block: bytes, error: OSError | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(block)

    def read() -> None:
        block, failure = b"", None
        try:
            block = os.read(descriptor, BLOCK_BYTES)
        except OSError as error:
            failure = error
        with suppress(RuntimeError):  # the loop is closed already
            loop.call_soon_threadsafe(settle, block, failure)

    threading.Thread(target=read, name="guthi-input", daemon=True).start()
    return future
