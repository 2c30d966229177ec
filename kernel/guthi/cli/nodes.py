"""`guthi nodes`: who is in the network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from guthi.api import Address
from guthi.cli.client import client_config, client_options
from guthi.cli.table import print_table
from guthi.configuration.config import Config
from guthi.membership.members import Member, MemberState
from guthi.node import Node
from guthi.runner import run_loop

__all__ = ["nodes"]


@click.command
@client_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def nodes(join: Sequence[Address], config_file: Path | None, timeout_s: float, as_json: bool) -> None:
    """List the members of a network.

    Members that failed are listed too, those that left are not.

    \b
    Example:
      guthi nodes --join 127.0.0.1:6969
    """
    members = run_loop(_members(client_config(join, config_file, timeout_s)))
    if as_json:
        click.echo(json.dumps([_as_json(member) for member in members]))
        return
    print_table(("name", "id", "address", "zone", "role", "state", "plugins"), [_cells(each) for each in members])


async def _members(config: Config) -> list[Member]:
    """All others, sorted by name, without those that have left."""
    async with Node(config) as node:
        known = node.network.membership.snapshot()
        others = [each for each in known if each.id != node.id and each.state is not MemberState.LEFT]
        return sorted(others, key=lambda member: (member.name, member.id))


def _cells(member: Member) -> Sequence[str]:
    plugins = ", ".join(f"{name} {version}" for name, version in member.plugins)
    state = member.state.name.lower()
    return member.name, str(member.id), str(member.addresses[0]), member.zone, member.role.name.lower(), state, plugins


def _as_json(member: Member) -> dict[str, Any]:
    return {
        "name": member.name,
        "id": str(member.id),
        "address": str(member.addresses[0]),
        "zone": member.zone,
        "role": member.role.name.lower(),
        "state": member.state.name.lower(),
        "plugins": dict(member.plugins),
    }
