"""What becomes of a ticket, as a caller of this node is in the table of locks; and what the table says of a lock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from guthi import NodeId

__all__ = ["Disagreement", "Effect", "LockGranted", "LockReport", "Spoke", "TicketLost", "TicketRefused"]


@dataclass(frozen=True, slots=True)
class Spoke:
    """An algorithm wants another member told."""

    to: NodeId
    lock: str
    body: Any


@dataclass(frozen=True, slots=True)
class LockGranted:
    """A ticket holds its lock."""

    ticket: int
    lock: str
    fence: int


@dataclass(frozen=True, slots=True)
class TicketLost:
    """A ticket holds its lock no more, without having released it."""

    ticket: int
    lock: str
    fence: int


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Two voters of a view use different algorithms for a lock."""

    nodes: tuple[NodeId, NodeId]
    algorithms: tuple[str, str]


@dataclass(frozen=True, slots=True)
class TicketRefused:
    """A ticket cannot be served: because of a disagreement, or without one because no quorum is reached."""

    ticket: int
    lock: str
    disagreement: Disagreement | None = None


@dataclass(frozen=True, slots=True)
class LockReport:
    """What one node knows of a lock that it holds or waits for; `fence` is None where it does not hold it."""

    lock: str
    ticket: int  # that of the holder, where it is here
    fence: int | None
    age_s: float
    waiting: int
    queue: tuple[NodeId, ...]


Effect: TypeAlias = Spoke | LockGranted | TicketLost | TicketRefused
