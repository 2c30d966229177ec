"""How much a node trusts its own senses: Lifeguard's local health multiplier.

A node that is slow itself finds everybody else silent. What it can notice about itself raises a score: its probes fail,
those who probed for it do not even say that they were in vain, it had to refute an accusation. A probe that succeeds
lowers it. Its probes take (score + 1) times as long, and so does each wait for an answer, until it is well again.

Dadgar, Phillips and Currey: Lifeguard: Local Health Awareness for More Accurate Failure Detection. DSN-W 2018, III.A.
"""

from __future__ import annotations

__all__ = ["Awareness"]


class Awareness:
    """The score of one node, from 0 (healthy) to `limit` (S in the paper)."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.score = 0

    def note(self, change: int) -> None:
        """Something happened that speaks for the node's health (negative) or against it."""
        self.score = min(max(self.score + change, 0), self._limit)

    def scaled_s(self, duration_s: float) -> float:
        """How long that is to take while the node does as badly as it does."""
        return duration_s * (self.score + 1)
