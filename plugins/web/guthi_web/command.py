"""`guthi web`: where the nodes of a network serve their pages, and the token that opens them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click

import guthi
from guthi.cli import client_config, client_options, print_table
from guthi.runner import run_loop

__all__ = ["web"]

AT_A_TIME = 32


class Row(NamedTuple):
    """One node's server."""

    name: str
    url: str
    access: str


@click.command
@client_options
@click.option(
    "--token", "only_token", is_flag=True, help="Print the token that the cluster key opens them with, and end."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def web(
    join: Sequence[guthi.Address], config_file: Path | None, timeout_s: float, only_token: bool, as_json: bool
) -> None:
    """Show where the nodes of a network serve their web pages.

    \b
    Example:
      guthi web --join 127.0.0.1:6969
      guthi web --token --config node.toml
    """
    config = client_config(join, config_file, timeout_s)
    if only_token:
        click.echo(_token(config))
        return
    rows = run_loop(_rows(config, timeout_s))
    if as_json:
        click.echo(json.dumps([row._asdict() for row in rows]))
    else:
        print_table(("node", "url", "access"), rows)


def _token(config: guthi.Config) -> str:
    from guthi_web.tokens import token_of

    if not config.security.has_key:
        raise guthi.UsageError("there is no cluster key; name a node file that has one: --config node.toml")
    return token_of(config.keyring().primary)


async def _rows(config: guthi.Config, timeout_s: float) -> list[Row]:
    from guthi_web.asking import has_web
    from guthi_web.plugin import WHERE

    async with guthi.Node(config) as node:
        turns = asyncio.Semaphore(AT_A_TIME)

        async def ask(member: guthi.Member) -> Row | None:
            async with turns:
                try:
                    answer = await node.request(member, WHERE, None, timeout_s=timeout_s)
                except (guthi.PeerLost, guthi.DeadlineExceeded, guthi.UnknownTopic):
                    return None
            match answer:
                case [str(url), bool(needs_token)]:
                    return Row(member.name, url, "token" if needs_token else "open")
            return None

        found = await asyncio.gather(*(ask(member) for member in node.members if has_web(member)))
        rows = sorted(row for row in found if row is not None)
        if not rows:
            raise guthi.UsageError('no node runs the plugin; enable it: plugins = ["web"] in [node]')
        return rows
