"""The locks of the plugin `mutex`: who holds them, who waits, and under which fence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from guthi import Node, Service
from guthi_web.service import Web
from guthi_web.views import View

__all__ = ["add"]


class _Locks(Protocol):
    """What is used of the service `MUTEX`."""

    async def locks(self) -> Sequence[Any]: ...


LOCKS: Service[_Locks] = Service("mutex")


def add(node: Node, web: Web) -> None:
    """The view, where there is the service."""
    if LOCKS not in node.services:
        return
    mutex = node.require(LOCKS)

    async def rows() -> list[dict[str, Any]]:
        return [
            {
                "name": info.name,
                "holder": info.holder,
                "fence": info.fence,
                "age_s": round(info.age_s, 1),
                "queue": list(info.queue),
            }
            for info in await mutex.locks()
        ]

    web.add_view(View("locks", "The locks that are held or waited for anywhere.", rows, every_s=2.0))
