"""`guthi health`: how every node sees every other, each asked itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

import guthi
from guthi.cli import client_config, client_options
from guthi.cli.table import print_table
from guthi.runner import run_loop
from guthi_health.report import TOPIC, Report, Row, from_wire

__all__ = ["health"]

AT_A_TIME = 32
TITLES = ("node", "sees", "state", "rtt", "last echo", "suspicion", "verdict")


@click.command
@client_options
@click.option("--node", "only", metavar="NAME", help="What this node sees; without it, what every node sees.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def health(
    join: Sequence[guthi.Address], config_file: Path | None, timeout_s: float, only: str | None, as_json: bool
) -> None:
    """Show how the nodes of a network see one another.

    \b
    Example:
      guthi health --join 127.0.0.1:6969 --node alice
    """
    config = client_config(join, config_file, timeout_s)
    found, silent = run_loop(_reports(config, timeout_s, only))
    if as_json:
        rows = [{"node": name, **asdict(row)} for name, report in found for row in report.rows]
        click.echo(json.dumps(rows))
    else:
        print_table(TITLES, [(name, *_cells(row)) for name, report in found for row in report.rows])
    for name, reason in silent:
        click.echo(f"{name} was not heard: {reason}", err=True)


async def _reports(
    config: guthi.Config, timeout_s: float, only: str | None
) -> tuple[list[tuple[str, Report]], list[tuple[str, str]]]:
    """What the nodes say, and which said nothing and why; both sorted by name."""
    async with guthi.Node(config) as node:
        if only is not None:
            asked = [node.member(only)]
        else:
            asked = [each for each in node.members if any(name == "health" for name, _ in each.plugins)]
        if not asked:
            raise guthi.UsageError('no node runs the plugin; enable it: plugins = ["health"] in [node]')
        turns = asyncio.Semaphore(AT_A_TIME)
        found: list[tuple[str, Report]] = []
        silent: list[tuple[str, str]] = []

        async def ask(member: guthi.Member) -> None:
            async with turns:
                try:
                    answer = await node.request(member, TOPIC, None, timeout_s=timeout_s)
                    found.append((member.name, from_wire(answer)))
                except (guthi.PeerLost, guthi.DeadlineExceeded, guthi.UnknownTopic, guthi.MalformedMessage) as error:
                    silent.append((member.name, str(error)))

        async with asyncio.TaskGroup() as group:
            for member in asked:
                group.create_task(ask(member))
        return sorted(found, key=lambda each: each[0]), sorted(silent)


def _cells(row: Row) -> Sequence[str]:
    rtt = f"{row.rtt_s * 1000:.1f} ms" if row.rtt_s is not None else ""
    ago = f"{row.answered_ago_s:.1f} s ago" if row.answered_ago_s is not None else ""
    suspicion = row.suspicion if row.is_watched or row.state != "alive" else "not watched"
    return row.name, row.state, rtt, ago, suspicion, row.verdict
