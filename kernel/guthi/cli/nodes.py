"""`guthi nodes`: who is in the network, and what is wrong with whom."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from guthi.api import Address, NodeId
from guthi.cli.client import client_config, client_options
from guthi.cli.table import print_table
from guthi.configuration.config import Config
from guthi.membership.members import Member, MemberState
from guthi.membership.verdict import Verdict
from guthi.node import Node
from guthi.runner import run_loop

__all__ = ["nodes"]

VERDICT_TITLES = ("name", "id", "state", "accuser", "path", "evidence", "health", "conflict")


class Sighting(NamedTuple):
    """A member, what its accuser is called if it has one, and whether others that are present have its name."""

    member: Member
    accuser: str
    shares_name: bool


@click.command
@client_options
@click.option(
    "--verdicts", is_flag=True, help="Show only what is wrong: who is suspected or failed, names given twice."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def nodes(join: Sequence[Address], config_file: Path | None, timeout_s: float, verdicts: bool, as_json: bool) -> None:
    """List the members of a network.

    Members that failed are listed too, those that left are not.

    \b
    Example:
      guthi nodes --join 127.0.0.1:6969
    """
    seen = run_loop(_sightings(client_config(join, config_file, timeout_s)))
    if verdicts:
        seen = [each for each in seen if each.shares_name or each.member.state is not MemberState.ALIVE]
    if as_json:
        click.echo(json.dumps([_as_json(each) for each in seen]))
    elif verdicts:
        print_table(VERDICT_TITLES, map(_verdict_cells, seen))
    else:
        print_table(("name", "id", "address", "zone", "role", "state", "plugins"), map(_cells, seen))


async def _sightings(config: Config) -> list[Sighting]:
    async with Node(config) as node:
        others = [each for each in node.network.membership.everybody() if each.id != node.id]
        return sighted(others, node.network.name_of)


def sighted(others: Sequence[Member], name_of: Callable[[NodeId], str]) -> list[Sighting]:
    """All of these that have not left, sorted by name."""
    bearers = Counter(each.name for each in others if each.is_present)
    return [
        Sighting(
            each,
            name_of(each.verdict.accuser) if each.verdict is not None else "",
            each.is_present and bearers[each.name] > 1,
        )
        for each in sorted(others, key=lambda member: (member.name, member.id))
        if each.state is not MemberState.LEFT
    ]


def _cells(seen: Sighting) -> Sequence[str]:
    member = seen.member
    plugins = ", ".join(f"{name} {version}" for name, version in member.plugins)
    state = member.state.name.lower()
    return member.name, str(member.id), str(member.addresses[0]), member.zone, member.role.name.lower(), state, plugins


def _verdict_cells(seen: Sighting) -> Sequence[str]:
    member = seen.member
    path, evidence, health = _finding(member.verdict)
    conflict = "others have this name" if seen.shares_name else ""
    return member.name, str(member.id), member.state.name.lower(), seen.accuser, path, evidence, health, conflict


def _finding(verdict: Verdict | None) -> tuple[str, str, str]:
    return (verdict.path, verdict.evidence, str(verdict.health)) if verdict is not None else ("", "", "")


def _as_json(seen: Sighting) -> dict[str, Any]:
    member, verdict = seen.member, seen.member.verdict
    return {
        "name": member.name,
        "id": str(member.id),
        "address": str(member.addresses[0]),
        "zone": member.zone,
        "role": member.role.name.lower(),
        "state": member.state.name.lower(),
        "plugins": dict(member.plugins),
        "shares_name": seen.shares_name,
        "verdict": None
        if verdict is None
        else {
            "accuser": seen.accuser,
            "accuser_id": str(verdict.accuser),
            "path": verdict.path,
            "evidence": verdict.evidence,
            "health": verdict.health,
        },
    }
