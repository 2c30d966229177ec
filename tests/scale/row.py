"""One line of the table that `make scale` prints: what was measured, what it must be, what it is."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Row"]


class Row(NamedTuple):
    """A figure and its goal; `holds` says whether the goal is met."""

    what: str
    goal: str
    measured: str
    holds: bool

    @classmethod
    def at_most(cls, what: str, limit: float, measured: float, unit: str) -> Row:
        """A figure that must not be above a limit."""
        return cls(what, f"<= {limit:g} {unit}", f"{measured:.3g} {unit}", measured <= limit)
