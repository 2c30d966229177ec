"""How the value of a variable travels: whole, or as a patch of an older version; and what is believed of what came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from guthi import MalformedMessage
from guthi_dvar.errors import TypeMismatch
from guthi_dvar.grid import frozen
from guthi_dvar.patches import Patch
from guthi_dvar.records import Declaration, is_name

__all__ = ["Change", "Write", "change_from_wire", "change_to_wire", "size_of", "value_of"]

SMALL_BYTES = 16

Change: TypeAlias = Any
"""A new value, or a Patch of the one that is there."""


@dataclass(frozen=True, slots=True, eq=False)
class Write:
    """A change of one value of a variable; of a variable that is no array, `index` is 0."""

    name: str
    index: int
    change: Change

    def to_wire(self) -> list[Any]:
        """The positional list that `from_wire` reads."""
        return [self.name, self.index, change_to_wire(self.change)]

    @classmethod
    def from_wire(cls, wire: object) -> Write:
        """Read what a peer says; whether the value fits is for `value_of`. Raises MalformedMessage."""
        if type(wire) is list and len(wire) == 3:  # without a `match`, as in `Stamp`
            name, index, change = wire
            if type(name) is str and is_name(name) and type(index) is int and index >= 0:
                return cls(name, index, change_from_wire(change))
        raise MalformedMessage("a write is a name, which of its values, and a change")


def change_to_wire(change: Change) -> list[Any]:
    """The positional list that `change_from_wire` reads."""
    return ["patch", *change.to_wire()] if isinstance(change, Patch) else ["value", change]


def change_from_wire(wire: object) -> Change:
    """Read what a peer says; raises MalformedMessage."""
    if type(wire) is list and len(wire) > 1 and type(wire[0]) is str:  # without a `match`, as in `Stamp`
        if wire[0] == "value" and len(wire) == 2:
            return wire[1]
        if wire[0] == "patch":
            return Patch.from_wire(wire[1:])
    raise MalformedMessage("a change is a value or a patch")


def value_of(declaration: Declaration, index: int, value: Any) -> Any:
    """A value that came from a peer, as the variable keeps it; raises MalformedMessage if it does not fit."""
    if not 0 <= index < declaration.count:
        raise MalformedMessage("a value comes for a variable that has fewer of them")
    if declaration.grid is not None:
        if not declaration.grid.fits(index, value):
            raise MalformedMessage("a chunk has another shape or dtype than its array says")
        return frozen(value)
    try:
        return declaration.kind.accept(value, travelled=True)
    except TypeMismatch as error:
        raise MalformedMessage(f"a value has not the type of its variable: {error}") from None


def size_of(change: Change) -> int:
    """About how many bytes it takes to send, and to keep."""
    if isinstance(change, Patch):
        return change.size_bytes
    if isinstance(change, np.ndarray):
        return change.nbytes
    if isinstance(change, bytes | str):
        return SMALL_BYTES + len(change)
    if isinstance(change, list | tuple):
        return SMALL_BYTES + sum(map(size_of, change))
    if isinstance(change, dict):
        return SMALL_BYTES + sum(size_of(key) + size_of(value) for key, value in change.items())
    return SMALL_BYTES
