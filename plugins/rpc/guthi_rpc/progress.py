"""How far a map has come: what progress bars and the dashboard read."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["NodeProgress", "Progress"]


@dataclass(slots=True)
class NodeProgress:
    """One node's part: items it has in hand and has done, the seconds that these took it, and how often it was lost."""

    in_hand: int = 0
    done: int = 0
    seconds: float = 0.0
    losses: int = 0


@dataclass(slots=True)
class Progress:
    """A map, from its start on; it changes while the map runs.

    `total` is None where the input does not say how long it is. `done` items have a result, `failed` ones of these an
    error; `again` were given out again because their node was lost, `copies` because it was slow. `started_at` and
    `ended_at` are in loop time. `nodes` are by name, and those that are gone are among them.
    """

    function: str
    total: int | None
    started_at: float
    ended_at: float | None = None
    given: int = 0
    done: int = 0
    failed: int = 0
    again: int = 0
    copies: int = 0
    nodes: dict[str, NodeProgress] = field(default_factory=dict)

    def node(self, name: str) -> NodeProgress:
        """The part of one node."""
        return self.nodes.setdefault(name, NodeProgress())

    def remaining_s(self, now: float) -> float | None:
        """Seconds that the rest will take at the pace so far; None if nobody can tell."""
        if self.total is None or not self.done:
            return None
        return (now - self.started_at) / self.done * (self.total - self.done)
