"""Stands before the app: judges every request and websocket, bounds bodies, and adds what keeps pages to themselves."""

from __future__ import annotations

import asyncio
import json

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from guthi_web.access import Access, Kind, Refusal, Request

__all__ = ["Gate"]

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
MOST_BYTES, MOST_BYTES_OF_STRANGERS = 16 << 20, 4 << 10
PART_PATIENCE_S = 10.0
GONE: Message = {"type": "http.disconnect"}


class Gate:
    """An ASGI app around another."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request = _read(scope)
        most_bytes = MOST_BYTES if self._access.is_known(request.headers) else MOST_BYTES_OF_STRANGERS
        refusal = self._access.judge(request) or _too_long(request, most_bytes)
        if refusal is None and scope["type"] == "http":
            await self._app(scope, _Body(receive, most_bytes).receive, _with_headers(send))
        elif refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": POLICY_VIOLATED, "reason": refusal.reason[:100]})
        else:
            await _refuse(refusal, _with_headers(send))


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


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "no-cache" if "etag" in headers else "no-store")
        await send(message)

    return sending


async def _refuse(refusal: Refusal, send: Send) -> None:
    body = json.dumps({"error": "Refused", "message": refusal.reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
