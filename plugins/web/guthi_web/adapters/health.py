"""What the failure detector of the plugin `health` sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from guthi import Node, Service
from guthi_web.service import Web
from guthi_web.views import View

__all__ = ["add"]


class _Health(Protocol):
    """What is used of the service `HEALTH`."""

    def table(self) -> Sequence[Any]: ...


HEALTH: Service[_Health] = Service("health")


def add(node: Node, web: Web) -> None:
    """The view, where there is the service."""
    if HEALTH not in node.services:
        return
    health = node.require(HEALTH)
    web.add_view(
        View("health", "How this node sees every other.", lambda: [_row(each) for each in health.table()], 2.0)
    )


def _row(sight: Any) -> dict[str, Any]:
    return {
        "id": str(sight.member.id),
        "name": sight.member.name,
        "state": sight.member.state.name.lower(),
        "rtt_ms": round(sight.rtt_s * 1000, 2) if sight.rtt_s is not None else None,
        "suspicion": sight.suspicion,
    }
