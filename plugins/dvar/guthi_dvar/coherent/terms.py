"""What the owner of variables knows of them in one view."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from guthi import NodeId
from guthi_dvar.coherent.recovery import Recovered
from guthi_dvar.coherent.roles import Roles
from guthi_dvar.coherent.turns import Turns
from guthi_mutex import View

__all__ = ["Office", "Term"]


@dataclass(slots=True, eq=False)
class Office:
    """What the owner of a variable knows in one view; of its operations one is under way at a time."""

    plan: Recovered | None = None
    keepers: tuple[NodeId, ...] = ()
    """The others that keep all values."""
    holders: dict[int, set[NodeId]] = field(default_factory=dict)
    followers: set[NodeId] = field(default_factory=set)
    notes: list[tuple[bytes, Mapping[str, int]]] = field(default_factory=list)
    """The tokens and fences of what is prepared."""
    is_orphan: bool = False
    """Nobody is there who has ever had it open: it is lost, or was never wholly created."""
    turns: Turns = field(default_factory=Turns)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    """Nothing has to be waited for any more."""
    defect: str = ""
    """Why this node cannot take over what others have."""

    @property
    def is_open(self) -> bool:
        """Whether the variable can be read and written."""
        return self.opened.is_set() and not self.defect

    def dismiss(self, keeper: NodeId) -> None:
        """One of the keepers cannot keep the values. It has read without asking, so it is told of each write."""
        self.keepers = tuple(id for id in self.keepers if id != keeper)
        self.followers.add(keeper)


@dataclass(slots=True, eq=False)
class Term:
    """One view, as this node lives through it; `roles` are known when all members have answered its claim."""

    view: View
    roles: Roles
    claimed: asyncio.Event = field(default_factory=asyncio.Event)
    offices: dict[str, Office] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None
