"""`guthi keys`: which cluster keys the nodes of a network hold, and how they are changed while it runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from guthi.api import Address
from guthi.cli.client import client_config, client_options
from guthi.cli.groups import SuggestingGroup
from guthi.cli.table import print_table
from guthi.configuration.config import Config
from guthi.errors import GuthiError, UsageError
from guthi.host.udp import SystemHost
from guthi.membership.members import Member, MemberState
from guthi.network.rotating import Holding
from guthi.node import Node
from guthi.runner import run_loop
from guthi.security.keyfile import read_keys
from guthi.security.keyring import ClusterKey
from guthi.security.rotation import Action, Change

__all__ = ["keys"]

ANSWER_TIMEOUT_S = 5.0

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")


@click.group(cls=SuggestingGroup)
def keys() -> None:
    """Rotate the cluster keys of a running network.

    Three steps, each on all nodes: add a new key, use it, remove the old one. Keys are shown by their ids.

    \b
    Example:
      guthi keys add && guthi keys use 5f0c1a9e && guthi keys remove 88d31b07
    """


@keys.command("list")
@client_options
@as_json_option
def list_keys(join: Sequence[Address], config_file: Path | None, timeout_s: float, as_json: bool) -> None:
    """Show the keys that each node holds; the first one seals.

    \b
    Example:
      guthi keys list --config node.toml
    """
    _show(run_loop(_survey(client_config(join, config_file, timeout_s))), as_json=as_json)


@keys.command("add")
@click.argument("key_file", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@client_options
@as_json_option
def add_key(
    key_file: Path | None, join: Sequence[Address], config_file: Path | None, timeout_s: float, as_json: bool
) -> None:
    """Let all nodes accept a new key as well.

    The key is the first one of FILE, as `guthi keygen --output FILE` writes it; without FILE a new one is made.

    \b
    Example:
      guthi keys add
    """
    config = client_config(join, config_file, timeout_s)
    if key_file is not None:
        key = read_keys(key_file)[0]
    elif not config.security.has_key:
        raise UsageError("there is no cluster key here to rotate; a network has one from its start: guthi keygen")
    elif config.security.cluster_key_file is None:
        raise UsageError(
            "this command has its key from the configuration or the environment, and would forget a new one: "
            "make it in a file: guthi keygen --output new.key && guthi keys add new.key"
        )
    else:
        key = ClusterKey.generate(SystemHost().entropy)
    _carry_out(config, Change(Action.ADD, key.secret), force=False, as_json=as_json)
    click.echo(f"added {key.fingerprint}; when every node holds it: guthi keys use {key.fingerprint}", err=True)


@keys.command("use")
@click.argument("key_id")
@client_options
@as_json_option
def use_key(key_id: str, join: Sequence[Address], config_file: Path | None, timeout_s: float, as_json: bool) -> None:
    """Let all nodes seal with a key that they hold.

    \b
    Example:
      guthi keys use 5f0c1a9e
    """
    config = client_config(join, config_file, timeout_s)
    _carry_out(config, Change(Action.USE, _key_id(key_id)), force=False, as_json=as_json)


@keys.command("remove")
@click.argument("key_id")
@client_options
@click.option("--force", is_flag=True, help="Also if nodes are not reached, use it, or would have it again.")
@as_json_option
def remove_key(
    key_id: str, join: Sequence[Address], config_file: Path | None, timeout_s: float, force: bool, as_json: bool
) -> None:
    """Let all nodes forget a key that is not in use.

    A node that is not reached would be locked out, if it has no other key: so all must be there, or --force given.

    \b
    Example:
      guthi keys remove 88d31b07
    """
    config = client_config(join, config_file, timeout_s)
    _carry_out(config, Change(Action.REMOVE, _key_id(key_id)), force=force, as_json=as_json)


def _key_id(text: str) -> bytes:
    try:
        key_id = bytes.fromhex(text)
    except ValueError:
        key_id = b""
    if len(key_id) != ClusterKey.ID_SIZE:
        raise UsageError(
            f"{text!r} is no key id, which has {2 * ClusterKey.ID_SIZE} hexadecimal digits: guthi keys list"
        )
    return key_id


async def _survey(config: Config) -> list[Holding]:
    async with Node(config) as node:
        return await node.network.keys.survey(_others(node), ANSWER_TIMEOUT_S)


def _carry_out(config: Config, change: Change, *, force: bool, as_json: bool) -> None:
    """Do it, and show what came of it; raises GuthiError when it was not done everywhere."""
    holdings, own = run_loop(_change(config, change, force=force))
    _show(holdings, as_json=as_json)
    if own.problem:
        click.echo(f"guthi: this command's own keys were not changed: {own.problem}", err=True)
    failed = sorted(each.member.name for each in holdings if each.problem)
    if failed:
        raise GuthiError(f"not done on {', '.join(failed)}; what is in the way stands above; then run this again")


async def _change(config: Config, change: Change, *, force: bool) -> tuple[list[Holding], Holding]:
    """What all others hold then, and this command's own node."""
    async with Node(config) as node:
        members = [*_others(node), node.me]  # itself too: its key file may be the only one on this machine
        after = await node.network.keys.change(members, change, ANSWER_TIMEOUT_S, force=force)
    own = next(each for each in after if each.member.id == members[-1].id)
    return [each for each in after if each is not own], own


def _others(node: Node) -> list[Member]:
    """All that may hold keys, sorted by name."""
    known = node.network.membership.everybody()
    others = [each for each in known if each.id != node.id and each.state is not MemberState.LEFT]
    return sorted(others, key=lambda member: (member.name, member.id))


def _show(holdings: Sequence[Holding], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([_as_json(holding) for holding in holdings]))
    else:
        print_table(("name", "id", "keys", "kept", "problem"), [_cells(holding) for holding in holdings])


def _cells(holding: Holding) -> Sequence[str]:
    ids = " ".join(key_id.hex() for key_id in holding.key_ids)
    kept = ("yes" if holding.is_kept else "no") if holding.key_ids else ""
    return holding.member.name, str(holding.member.id), ids, kept, holding.problem


def _as_json(holding: Holding) -> dict[str, object]:
    return {
        "name": holding.member.name,
        "id": str(holding.member.id),
        "keys": [key_id.hex() for key_id in holding.key_ids],
        "kept": holding.is_kept,
        "problem": holding.problem,
    }
