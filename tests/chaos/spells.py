"""When faults were really there, as against when they were planned."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Spell"]


@dataclass(frozen=True, slots=True)
class Spell:
    """A fault that was; moments as in the journals. It is over when all is whole again, a node that was killed back."""

    kind: str
    hosts: tuple[str, ...]
    began_at: float
    ended_at: float

    def overlap_s(self, begin: float, end: float) -> float:
        """For how long it lasted within these moments."""
        return max(min(self.ended_at, end) - max(self.began_at, begin), 0.0)
