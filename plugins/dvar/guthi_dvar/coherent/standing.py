"""Decides whether this node may act as a member of its view, and lets those wait who need that.

While anybody here needs it, the view and this node's lease in it are kept up (see the mutex plugin's `views`); for
LINGER_LEASES after the last need, too, for who has read will often read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from guthi_dvar.errors import Unavailable
from guthi_mutex import View, ViewId, Views

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Moved", "Standing"]

LINGER_LEASES = 2
PATIENCE_LEASES = 5  # two or three are enough for a view without a member that failed, where there is a majority


class Moved(Exception):
    """Another view has begun: what was to be done in the one before is not done, or nobody can tell."""


class Standing:
    """The view of this node, awaited."""

    def __init__(self, node: Node, views: Views) -> None:
        self._node, self.views = node, views
        self._loop = asyncio.get_running_loop()
        self._news: asyncio.Future[None] = self._loop.create_future()
        self._scopes: dict[int, tuple[ViewId, asyncio.Timeout]] = {}
        self._scope_count = self._waiting_count = 0
        self._used_at = 0.0
        self._idling: asyncio.Task[None] | None = None
        self.moves: list[Callable[[], None]] = []
        """Plain functions that are called when the view is another one, before anybody that waits goes on."""
        self._view_id = views.view.id if views.view is not None else None
        views.listeners.append(self._on_news)

    @property
    def view(self) -> View | None:
        """The view that this node is in, as far as it knows."""
        return self.views.view

    @property
    def patience_s(self) -> float:
        """How long an operation goes on trying."""
        return PATIENCE_LEASES * self.views.lease_s

    def is_in(self, view_id: ViewId) -> bool:
        """Whether that is the view this node is in, as far as it knows."""
        return self.views.view is not None and self.views.view.id == view_id

    def is_certain(self, view_id: ViewId) -> bool:
        """Whether that is the newest view there is."""
        return self._loop.time() < self.views.until and self.is_in(view_id)

    def _on_news(self) -> None:
        view = self.views.view
        view_id = view.id if view is not None else None
        if view_id != self._view_id:
            self._view_id = view_id
            for on_move in tuple(self.moves):
                on_move()
            for key in [key for key, (of, _) in self._scopes.items() if of != view_id]:
                self._scopes.pop(key)[1].reschedule(self._loop.time())
        news, self._news = self._news, self._loop.create_future()
        news.set_result(None)

    # ---- waiting

    def use(self) -> None:
        """A view and a lease are needed now."""
        self._used_at = self._loop.time()
        if self._idling is None:
            self.views.rely(True)
            self._idling = self._node.start(self._idle(), "dvar lease")

    async def _idle(self) -> None:
        linger_s = LINGER_LEASES * self.views.lease_s
        while (left_s := self._used_at + linger_s - self._loop.time()) > 0 or self._scopes or self._waiting_count:
            await asyncio.sleep(max(left_s, self.views.lease_s))
        self._idling = None
        self.views.rely(False)

    async def member(self, deadline: float) -> View:
        """The view, when this node is in one; raises Unavailable."""
        self.use()
        return await self._when(lambda: self.views.view, deadline)

    async def certain(self, deadline: float) -> View:
        """The view, when it is certain that it is the newest one; raises Unavailable."""
        self.use()
        return await self._when(lambda: self.views.view if self._loop.time() < self.views.until else None, deadline)

    async def reached(self, view_id: ViewId, deadline: float) -> bool:
        """Wait until this node is in that view, or in one after it; whether it is the former. Raises Unavailable."""
        self.use()

        def view() -> View | None:
            known = self.views.view
            return known if known is not None and known.id >= view_id else None

        return (await self._when(view, deadline)).id == view_id

    async def stays_certain(self, view_id: ViewId, deadline: float) -> None:
        """Return when it is certain that no view has followed this one; raises Moved if one has, Unavailable."""
        if self.is_certain(view_id):
            return
        if (await self.certain(deadline)).id != view_id:
            raise Moved

    async def news(self, deadline: float) -> None:
        """Wait until something is different; raises Unavailable."""
        await self._until(self._news, deadline)

    async def _when(self, look: Callable[[], View | None], deadline: float) -> View:
        while (view := look()) is None:
            await self._until(self._news, deadline)
            self.use()
        return view

    async def _until(self, news: asyncio.Future[None], deadline: float) -> None:
        self._waiting_count += 1
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.shield(news)
        except TimeoutError:
            raise Unavailable(
                f"{self._node.name} does not reach a majority of the nodes that decide together, or has to wait for "
                "a change among them; try again, or look at the network."
            ) from None
        finally:
            self._waiting_count -= 1

    @asynccontextmanager
    async def during(self, view_id: ViewId) -> AsyncIterator[None]:
        """What is done in this context ends with Moved when the view does."""
        if not self.is_in(view_id):
            raise Moved
        self._scope_count += 1
        key = self._scope_count
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._scopes[key] = (view_id, scope)
                yield
        except TimeoutError:
            if scope.expired():
                raise Moved from None
            raise
        finally:
            self._scopes.pop(key, None)
