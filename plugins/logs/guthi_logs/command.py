"""`guthi logs`: the last lines of all nodes, or of one, and each further one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

import guthi
from guthi.cli import client_config, client_options
from guthi.runner import run_loop
from guthi_logs.lines import LEVELS, Told
from guthi_logs.service import LOGS, MOST_LINES, keeps_logs

__all__ = ["logs", "printable"]

INDENT = "\n" + " " * 21  # below the node's name
COLOURS = {"debug": "bright_black", "info": "blue", "warning": "yellow", "error": "red"}


@click.command
@client_options
@click.option("-f", "--follow", is_flag=True, help="Go on with each further line, until Ctrl-C.")
@click.option("--node", "name", metavar="NAME", help="Of this node; without it, of all.")
@click.option("--level", type=click.Choice(list(LEVELS)), default="info", show_default=True, help="From which on.")
@click.option("--contains", default="", metavar="TEXT", help="Only lines that have this in them.")
@click.option(
    "--lines", "limit", type=click.IntRange(0, MOST_LINES), default=50, show_default=True, help="How many of each node."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
def logs(
    join: Sequence[guthi.Address],
    config_file: Path | None,
    timeout_s: float,
    follow: bool,
    name: str | None,
    level: str,
    contains: str,
    limit: int,
    as_json: bool,
) -> None:
    """Show what happened on the nodes of a network.

    \b
    Example:
      guthi logs -f --join 127.0.0.1:6969 --level warning
    """
    config = client_config(join, config_file, timeout_s, plugins=["logs"])
    run_loop(_show(config, follow, name, level, contains, limit, as_json))


async def _show(
    config: guthi.Config, follow: bool, name: str | None, level: str, contains: str, limit: int, as_json: bool
) -> None:
    async with guthi.Node(config) as node:
        if not any(keeps_logs(member) for member in node.members):
            raise guthi.UsageError('no node runs the plugin; enable it: plugins = ["logs"] in [node]')
        service = node.require(LOGS)
        if follow:
            async for told in service.follow(name, level=level, contains=contains, last=limit):
                _print(told, as_json)
            return
        for told in await service.last(name, level=level, contains=contains, limit=limit):
            _print(told, as_json)


def _print(told: Told, as_json: bool) -> None:
    line = told.line
    if as_json:
        fields = {"node": told.node, **line._asdict(), "level": line.level_name, "missed": told.missed}
        click.echo(json.dumps(fields))
        return
    if told.missed:
        click.echo(f"({told.missed} lines of {told.node} were missed)", err=True)
    at = datetime.fromtimestamp(line.at_s).strftime("%H:%M:%S.%f")[:-3]
    level = click.style(f"{line.level_name:<7}", fg=COLOURS[line.level_name])
    click.echo(f"{at} {level} {printable(told.node)} {printable(line.source)}: {printable(line.text)}")


def printable(text: str) -> str:
    """The text with further lines set in, and what would steer the terminal written out.

    Else whoever gets a text into a log, be it only as a name, could write lines of other nodes, or worse.
    """
    return "".join(_shown(each) for each in text)


def _shown(character: str) -> str:
    if character == "\n":
        return INDENT
    if character == "\t" or character.isprintable():
        return character
    return repr(character)[1:-1]
