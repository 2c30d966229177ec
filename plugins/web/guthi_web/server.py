"""Runs the app on the node's own loop: the port, bounded connections, and no signal handlers.

uvicorn does HTTP. It would take over the process's signals, which are the node's; and it would write a warning for each
request that is malformed or one too many, so that any stranger could fill the log.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from guthi import Address, AddressUnavailable, ConfigError
from guthi_web.connections import HttpConnection, WebSocketConnection

__all__ = ["Server", "bind"]

GRACE_S = 1
LARGEST_HEAD_BYTES = 16 << 10
LARGEST_MESSAGE_BYTES = 16 << 10
BACKLOG = 128


def bind(listen: Address) -> socket.socket:
    """A listening socket; raises AddressUnavailable."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    try:
        bound = socket.create_server((listen.host, listen.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise AddressUnavailable(
            f"the web server cannot listen on {listen}: {error.strerror or error}; end what has the port, or choose "
            "another in [plugins.web] listen; port 0 lets the system choose"
        ) from None
    bound.setblocking(False)
    return bound


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """The process's signals are the node's business."""
        yield


class Server:
    """An app on a socket, from `run` to `close`. With a certificate and its key it speaks TLS."""

    def __init__(
        self, app: ASGIApp, bound: socket.socket, most_connections: int, certificate: Path | None, key: Path | None
    ) -> None:
        self._socket = bound
        tls: dict[str, Any] = {}
        if certificate is not None:
            tls = {"ssl_certfile": str(certificate), "ssl_keyfile": str(key) if key is not None else None}
        self._config = uvicorn.Config(
            app,
            http=HttpConnection,
            ws=WebSocketConnection,
            ws_max_size=LARGEST_MESSAGE_BYTES,
            ws_per_message_deflate=False,  # it costs more processor than it saves network
            lifespan="off",
            log_config=None,
            log_level=logging.ERROR,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=most_connections + 1,  # uvicorn refuses the one that reaches it
            timeout_graceful_shutdown=GRACE_S,
            h11_max_incomplete_event_size=LARGEST_HEAD_BYTES,
            **tls,
        )
        try:
            self._config.load()
        except (OSError, ValueError) as error:
            raise ConfigError(f"[plugins.web] certificate cannot be used: {error}") from None
        self._server = _Uvicorn(self._config)

    async def run(self) -> None:
        """Serve until `close`."""
        await self._server.serve(sockets=[self._socket])

    def close(self) -> None:
        """Take nothing new, let what is under way end within GRACE_S, and end."""
        self._server.should_exit = True
