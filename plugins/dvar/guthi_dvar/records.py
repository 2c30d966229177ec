"""What nodes tell one another about a variable: what it is, and which versions of its values are the newest.

A record tells of a *birth*: the stamp under which the variable was created, or deleted (then there is no declaration).
The greater birth wins, so a name that was deleted and created again is another variable, and what is still told of the
former one is ignored. A variable has one value, an array one for each chunk; each has a version of its own. A record
may tell of some of them only. Everything that is told is merged by the same rule, in whatever order it comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from guthi import MalformedMessage
from guthi_dvar.grid import MOST_CHUNKS, Grid
from guthi_dvar.kinds import ARRAY, Kind
from guthi_dvar.stamps import Stamp

__all__ = ["MOST_REPLICAS", "Coherence", "Declaration", "Record", "is_name", "records_from_wire"]

MOST_NAME_BYTES = 255
MOST_REPLICAS = 16
MOST_RECORDS = 65_536


class Coherence(Enum):
    """How strongly the copies of a variable agree."""

    EVENTUAL = "eventual"
    COHERENT = "coherent"


COHERENCES = {each.value: each for each in Coherence}


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a variable is: the type of its value, or for an array its grid, and how it is kept."""

    kind: Kind
    grid: Grid | None = None
    is_constant: bool = False
    coherence: Coherence = Coherence.EVENTUAL
    replicas: int = 2

    @property
    def count(self) -> int:
        """How many values it has, each with a version of its own."""
        return self.grid.count if self.grid is not None else 1

    def to_wire(self) -> list[Any]:
        """The positional list that `from_wire` reads."""
        grid = self.grid.to_wire() if self.grid is not None else None
        return [self.kind.to_wire(), grid, self.is_constant, self.coherence.value, self.replicas]

    @classmethod
    def from_wire(cls, wire: object) -> Declaration:
        """Read what a peer says; raises MalformedMessage."""
        if type(wire) is list and len(wire) == 5:  # without a `match`, as in `Stamp`
            kind_wire, grid_wire, is_constant, name, replicas = wire
            coherence = COHERENCES.get(name) if type(name) is str else None
            if coherence is not None and type(is_constant) is bool and type(replicas) is int:
                kind = Kind.from_wire(kind_wire)
                grid = Grid.from_wire(grid_wire) if grid_wire is not None else None
                if 0 <= replicas <= MOST_REPLICAS and (grid is not None) == (kind == ARRAY):
                    return cls(kind, grid, is_constant, coherence, replicas)
        raise MalformedMessage("a variable is a type, a grid, whether it is constant, its coherence and its replicas")


@dataclass(frozen=True, slots=True)
class Record:
    """News of one variable; `newest` has the newest version of some of its values, by their number.

    Of one that was deleted it says how long ago that was, so that it is forgotten everywhere at about the same time.
    """

    name: str
    birth: Stamp
    declaration: Declaration | None
    newest: tuple[tuple[int, Stamp], ...] = ()
    dead_for_s: float = 0.0

    def to_wire(self) -> list[Any]:
        """The positional list that `from_wire` reads."""
        declaration = self.declaration.to_wire() if self.declaration is not None else None
        newest = [[index, at.to_wire()] for index, at in self.newest]
        return [self.name, self.birth.to_wire(), declaration, newest, self.dead_for_s]

    @classmethod
    def from_wire(cls, wire: object) -> Record:
        """Read what a peer says; raises MalformedMessage."""
        if type(wire) is list and len(wire) == 5:  # without a `match`, as in `Stamp`
            name, birth, told, newest, dead_for_s = wire
            is_whole = type(newest) is list and len(newest) <= MOST_CHUNKS
            if is_whole and type(name) is str and is_name(name) and type(dead_for_s) is float and dead_for_s >= 0:
                declaration = Declaration.from_wire(told) if told is not None else None
                count = declaration.count if declaration is not None else 0
                news = tuple([_news(each, count) for each in newest])
                return cls(name, Stamp.from_wire(birth), declaration, news, dead_for_s)
        raise MalformedMessage("a record is a name, a birth, a declaration, versions, and how long ago it was deleted")


def _news(wire: object, count: int) -> tuple[int, Stamp]:
    if type(wire) is list and len(wire) == 2:
        index, stamp = wire
        if type(index) is int and 0 <= index < count:
            return index, Stamp.from_wire(stamp)
    raise MalformedMessage("a version belongs to a value that the variable has")


def is_name(name: str) -> bool:
    """Whether a variable can be called so: 1 to 255 bytes."""
    try:
        return 0 < len(name.encode()) <= MOST_NAME_BYTES
    except UnicodeEncodeError:
        return False


def records_from_wire(wire: object) -> list[Record]:
    """Read what a peer says; raises MalformedMessage."""
    if not isinstance(wire, list) or len(wire) > MOST_RECORDS:
        raise MalformedMessage(f"news are a list of at most {MOST_RECORDS} records")
    return [Record.from_wire(each) for each in wire]
