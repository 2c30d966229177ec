"""`guthi run`: one node as one process."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from guthi.api import Address
from guthi.cli.log import log_to_stderr
from guthi.cli.parameters import ADDRESS
from guthi.configuration.cluster import Cluster
from guthi.configuration.config import Config
from guthi.node import Node
from guthi.runner import run_loop, run_node

__all__ = ["run"]


@click.command
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--node", "entry", metavar="NAME", help="FILE is a cluster file: run the node that it calls NAME.")
@click.option("--join", type=ADDRESS, multiple=True, help="Join these instead of the file's; may be repeated.")
@click.option("--listen", type=ADDRESS, help="Listen here instead; port 0 lets the system choose.")
@click.option("--name", help="Be called so instead.")
@click.option("--json", "as_json", is_flag=True, help="When ready, print one JSON line with the id and the address.")
@click.option("--supervised", is_flag=True, help="As --json, and end when standard input ends.")
def run(
    file: Path,
    entry: str | None,
    join: Sequence[Address],
    listen: Address | None,
    name: str | None,
    as_json: bool,
    supervised: bool,
) -> None:
    """Run the node that FILE describes.

    It ends when its main function returns, or on Ctrl-C or SIGTERM, and leaves the network.

    \b
    Example:
      guthi run node.toml --listen 127.0.0.1:0 --join 127.0.0.1:6969
    """
    given = {"join": join or None, "listen": listen, "name": name}
    config = _config(file, entry, {key: value for key, value in given.items() if value is not None})
    log_to_stderr(config.node.log_level)
    on_ready = _say_as_json if as_json or supervised else _say
    run_loop(run_node(config, on_ready, supervised=supervised))


def _config(file: Path, entry: str | None, node: dict[str, Any]) -> Config:
    if entry is None:
        return Config.from_toml(file, node=node)
    return Cluster.from_toml(file).node(entry).with_overrides(node=node)


def _say_as_json(node: Node) -> None:
    """The line that `launcher` waits for."""
    ready = {"event": "ready", "name": node.name, "id": str(node.id), "address": str(node.address), "pid": os.getpid()}
    click.echo(json.dumps(ready))


def _say(node: Node) -> None:
    count = len(node.members)
    others = f"{count} other{'s' if count != 1 else ''}" if count else "nobody else yet"
    safety = "" if node.config.security.has_key else "; no cluster key, so for this machine only"
    click.echo(f"{node.name} ({node.id}) listens on {node.address}, sees {others}{safety}; Ctrl-C ends it", err=True)
