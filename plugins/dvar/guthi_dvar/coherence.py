"""The seam between what callers want of a variable and how its copies are kept in step.

A strategy is an implementation of this protocol, one for each Coherence: `eventual`, and `coherent.strategy`. The
service asks the declaration of a variable which is meant.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from guthi_dvar.bodies import Write
from guthi_dvar.records import Declaration
from guthi_dvar.stamps import Stamp
from guthi_dvar.table import Copy

if TYPE_CHECKING:
    from guthi_dvar.readings import VariableInfo
    from guthi_dvar.watching import Change, Lagged
    from guthi_mutex import Fence

__all__ = ["AtVersion", "Equal", "Expected", "Strategy"]


@dataclass(frozen=True, slots=True)
class AtVersion:
    """The value is still this version."""

    stamp: Stamp


@dataclass(frozen=True, slots=True, eq=False)
class Equal:
    """The value equals this one."""

    value: Any


Expected = AtVersion | Equal


class Strategy(Protocol):
    """How the values of a variable are read and written."""

    async def create(self, name: str, declaration: Declaration, values: Mapping[int, Any]) -> None:
        """Create a variable with these values, and let all know; raises VariableExists, TableFull."""

    async def delete(self, name: str) -> None:
        """Delete a variable, and let all know; raises UnknownVariable."""

    async def read(self, name: str, index: int) -> Copy:
        """The newest version that this node may return; raises UnknownVariable, ValueUnavailable."""

    async def read_confirmed(self, name: str, index: int) -> Copy:
        """The newest version as its source knows it now; raises SourceUnreachable as well."""

    async def write(self, writes: Sequence[Write], fence: Fence | None = None) -> None:
        """Write these values, and let all know; raises UnknownVariable, TableFull.

        With a fence also StaleFence, and UsageError where fences are not checked.
        """

    async def compare_and_set(self, name: str, expected: Expected, value: Any, fence: Fence | None = None) -> bool:
        """Write if the newest version is as expected, else return False; raises SourceUnreachable as well."""

    def watched(self, name: str, queue: int) -> AsyncIterator[Change | Lagged]:
        """The current value and each change of a variable that this node knows; raises UnknownVariable."""

    async def info(self, name: str) -> VariableInfo:
        """What a variable is; raises UnknownVariable."""
