"""The costs of the mutual-exclusion algorithms: the tables of docs/mutex-algorithms.md and their plot, measured anew.

python -m tests.figures.mutex_messages
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.plugins.mutex.costs import RARE, busy, handover, rare

from guthi_mutex.algorithm import Algorithm
from guthi_mutex.maekawa import Maekawa
from guthi_mutex.naimi_trehel import NaimiTrehel
from guthi_mutex.raymond import Raymond
from guthi_mutex.ricart_agrawala import RicartAgrawala
from guthi_mutex.suzuki_kasami import SuzukiKasami

__all__ = ["draw"]

ALGORITHMS: tuple[type[Algorithm], ...] = (SuzukiKasami, RicartAgrawala, Raymond, NaimiTrehel, Maekawa)
TREES = {Raymond, NaimiTrehel}  # how much an entry costs depends on chance, so many are measured; they are cheap
COUNTS = (2, 5, 10, 20, 50, 100, 200, 500)
PAGE = "mutex-algorithms.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"


@dataclass(frozen=True, slots=True)
class Row:
    """What one algorithm costs among so many nodes: messages an entry, and messages in a row between two entries."""

    kind: type[Algorithm]
    count: int
    rare: float
    busy: float
    handover: float


def draw(folder: Path) -> None:
    """Write the tables into the page in `folder`, and the plot beside it where matplotlib is installed."""
    rows = [_measured(kind, count) for count in COUNTS for kind in ALGORITHMS]
    page = folder / PAGE
    before, _, rest = page.read_text().partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{_tables(rows)}\n{END}{rest.partition(END)[2]}")
    try:
        _plot(rows, folder / "mutex-messages.png")
    except ModuleNotFoundError as error:
        print(f"no plot: no module {error.name}", file=sys.stderr)


def _measured(kind: type[Algorithm], count: int) -> Row:
    light = 10_000 if kind in TREES else max(20, 4_000 // count)
    rounds = max(2, 400 // count)
    row = Row(kind, count, rare(kind, count, light), busy(kind, count, rounds), handover(kind, count, rounds))
    print(f"{count} nodes, {kind.name}: {row.rare:.2f}, {row.busy:.2f}, {row.handover:.2f}", file=sys.stderr)
    return row


def _tables(rows: list[Row]) -> str:
    return "\n".join(
        [
            "Messages an entry, one node at a time wanting the lock; in brackets what the paper says:\n",
            _table(rows, lambda row: f"{row.rare:.2f} ({RARE[row.kind.name](row.count):.2f})"),
            "Messages an entry, all nodes wanting it all the time:\n",
            _table(rows, lambda row: f"{row.busy:.2f}"),
            "Messages in a row between leaving and the next one's entry, all nodes wanting it all the time:\n",
            _table(rows, lambda row: f"{row.handover:.2f}"),
        ]
    )


def _table(rows: list[Row], cell: Callable[[Row], str]) -> str:
    lines = [["nodes", *(kind.name for kind in ALGORITHMS)]]
    lines += [[str(count), *(cell(row) for row in rows if row.count == count)] for count in COUNTS]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    padded = ([text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in padded)


def _plot(rows: list[Row], file: Path) -> None:
    """Two panels, both axes logarithmic: dots are measured, lines what the papers say."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (light, heavy) = pyplot.subplots(1, 2, figsize=(13, 5.5), sharey=True, layout="constrained")
    for index, kind in enumerate(ALGORITHMS):
        mine = [row for row in rows if row.kind is kind]
        colour = f"C{index}"
        light.plot(COUNTS, [RARE[kind.name](count) for count in COUNTS], color=colour, linewidth=1)
        light.plot(COUNTS, [row.rare for row in mine], "o", color=colour, label=kind.name)
        heavy.plot(COUNTS, [row.busy for row in mine], "o-", color=colour, linewidth=1, label=kind.name)
    _dress(light, "one at a time wants the lock (lines: the papers)")
    _dress(heavy, "all want it all the time")
    light.set_ylabel("messages an entry")
    light.legend()
    figure.savefig(file, dpi=100)
    pyplot.close(figure)


def _dress(axis: Any, title: str) -> None:
    axis.set_title(title)
    axis.set_xlabel("nodes")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.grid(visible=True, which="major", alpha=0.3)


if __name__ == "__main__":
    draw(Path(__file__).parents[2] / "docs")
