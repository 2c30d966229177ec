"""`guthi top`: how busy every node is, as one of them knows it, again and again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

import guthi
from guthi.cli import DURATION, client_config, client_options, print_table
from guthi.runner import run_loop
from guthi_resources.sample import Sample
from guthi_resources.telling import TABLE, read_table, takes_part

__all__ = ["top"]

TITLES = (
    "node",
    "state",
    "cpu",
    "load",
    "memory",
    "installed",
    "available",
    "disk",
    "in",
    "out",
    "own cpu",
    "own memory",
)
BAR = "▏▎▍▌▋▊▉█"
BAR_CELLS = 8
ORDERS: dict[str, Callable[[Row], Any]] = {
    "name": lambda row: (row.name, row.id),
    "cpu": lambda row: (-row.sample.cpu_percent, row.name),
    "memory": lambda row: (-row.sample.memory_percent, row.name),
}


class Row(NamedTuple):
    """One node."""

    name: str
    id: str
    state: str
    sample: Sample


@click.command
@client_options
@click.option("--sort", "order", type=click.Choice(list(ORDERS)), default="cpu", show_default=True, help="By what.")
@click.option("--every", "every_s", type=DURATION, default="1s", show_default=True, help="How often to look.")
@click.option("--once", is_flag=True, help="Print one table and end; so it does where there is no terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array and end.")
def top(
    join: Sequence[guthi.Address],
    config_file: Path | None,
    timeout_s: float,
    order: str,
    every_s: float,
    once: bool,
    as_json: bool,
) -> None:
    """Show how busy the nodes of a network are, until Ctrl-C.

    \b
    Example:
      guthi top --join 127.0.0.1:6969 --sort memory
    """
    if every_s < 0.1:
        raise guthi.UsageError("--every is 100ms or more")
    config = client_config(join, config_file, timeout_s)
    console = Console()
    if as_json:
        click.echo(json.dumps([_as_json(row) for row in run_loop(_once(config, timeout_s, order))]))
    elif once or not console.is_terminal:
        print_table(TITLES, [_cells(row) for row in run_loop(_once(config, timeout_s, order))])
    else:
        run_loop(_show(console, config, timeout_s, order, every_s))


async def _once(config: guthi.Config, timeout_s: float, order: str) -> list[Row]:
    async with _network(config, timeout_s) as look:
        return sorted(await look(), key=ORDERS[order])


async def _show(console: Console, config: guthi.Config, timeout_s: float, order: str, every_s: float) -> None:
    async with _network(config, timeout_s) as look:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(_picture(sorted(await look(), key=ORDERS[order])), refresh=True)
                await asyncio.sleep(every_s)


@asynccontextmanager
async def _network(config: guthi.Config, timeout_s: float) -> AsyncIterator[Callable[[], Any]]:
    """A function that asks a node what it knows of all; the next one, if that one is gone."""
    async with guthi.Node(config) as node:

        async def look() -> list[Row]:
            for member in node.members:
                if takes_part(member):
                    try:
                        return _rows(node, await node.request(member, TABLE, None, timeout_s=timeout_s))
                    except (guthi.PeerLost, guthi.DeadlineExceeded, guthi.UnknownTopic):
                        continue
            raise guthi.UsageError('no node runs the plugin; enable it: plugins = ["resources"] in [node]')

        yield look


def _rows(node: guthi.Node, answer: Any) -> list[Row]:
    members = node.network.membership.members
    return [
        Row(members[each.origin].name, str(each.origin), members[each.origin].state.name.lower(), each.sample)
        for each in read_table(answer)
        if each.origin in members
    ]


def _cells(row: Row) -> Sequence[str]:
    sample = row.sample
    return (
        row.name,
        row.state,
        f"{sample.cpu_percent:.0f} %",
        f"{sample.load_1m:.2f}",
        f"{sample.memory_percent:.0f} %",
        _size(sample.memory_total_bytes),
        _size(sample.memory_available_bytes),
        f"{sample.disk_percent:.0f} %",
        f"{_size(sample.received_bytes_s)}/s",
        f"{_size(sample.sent_bytes_s)}/s",
        f"{sample.process_cpu_percent:.0f} %",
        _size(sample.process_memory_bytes),
    )


def _picture(rows: Sequence[Row]) -> Table:
    """The table with bars, for a terminal."""
    table = Table(box=box.SIMPLE_HEAD)
    for title in TITLES:
        table.add_column(title, justify="left" if title in ("node", "state", "cpu", "memory", "disk") else "right")
    for row in rows:
        cells: list[str | Text] = [*_cells(row)]
        for place, share in ((2, row.sample.cpu_percent), (4, row.sample.memory_percent), (7, row.sample.disk_percent)):
            cells[place] = _bar(share)
        table.add_row(*(Text(each) if isinstance(each, str) else each for each in cells))
    return table


def _bar(share: float) -> Text:
    eighths = round(min(max(share, 0.0), 100.0) / 100.0 * BAR_CELLS * 8)
    bar = "█" * (eighths // 8) + (BAR[eighths % 8 - 1] if eighths % 8 else "")
    colour = "green" if share < 60 else "yellow" if share < 85 else "red"
    return Text.assemble((bar.ljust(BAR_CELLS), colour), f" {share:3.0f} %")


def _size(size_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}" if unit == "B" or size_bytes >= 100 else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"


def _as_json(row: Row) -> dict[str, Any]:
    sample = row.sample
    shares = {"memory_percent": round(sample.memory_percent, 1), "disk_percent": round(sample.disk_percent, 1)}
    return {"name": row.name, "id": row.id, "state": row.state, **asdict(sample), **shares}
