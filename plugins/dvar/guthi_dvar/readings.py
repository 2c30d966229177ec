"""What a caller is told beside a value: how fresh it is, and what the variable is."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from guthi import MalformedMessage, NodeId
from guthi_dvar.errors import UnknownVariable
from guthi_dvar.peers import Peers
from guthi_dvar.stamps import Stamp
from guthi_dvar.table import Variable

__all__ = ["Reading", "VariableInfo", "handed_out", "info_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A value and how fresh it is.

    `age_s` is how long ago this node last learnt that it is the newest version; `writer` is the node that wrote it.
    """

    value: Any
    version: int
    age_s: float
    writer: NodeId


@dataclass(frozen=True, slots=True)
class VariableInfo:
    """What a variable is, as this node knows it; `version` is the highest of all chunks, `source` wrote that one.

    `places` are the names of the nodes that are to keep copies, of an array those of its first chunk; `is_valid` says
    whether a read on this node needs no other.
    """

    name: str
    type: str
    shape: tuple[int, ...] | None
    chunk: tuple[int, ...] | None
    is_constant: bool
    coherence: str
    version: int
    source: str
    places: tuple[str, ...]
    is_valid: bool

    def to_wire(self) -> list[Any]:
        """The positional list that `from_wire` reads."""
        shape, chunk = self.shape and list(self.shape), self.chunk and list(self.chunk)
        what = [self.name, self.type, shape, chunk, self.is_constant, self.coherence]
        return [*what, self.version, self.source, list(self.places), self.is_valid]

    @classmethod
    def from_wire(cls, wire: object) -> VariableInfo:
        """Read what a peer says; raises MalformedMessage."""
        match wire:
            case [
                str(name), str(kind), list() | None as shape, list() | None as chunk, bool(constant), str(coherence),
                int(version), str(source), list(places), bool(is_valid),
            ]:  # fmt: skip
                sizes = tuple(shape) if shape is not None else None
                steps = tuple(chunk) if chunk is not None else None
                return cls(
                    name, kind, sizes, steps, constant, coherence, version, source, tuple(map(str, places)), is_valid
                )
        raise MalformedMessage("what a variable is takes ten words")


def handed_out(variable: Variable, value: Any) -> Any:
    """The value, for a caller who may change what it gets; nobody can change a chunk of an array, nor an immutable."""
    declaration = variable.declaration
    is_shared = declaration is not None and (declaration.grid is not None or declaration.kind.is_immutable)
    return value if is_shared else copy.deepcopy(value)


def info_of(variable: Variable, peers: Peers, newest: Stamp, places: Sequence[NodeId], is_valid: bool) -> VariableInfo:
    """What a variable is, with its highest version; raises UnknownVariable if it was deleted."""
    declaration = variable.declaration
    if declaration is None:
        raise UnknownVariable(f"there is no variable {variable.name!r} any more")
    grid = declaration.grid
    return VariableInfo(
        variable.name,
        str(np.dtype(grid.dtype)) if grid is not None else str(declaration.kind),
        grid.shape if grid is not None else None,
        grid.chunk if grid is not None else None,
        declaration.is_constant,
        declaration.coherence.value,
        newest.number,
        peers.name_of(newest.node),
        tuple(map(peers.name_of, places)),
        is_valid,
    )
