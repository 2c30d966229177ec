"""Follows views for open pages: one reader a view, however many follow it, and for each page only the newest.

A page says by `{"watch": ["nodes", "resources"]}` what it shows, and is sent `{"view": "nodes", "data": [...]}`
whenever that changes. What a slow page has not taken is replaced by what is newer, so nothing piles up: at most one
snapshot of each view waits for a page, and these are shared by all.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from guthi.bucket import TokenBucket
from guthi.calmlog import CalmLog
from guthi_web.views import Snapshot, Views, as_json

__all__ = ["Live"]

TRY_AGAIN_LATER, POLICY_VIOLATED, UNREADABLE = 1013, 1008, 1007
MESSAGES_A_SECOND, BURST = 5.0, 20.0
RETRY_S = 2.0

log = logging.getLogger("guthi_web")


class _Page:
    """One open page: what it watches, and what it is to be sent."""

    def __init__(self) -> None:
        self.watched: frozenset[str] = frozenset()
        self._waiting: dict[str, Snapshot] = {}
        self._some = asyncio.Event()

    def put(self, view: str, snapshot: Snapshot) -> None:
        """Something is newer than what it has."""
        self._waiting[view] = snapshot
        self._some.set()

    async def take(self) -> tuple[str, Snapshot]:
        """The next thing to send."""
        while not self._waiting:
            self._some.clear()
            await self._some.wait()
        view = next(iter(self._waiting))
        return view, self._waiting.pop(view)


class Live:
    """The pages of one node. `start` runs a task that does not outlive the node; at most `most` pages are served."""

    def __init__(
        self, views: Views, start: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[Any]], most: int
    ) -> None:
        self._views, self._start, self._most = views, start, most
        self._clock = asyncio.get_running_loop().time
        self._pages: list[_Page] = []
        self._readers: dict[str, asyncio.Task[Any]] = {}
        self._log = CalmLog(log, self._clock)

    @property
    def pages(self) -> int:
        """How many are open."""
        return len(self._pages)

    async def serve(self, websocket: WebSocket) -> None:
        """One page, as long as it is open."""
        await websocket.accept()
        if len(self._pages) >= self._most:
            await websocket.close(TRY_AGAIN_LATER, f"{self._most} pages are open already")
            return
        page = _Page()
        self._pages.append(page)
        sending = asyncio.create_task(self._send(websocket, page))
        try:
            await self._receive(websocket, page)
        except WebSocketDisconnect:
            pass
        finally:
            self._pages.remove(page)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            self._stop_idle_readers()

    async def _receive(self, websocket: WebSocket, page: _Page) -> None:
        bucket = TokenBucket(MESSAGES_A_SECOND, BURST, self._clock())
        while True:
            text = await websocket.receive_text()
            if not bucket.take(self._clock()):
                await websocket.close(POLICY_VIOLATED, "too many messages")
                return
            names = _names(text)
            if names is None:
                await websocket.close(UNREADABLE, 'write {"watch": ["nodes"]}')
                return
            self._watch(page, frozenset(name for name in names if name in self._views))

    def _watch(self, page: _Page, names: frozenset[str]) -> None:
        fresh = names - page.watched
        page.watched = names
        for name in sorted(fresh):
            if name in self._readers:
                self._start(self._catch_up(page, name), f"web catch up {name}")
            else:
                self._readers[name] = self._start(self._read(name), f"web view {name}")
        self._stop_idle_readers()

    async def _catch_up(self, page: _Page, name: str) -> None:
        """Somebody follows the view already: a further page is sent what is there."""
        try:
            page.put(name, await self._views.read(name))
        except Exception as error:  # noqa: BLE001 - the reader of the view tells the log
            log.debug("the view %s cannot be read: %s", name, error)

    async def _read(self, name: str) -> None:
        version = -1
        while True:
            try:
                snapshot = await self._views.read(name)
            except Exception as error:  # noqa: BLE001 - a plugin's, which must not end what others see
                self._log.error("a view cannot be read: %s", name, exc_info=error)
                await asyncio.sleep(RETRY_S)
                continue
            if snapshot.version != version:
                version = snapshot.version
                for page in self._pages:
                    if name in page.watched:
                        page.put(name, snapshot)
            await self._views.until_due(name)

    def _stop_idle_readers(self) -> None:
        wanted = frozenset().union(*(page.watched for page in self._pages))
        for name in sorted(self._readers.keys() - wanted):
            self._readers.pop(name).cancel()

    async def _send(self, websocket: WebSocket, page: _Page) -> None:
        try:
            while True:
                view, snapshot = await page.take()
                if view in page.watched:
                    await websocket.send_text(f'{{"view":{as_json(view)},"data":{snapshot.text}}}')
        except (WebSocketDisconnect, RuntimeError):
            return  # it is gone; who takes nothing of what it is sent is sent away by its connection


def _names(text: str) -> list[str] | None:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    names = message.get("watch") if isinstance(message, dict) else None
    if not isinstance(names, list) or len(names) > 64 or not all(isinstance(name, str) for name in names):
        return None
    return names
