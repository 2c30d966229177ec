"""Stands before the app: judges requests and websockets, bounds bodies and guesses, and keeps pages to themselves."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from math import ceil

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from guthi_web.access import Access, Kind, Refusal, Request
from guthi_web.guesses import Guesses

__all__ = ["Gate", "address_of", "too_many_guesses"]

POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
POLICY_VIOLATED = 1008
MOST_BYTES = 1 << 20  # the loop stands still while they are read, and passed on as arguments
MOST_BYTES_OF_STRANGERS = 4 << 10
PART_PATIENCE_S = 10.0
REFUSALS = frozenset({401, 403, 413, 421, 429})
GONE: Message = {"type": "http.disconnect"}


class Gate:
    """An ASGI app around another. `refused` counts what was not let in, by its HTTP status."""

    def __init__(self, app: ASGIApp, access: Access, guesses: Guesses) -> None:
        self._app, self._access, self._guesses = app, access, guesses
        self.refused: Counter[int] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request = _read(scope)
        most_bytes = MOST_BYTES if self._access.is_known(request.headers) else MOST_BYTES_OF_STRANGERS
        refusal = self._judge(request, address_of(scope)) or _too_long(request, most_bytes)
        if refusal is None and scope["type"] == "http":
            await self._app(scope, _Body(receive, most_bytes).receive, self._answering(send))
        elif refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            self.refused[refusal.status] += 1
            await receive()
            await send({"type": "websocket.close", "code": POLICY_VIOLATED, "reason": refusal.reason[:100]})
        else:
            await _refuse(refusal, self._answering(send))

    def _judge(self, request: Request, address: str) -> Refusal | None:
        if not self._access.is_guess(request.headers):
            return self._access.judge(request)
        now = asyncio.get_running_loop().time()
        if (wait_s := self._guesses.wait_s(address, now)) > 0:
            return too_many_guesses(wait_s)
        refusal = self._access.judge(request)
        if refusal is not None and refusal.status == 401:
            self._guesses.wrong(address, now)
        return refusal

    def _answering(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] in REFUSALS:
                    self.refused[message["status"]] += 1
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-cache" if "etag" in headers else "no-store")
            await send(message)

        return sending


class _Body:
    """The body of a request: it is so long at most, and each part of it comes in time; else its sender is gone."""

    def __init__(self, receive: Receive, most_bytes: int) -> None:
        self._receive, self._left = receive, most_bytes
        self._is_whole = False

    async def receive(self) -> Message:
        """The next part; after the last one, whatever the server says, whenever it does."""
        if self._is_whole:
            return await self._receive()
        try:
            async with asyncio.timeout(PART_PATIENCE_S):
                message = await self._receive()
        except TimeoutError:
            return GONE
        self._left -= len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        return message if self._left >= 0 else GONE


def address_of(scope: Scope) -> str:
    """Who sent it; empty where the server does not know."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def too_many_guesses(wait_s: float) -> Refusal:
    """What is said to whoever tries tokens."""
    return Refusal(429, f"too many wrong tokens came from here; wait {ceil(wait_s)} s", ceil(wait_s))


def _too_long(request: Request, most_bytes: int) -> Refusal | None:
    length = request.headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and int(length) <= most_bytes:
        return None
    return Refusal(413, f"a body has {most_bytes} bytes at most")


def _read(scope: Scope) -> Request:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    kind = Kind(scope["type"])
    is_secure = scope.get("scheme") in ("https", "wss")
    return Request(kind, scope.get("method", "GET"), scope["path"], headers, is_secure)


async def _refuse(refusal: Refusal, send: Send) -> None:
    body = json.dumps({"error": "Refused", "message": refusal.reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if refusal.retry_after_s is not None:
        headers.append((b"retry-after", str(refusal.retry_after_s).encode()))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
