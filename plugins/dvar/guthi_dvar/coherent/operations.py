"""What callers want of the owner of a variable, and how that is written.

Each has a token that no other operation has, so that it is done once however often it is asked for (see `ledger`), and
the epoch in which it was first tried, if it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from guthi import MalformedMessage
from guthi_dvar.bodies import Write
from guthi_dvar.coherence import AtVersion, Equal, Expected
from guthi_dvar.records import Declaration, is_name
from guthi_dvar.stamps import Stamp
from guthi_mutex import Fence

__all__ = ["Asked", "Compare", "Create", "Delete", "Operation", "Put"]

MOST_TOKEN_BYTES = 64
MOST_WRITES = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class Put:
    """Write these values, all of them variables of one owner, in one round."""

    writes: Sequence[Write]
    fence: Fence | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The variables that it touches, sorted."""
        if len(self.writes) == 1:
            return (self.writes[0].name,)
        return tuple(sorted({each.name for each in self.writes}))

    def to_wire(self) -> list[Any]:
        """What `operation_from_wire` reads."""
        return ["put", [each.to_wire() for each in self.writes], _fence_to_wire(self.fence)]


@dataclass(frozen=True, slots=True, eq=False)
class Compare:
    """Write a value if the one before is as expected."""

    name: str
    expected: Expected
    value: Any
    fence: Fence | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The variable."""
        return (self.name,)

    def to_wire(self) -> list[Any]:
        """What `operation_from_wire` reads."""
        is_version = isinstance(self.expected, AtVersion)
        wanted = self.expected.stamp.to_wire() if isinstance(self.expected, AtVersion) else self.expected.value
        return ["compare", self.name, is_version, wanted, self.value, _fence_to_wire(self.fence)]


@dataclass(frozen=True, slots=True, eq=False)
class Create:
    """Make a variable with these values."""

    name: str
    declaration: Declaration
    values: Mapping[int, Any]

    @property
    def names(self) -> tuple[str, ...]:
        """The variable."""
        return (self.name,)

    def to_wire(self) -> list[Any]:
        """What `operation_from_wire` reads."""
        values = [[index, value] for index, value in sorted(self.values.items())]
        return ["create", self.name, self.declaration.to_wire(), values]


@dataclass(frozen=True, slots=True, eq=False)
class Delete:
    """Make an end of a variable."""

    name: str

    @property
    def names(self) -> tuple[str, ...]:
        """The variable."""
        return (self.name,)

    def to_wire(self) -> list[Any]:
        """What `operation_from_wire` reads."""
        return ["delete", self.name]


Operation: TypeAlias = Put | Compare | Create | Delete


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """An operation that somebody asks for."""

    token: bytes
    tried_in: int | None
    operation: Operation

    def to_wire(self) -> list[Any]:
        """What `from_wire` reads."""
        return [self.token, self.tried_in, self.operation.to_wire()]

    @classmethod
    def from_wire(cls, wire: object) -> Asked:
        """Read what a peer says; whether values fit is for who has the declaration. Raises MalformedMessage."""
        match wire:
            case [bytes(token), int() | None as tried_in, list(operation)] if 0 < len(token) <= MOST_TOKEN_BYTES:
                return cls(token, tried_in, _operation_from_wire(operation))
        raise MalformedMessage("what is asked for is a token, an epoch and an operation")


def _operation_from_wire(wire: list[Any]) -> Operation:
    match wire:
        case [str("put"), list(writes), fence] if 0 < len(writes) <= MOST_WRITES:
            return Put([Write.from_wire(each) for each in writes], _fence_from_wire(fence))
        case [str("compare"), str(name), bool(is_version), wanted, value, fence] if is_name(name):
            expected = AtVersion(Stamp.from_wire(wanted)) if is_version else Equal(wanted)
            return Compare(name, expected, value, _fence_from_wire(fence))
        case [str("create"), str(name), declaration, list(values)] if is_name(name):
            return Create(name, Declaration.from_wire(declaration), dict(_value(each) for each in values))
        case [str("delete"), str(name)] if is_name(name):
            return Delete(name)
    raise MalformedMessage("an operation is a put, a compare, a create or a delete")


def _value(wire: object) -> tuple[int, Any]:
    match wire:
        case [int(index), value] if type(index) is int:
            return index, value
    raise MalformedMessage("a value is told with its number")


def _fence_to_wire(fence: Fence | None) -> list[Any] | None:
    return [fence.lock, fence.number] if fence is not None else None


def _fence_from_wire(wire: object) -> Fence | None:
    match wire:
        case None:
            return None
        case [str(lock), int(number)] if type(number) is int:
            return Fence(lock, number)
    raise MalformedMessage("a fence is a lock and a number")
