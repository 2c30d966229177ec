"""What is here of one coherent variable, beside its cells in the table; for the states of its copies see `shelf`."""

from __future__ import annotations

from dataclasses import dataclass, field

from guthi_dvar.coherent.ledger import Ledger
from guthi_dvar.stamps import Stamp
from guthi_dvar.table import Copy, Variable

__all__ = ["Item", "zeros"]


@dataclass(slots=True, eq=False)
class Item:
    """What is here of one variable, beside its cells in the table."""

    variable: Variable
    secured_in: int = 0
    kept_in: int = 0
    is_open: bool = False
    is_damaged: bool = False
    """Values that are not here are lost, rather than never written."""
    pending: dict[int, Copy] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    fences: dict[str, int] = field(default_factory=dict)

    @property
    def is_keeper(self) -> bool:
        """Whether all values are here, in the newest epoch that is known here."""
        return self.kept_in == self.secured_in > 0

    def latest(self, index: int) -> Copy | None:
        """The newest version that is here, committed or not."""
        cell = self.variable.cells.get(index)
        return self.pending.get(index) or (cell.copy if cell is not None else None)

    def stamps(self) -> list[tuple[int, Stamp, bool]]:
        """All versions that are here, each with whether it could be read while the variable was open."""
        found = []
        for index in sorted({*self.variable.cells, *self.pending}):
            copy, cell = self.latest(index), self.variable.cells.get(index)
            if copy is not None:
                found.append((index, copy.stamp, index not in self.pending and cell is not None and cell.is_valid))
        return found


def zeros(variable: Variable, index: int) -> Copy | None:
    """A chunk that was never written; there is no such thing as a variable without a value."""
    grid = variable.declaration.grid if variable.declaration is not None else None
    return Copy(variable.newest(index), grid.zeros(index), 0.0) if grid is not None else None
