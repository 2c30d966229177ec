"""What the owner of a variable and the members of its view tell each other about it, and how that is written.

Each message names the view that it belongs to; a member hears only those of the view that it is in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from guthi import MalformedMessage, NodeId
from guthi_dvar.bodies import Change, change_from_wire, change_to_wire
from guthi_dvar.coherent.ledger import Ledger
from guthi_dvar.records import Record, is_name
from guthi_dvar.stamps import LIFE_BYTES, Stamp
from guthi_mutex import ViewId

__all__ = ["MOST_FENCES", "Entry", "Prepared", "Report", "version", "view_from_wire", "view_to_wire"]

MOST_FENCES = 64


def version(number: int, writer: NodeId, epoch: int) -> Stamp:
    """The stamp of a version: which number it is, who wanted it, and in which epoch the owner made it."""
    return Stamp(number, writer, epoch.to_bytes(LIFE_BYTES))


def view_to_wire(view_id: ViewId) -> list[Any]:
    """What `view_from_wire` reads."""
    return [view_id.epoch, bytes(view_id.maker)]


def view_from_wire(wire: object) -> ViewId:
    """Read what a peer says; raises MalformedMessage."""
    if type(wire) is list and len(wire) == 2:  # without a `match`, as in `Stamp`
        epoch, maker = wire
        if type(epoch) is int and epoch >= 0 and type(maker) is bytes and len(maker) == NodeId.SIZE:
            return ViewId(epoch, NodeId(maker))
    raise MalformedMessage("a view is named by its epoch and its maker")


@dataclass(frozen=True, slots=True)
class Report:
    """What a member has of a variable when a view begins; `stamps` are versions, each with whether it was Shared."""

    record: Record
    secured_in: int
    kept_in: int
    is_damaged: bool
    is_followed: bool
    stamps: tuple[tuple[int, Stamp, bool], ...]
    ledger: Ledger
    fences: Mapping[str, int]

    def to_wire(self) -> list[Any]:
        """What `from_wire` reads."""
        stamps = [[index, stamp.to_wire(), is_shared] for index, stamp, is_shared in self.stamps]
        flags = [self.secured_in, self.kept_in, self.is_damaged, self.is_followed]
        return [self.record.to_wire(), flags, stamps, self.ledger.to_wire(), dict(self.fences)]

    @classmethod
    def from_wire(cls, wire: object) -> Report:
        """Read what a peer says; raises MalformedMessage."""
        match wire:
            case [record, [int(secured_in), int(kept_in), bool(damaged), bool(followed)], list(stamps), ledger, fences]:
                read = Record.from_wire(record)
                count = read.declaration.count if read.declaration is not None else 0
                found = tuple(_shared(each, count) for each in stamps)
                told = Ledger.from_wire(ledger)
                return cls(read, secured_in, kept_in, damaged, followed, found, told, fences_from_wire(fences))
        raise MalformedMessage("a report is a record, flags, versions, a ledger and fences")


def _shared(wire: object, count: int) -> tuple[int, Stamp, bool]:
    match wire:
        case [int(index), stamp, bool(is_shared)] if type(index) is int and 0 <= index < count:
            return index, Stamp.from_wire(stamp), is_shared
    raise MalformedMessage("a version in a report belongs to a value that the variable has")


def fences_from_wire(wire: object) -> dict[str, int]:
    """Raises MalformedMessage."""
    if not isinstance(wire, dict) or len(wire) > MOST_FENCES:
        raise MalformedMessage("fences are a number for each lock")
    if not all(isinstance(lock, str) and type(number) is int for lock, number in wire.items()):
        raise MalformedMessage("fences are a number for each lock")
    return wire


@dataclass(frozen=True, slots=True)
class Entry:
    """What a member is told when a variable is opened."""

    record: Record
    is_keeper: bool
    is_damaged: bool
    newest: tuple[tuple[int, Stamp], ...]
    ledger: Ledger = field(default_factory=Ledger)
    fences: Mapping[str, int] = field(default_factory=dict)

    def to_wire(self) -> list[Any]:
        """What `from_wire` reads."""
        newest = [[index, stamp.to_wire()] for index, stamp in self.newest]
        flags = [self.is_keeper, self.is_damaged]
        return [self.record.to_wire(), flags, newest, self.ledger.to_wire(), dict(self.fences)]

    @classmethod
    def from_wire(cls, wire: object) -> Entry:
        """Read what a peer says; raises MalformedMessage."""
        match wire:
            case [record, [bool(is_keeper), bool(is_damaged)], list(newest), ledger, fences]:
                read = Record.from_wire(record)
                if read.declaration is None:
                    raise MalformedMessage("a variable that is opened has a declaration")
                count = read.declaration.count
                told = tuple(_version(each, count) for each in newest)
                known = Ledger.from_wire(ledger)
                return cls(read, is_keeper, is_damaged, told, known, fences_from_wire(fences))
        raise MalformedMessage("an entry is a record, flags, versions, a ledger and fences")


def _version(wire: object, count: int) -> tuple[int, Stamp]:
    match wire:
        case [int(index), stamp] if type(index) is int and 0 <= index < count:
            return index, Stamp.from_wire(stamp)
    raise MalformedMessage("a version belongs to a value that the variable has")


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """There is a newer version; keepers are told the change, and of which version a patch is one."""

    name: str
    birth: Stamp
    index: int
    stamp: Stamp
    change: Change | None
    base: Stamp | None

    def to_wire(self) -> list[Any]:
        """What `from_wire` reads."""
        base = self.base.to_wire() if self.base is not None else None
        change = change_to_wire(self.change) if self.change is not None else None
        return [self.name, self.birth.to_wire(), self.index, self.stamp.to_wire(), change, base]

    @classmethod
    def from_wire(cls, wire: object) -> Prepared:
        """Read what a peer says; raises MalformedMessage."""
        if type(wire) is list and len(wire) == 6:  # without a `match`, as in `Stamp`
            name, birth, index, stamp, change, base = wire
            if type(name) is str and is_name(name) and type(index) is int:
                read = change_from_wire(change) if change is not None else None
                before = Stamp.from_wire(base) if base is not None else None
                return cls(name, Stamp.from_wire(birth), index, Stamp.from_wire(stamp), read, before)
        raise MalformedMessage("what is prepared is a name, a birth, which value, its version, a change and its base")
