"""A file over HTTP: the standard library's threading server, and urllib, which reads piece by piece; in the clear."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from performance.shape import BULK_BYTES, Ready, payload

FILE = "bulk"
PIECE_BYTES = 1 << 20


class Handler(SimpleHTTPRequestHandler):
    """Serves files, and writes no log."""

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


class Downloads:
    """Downloads the file."""

    def __init__(self, port: str) -> None:
        self._url = f"http://127.0.0.1:{port}/{FILE}"

    async def file(self) -> int:
        """All of it; each time on a connection of its own, as urllib has it."""
        size = 0
        with urllib.request.urlopen(self._url) as response:  # noqa: ASYNC210 - blocking costs it nothing here
            while piece := response.read(PIECE_BYTES):
                size += len(piece)
        return size


class Http:
    """One server, one client."""

    async def serve(self, join: Sequence[str], ready: Ready) -> None:
        """A folder with the file."""
        with tempfile.TemporaryDirectory(prefix="guthi-bench-") as name:
            (Path(name) / FILE).write_bytes(payload(BULK_BYTES))
            server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=os.fspath(name)))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            ready(server.server_address[1])
            await asyncio.Event().wait()

    @asynccontextmanager
    async def client(self, addresses: Sequence[str]) -> AsyncIterator[Any]:
        """Nothing to connect before."""
        yield Downloads(addresses[0])


ADAPTERS = {"server": Http()}
