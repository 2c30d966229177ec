"""The symbol table of one node: which variables there are, which versions are the newest, and what is kept of them.

A machine: it is told what happens and returns what has changed by it. For each value of a variable a node knows the
stamp of the newest version that it has heard of, and may have a copy. The copy is *valid* while it has that stamp: that
is all there is of MSI's states (a copy is never written to in place, so Modified and Shared are one, and Invalid is a
copy that is too old, or none).

| happens                                     | newest         | copy                                                |
|---------------------------------------------|----------------|-----------------------------------------------------|
| a write here                                | one number on  | the value, valid                                    |
| a newer version is heard of (`merge`)       | that one       | as it was, so not valid any more; kept for patches  |
| a value arrives (`arrived`)                 | at least its   | the value, unless its stamp is older than newest    |
| a greater birth: created again, or deleted  | none           | gone                                                |

What holds: newest never grows less while a birth lasts, and a copy that is valid is at least as new as everything that
this node has heard of. Two tables that have merged the same records are equal, whatever the order (a join of
semilattices: Shapiro et al. 2011, state-based CRDTs). Numbers of births come from a Lamport clock.
A deleted name is remembered for a time, so that who slept through the deletion does not bring the variable back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, TypeAlias

from guthi import NodeId
from guthi_dvar.errors import TableFull, UnknownVariable
from guthi_dvar.patches import Patch, Step, trimmed
from guthi_dvar.records import Coherence, Declaration, Record
from guthi_dvar.stamps import Stamp

__all__ = ["Arrived", "Cell", "Copy", "Event", "Limits", "Outdated", "Renewed", "Table", "Vanished", "Variable"]

DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class Renewed:
    """A newer version of a value is known."""

    name: str
    index: int
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Outdated:
    """The copy of a value that was valid is valid no more."""

    name: str
    index: int
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Arrived:
    """The value of the newest known version is here."""

    name: str
    index: int
    stamp: Stamp
    value: Any


@dataclass(frozen=True, slots=True)
class Vanished:
    """A variable has been deleted, or another one has its name now."""

    name: str


Event: TypeAlias = Renewed | Outdated | Arrived | Vanished


@dataclass(frozen=True, slots=True)
class Limits:
    """What a node keeps at most: names, deleted ones included; values that have been written; how long deletions."""

    most_variables: int = 10_000
    most_values: int = 262_144
    tombstone_s: float = 3600.0


@dataclass(slots=True, eq=False)
class Copy:
    """A value, the version that it is, when this node learnt that it is the newest, and the patches that led to it."""

    stamp: Stamp
    value: Any
    confirmed_at: float
    steps: tuple[Step, ...] = ()


@dataclass(slots=True, eq=False)
class Cell:
    """What is known of one value."""

    newest: Stamp
    copy: Copy | None = None

    @property
    def is_valid(self) -> bool:
        """Whether the copy is the newest version that is known."""
        return self.copy is not None and self.copy.stamp == self.newest


@dataclass(slots=True, eq=False)
class Variable:
    """What is known of one variable; a value that was never written has no cell. A deleted one has a time of death."""

    name: str
    birth: Stamp
    declaration: Declaration | None
    cells: dict[int, Cell] = field(default_factory=dict)
    died_at: float | None = None
    digest: bytes | None = None

    @property
    def is_told(self) -> bool:
        """Whether its versions are told to all; those of a coherent variable are its owner's business."""
        return self.declaration is None or self.declaration.coherence is Coherence.EVENTUAL

    def newest(self, index: int) -> Stamp:
        """The newest known version; before the first write that is number 0, by whoever created the variable."""
        cell = self.cells.get(index)
        return cell.newest if cell is not None else self.birth._replace(number=0)

    def record(self, now: float, *indices: int) -> Record:
        """All that is known of it, or of these values only."""
        told = indices or sorted(self.cells) if self.is_told else ()
        chosen = [(index, self.cells[index].newest) for index in told]
        dead_for_s = now - self.died_at if self.died_at is not None else 0.0
        return Record(self.name, self.birth, self.declaration, tuple(chosen), dead_for_s)


class Table:
    """All variables, as one node knows them; `now` is loop time in seconds."""

    def __init__(self, me: NodeId, life: bytes, limits: Limits) -> None:
        self._me, self._life, self._limits = me, life, limits
        self._variables: dict[str, Variable] = {}
        self._clock = 0
        self._value_count = 0
        self.ready: dict[str, Any] = {}
        """The values that can be handed out as they are: valid copies of variables of immutable type."""

    # ---- looking

    def get(self, name: str) -> Variable | None:
        """The variable of that name, unless it is deleted."""
        variable = self._variables.get(name)
        return variable if variable is not None and variable.declaration is not None else None

    def known(self, name: str) -> Variable | None:
        """The same, or what is remembered of one that was deleted."""
        return self._variables.get(name)

    def names(self) -> list[str]:
        """The names of all variables, sorted."""
        return sorted(name for name, each in self._variables.items() if each.declaration is not None)

    def variables(self) -> Iterator[Variable]:
        """All that are not deleted, by name."""
        return (self._variables[name] for name in self.names())

    def digests(self) -> dict[str, bytes]:
        """A short hash of what is known of each name: equal hashes, equal knowledge."""
        return {name: self._digest(self._variables[name]) for name in sorted(self._variables)}

    @property
    def fingerprint(self) -> bytes:
        """A hash of all that is known."""
        hashed = blake2b(digest_size=16)
        for name, digest in self.digests().items():
            hashed.update(digest + name.encode() + b"\0")
        return hashed.digest()

    def _digest(self, variable: Variable) -> bytes:
        if variable.digest is None:
            hashed = blake2b(_packed(variable.birth), digest_size=DIGEST_BYTES)
            for index, cell in sorted(variable.cells.items()) if variable.is_told else ():
                hashed.update(index.to_bytes(4) + _packed(cell.newest))
            variable.digest = hashed.digest()
        return variable.digest

    # ---- what happens here

    def declare(self, name: str, declaration: Declaration, least: int = 0) -> list[Event]:
        """Create a variable, in place of one of that name; its birth has at least that number. Raises TableFull."""
        return self._born(Record(name, self._next_birth(least), declaration), 0.0)

    def delete(self, name: str, now: float, least: int = 0) -> list[Event]:
        """Delete a variable; raises UnknownVariable."""
        if self.get(name) is None:
            raise UnknownVariable(f"there is no variable {name!r} any more")
        return self._born(Record(name, self._next_birth(least), None), now)

    def _next_birth(self, least: int) -> Stamp:
        self._clock = max(self._clock + 1, least)
        return Stamp(self._clock, self._me, self._life)

    def write(self, name: str, index: int, value: Any, now: float, patch: Patch | None = None) -> list[Event]:
        """Make the next version of a value, of which this node is the source; `patch` is how it comes from the last.

        Raises UnknownVariable, TableFull.
        """
        variable = self.get(name)
        if variable is None:
            raise UnknownVariable(f"there is no variable {name!r} any more")
        old = variable.newest(index)
        stamp = Stamp(old.number + 1, self._me, self._life)
        step = Step(old, stamp, patch) if patch is not None else None
        return self.arrived(variable, index, stamp, value, now, step)

    # ---- what is heard

    def merge(self, record: Record, now: float) -> list[Event]:
        """Take in what another node tells; what is known better is left. Raises TableFull."""
        self._clock = max(self._clock, record.birth.number)
        variable = self._variables.get(record.name)
        events: list[Event] = []
        if record.declaration is None and record.dead_for_s >= self._limits.tombstone_s:
            return events
        if variable is None or variable.birth < record.birth:
            events += self._born(record, now)
            variable = self._variables[record.name]
        if variable.birth == record.birth and variable.is_told:
            for index, stamp in record.newest:
                events += self._renew(variable, index, stamp)
        return events

    def _born(self, record: Record, now: float) -> list[Event]:
        old = self._variables.get(record.name)
        if old is None and len(self._variables) >= self._limits.most_variables:
            raise TableFull(
                f"a node knows at most {self._limits.most_variables} variables, with those deleted of late; raise "
                "most_variables in [plugins.dvar] on all nodes"
            )
        if old is not None:
            self._value_count -= len(old.cells)
        self.ready.pop(record.name, None)
        died_at = now - record.dead_for_s if record.declaration is None else None
        self._variables[record.name] = Variable(record.name, record.birth, record.declaration, died_at=died_at)
        return [Vanished(record.name)] if old is not None and old.declaration is not None else []

    def _renew(self, variable: Variable, index: int, stamp: Stamp) -> list[Event]:
        if stamp <= variable.newest(index):
            return []
        cell = variable.cells.get(index)
        if cell is None:
            self.see_to_values(1)
            self._value_count += 1
            cell = variable.cells[index] = Cell(stamp)
        was_valid = cell.is_valid
        cell.newest = stamp
        variable.digest = None
        self.ready.pop(variable.name, None)
        renewed = Renewed(variable.name, index, stamp)
        return [renewed, Outdated(variable.name, index, stamp)] if was_valid else [renewed]

    def arrived(
        self, variable: Variable, index: int, stamp: Stamp, value: Any, now: float, step: Step | None = None
    ) -> list[Event]:
        """A value is here, written or fetched; one that is too old, or of a variable that is gone, is dropped."""
        if self._variables.get(variable.name) is not variable or variable.declaration is None:
            return []
        events = self._renew(variable, index, stamp)
        cell = variable.cells.get(index)
        if cell is None or stamp != cell.newest or cell.is_valid:
            return events
        steps = cell.copy.steps if step is not None and cell.copy is not None and cell.copy.stamp == step.base else ()
        if step is not None:
            steps = trimmed([*steps, step], value.nbytes // 2)
        cell.copy = Copy(stamp, value, now, steps)
        if variable.declaration.kind.is_immutable:
            self.ready[variable.name] = value
        return [*events, Arrived(variable.name, index, stamp, value)]

    def keep(self, variable: Variable, index: int, cell: Cell) -> None:
        """What is known of a value of a coherent variable is this; how many there may be is asked before."""
        self._value_count += index not in variable.cells
        variable.cells[index] = cell

    def lose(self, variable: Variable, index: int) -> None:
        """Nothing is known of that value any more."""
        if variable.cells.pop(index, None) is not None:
            self._value_count -= 1

    def see_to_values(self, count: int) -> None:
        """Raises TableFull if there may not be so many more."""
        if count > 0 and self._value_count + count > self._limits.most_values:
            raise TableFull(
                f"a node knows versions of at most {self._limits.most_values} values; give arrays larger chunks, "
                "or raise most_values in [plugins.dvar] on all nodes"
            )

    def drop(self, variable: Variable, index: int) -> None:
        """Keep no copy of this value, for want of room."""
        variable.cells[index].copy = None
        self.ready.pop(variable.name, None)

    # ---- time

    def forget(self, now: float) -> None:
        """Forget what was deleted long ago."""
        for name in sorted(self._variables):
            died_at = self._variables[name].died_at
            if died_at is not None and died_at + self._limits.tombstone_s <= now:
                del self._variables[name]


def _packed(stamp: Stamp) -> bytes:
    return stamp.number.to_bytes(8) + stamp.node + stamp.life
