"""How rows are shown: a table on a terminal, plain aligned text elsewhere, so that scripts can read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import click

__all__ = ["print_table"]

EMPTY = "-"  # a cell is never blank, so that `awk` finds the columns


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows of as many cells as there are titles on standard output."""
    from rich import box  # here: most commands print none, and all would be slower to start
    from rich.console import Console
    from rich.table import Table

    lines = [[_shown(cell) or EMPTY for cell in row] for row in rows]
    console = Console()
    if not console.is_terminal:
        for line in _aligned([[title.upper() for title in titles], *lines]):
            click.echo(line)
        return
    table = Table(*titles, box=box.SIMPLE_HEAD)
    for cells in lines:
        table.add_row(*cells)
    console.print(table, markup=False, highlight=False)


def _shown(cell: str) -> str:
    """Names come from elsewhere: what would move the cursor, or break the line, is shown as Python writes it."""
    return cell if cell.isprintable() else "".join(each if each.isprintable() else repr(each)[1:-1] for each in cell)


def _aligned(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
