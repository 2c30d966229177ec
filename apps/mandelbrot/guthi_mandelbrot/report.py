"""What the demo tells about a run: who computed how much, who died, how long it took, and what the network gained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from guthi_mandelbrot.plugin import Share

__all__ = ["Report"]


@dataclass(frozen=True, slots=True)
class Report:
    """A finished picture: `wall_s` by all nodes, `baseline_s` by one node alone (None: not measured).

    `shares` has one entry a node that was started, also where it did nothing; `lost` says of those that died how, as in
    "was killed by SIGKILL". `leaders` are the names of those who gave out the bands, one after the other.
    """

    output: Path
    shares: Sequence[Share]
    wall_s: float
    baseline_s: float | None
    lost: Mapping[str, str] = field(default_factory=dict)
    leaders: Sequence[str] = ()

    @property
    def speed_up(self) -> float | None:
        """How many times faster all nodes were than one; None without a baseline."""
        return None if self.baseline_s is None else self.baseline_s / self.wall_s

    def as_json(self) -> dict[str, Any]:
        """The same facts under fixed names, for scripts; `lost` is null for a node that lived to the end."""
        return {
            "output": str(self.output),
            "nodes": [
                asdict(share) | {"share": self._part(share), "lost": self.lost.get(share.node)} for share in self.shares
            ],
            "wall_s": self.wall_s,
            "baseline_s": self.baseline_s,
            "speed_up": self.speed_up,
            "leaders": list(self.leaders),
        }

    def print_to(self, console: Console) -> None:
        """Print the table and the summary; on anything but a terminal they are plain, aligned text."""
        console.print(self._table(plain=not console.is_terminal))
        for line in self._summary():
            console.print(line, highlight=False, soft_wrap=True, markup=False)

    def _table(self, *, plain: bool) -> Table:
        table = Table(box=None if plain else box.ROUNDED, header_style="bold")
        table.add_column("node", no_wrap=True)
        for heading in ("bands", "share", "seconds busy"):
            table.add_column(heading, justify="right", no_wrap=True)
        moved = any(share.taken_over for share in self.shares)
        if moved:
            table.add_column("took over")
        if self.lost:
            table.add_column("lost", no_wrap=True)
        for share in self.shares:
            cells = [share.node, str(share.bands), f"{self._part(share):.1%}", f"{share.busy_s:.2f}"]
            cells += [_taken_over(share)] if moved else []
            cells += [self.lost.get(share.node, "")] if self.lost else []
            table.add_row(*cells)
        return table

    def _summary(self) -> list[str]:
        started = len(self.shares)
        count = f"{started - len(self.lost)} of {started}" if self.lost else f"{started}"
        lines = [f"{count} node{'s' if started != 1 else ''}: {self.wall_s:.2f} s"]
        if self.baseline_s is not None:
            lines.append(f"one node alone: {self.baseline_s:.2f} s, so {self.speed_up:.2f} times faster")
        if len(self.leaders) > 1:
            first, *others = self.leaders
            lines.append(f"begun by {first}; led to its end by {' after '.join(reversed(others))}")
        return [*lines, f"picture: {self.output}"]

    def _part(self, share: Share) -> float:
        """The node's part of the picture's rows, 0 to 1."""
        return share.rows / sum(other.rows for other in self.shares)


def _taken_over(share: Share) -> str:
    """Which bands came from nodes that were lost, as in "2 from bob, 12 rows done"."""
    if not share.taken_over:
        return ""
    sources = ", ".join(f"{bands} from {node}" for node, bands in sorted(share.taken_over.items()))
    done = f", {share.resumed_rows} row{'s' if share.resumed_rows != 1 else ''} done" if share.resumed_rows else ""
    return sources + done
