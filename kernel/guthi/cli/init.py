"""`guthi init`: a first node file, a cluster key and a small app, which run as they are."""

from __future__ import annotations

from pathlib import Path

import click

from guthi.cli.keygen import write_secret
from guthi.errors import UsageError
from guthi.host.udp import SystemHost
from guthi.plugins import installed_plugins
from guthi.security.keyring import ClusterKey

__all__ = ["init"]

NODE_TOML = """\
# A Guthi node; start it with `guthi run node.toml`. A second one beside it:
#   guthi run node.toml --name bob --listen 127.0.0.1:0 --join 127.0.0.1:6969

[node]
name = "alice"
listen = "127.0.0.1:6969"          # "0.0.0.0:6969" lets other machines in, if they have the cluster key
join = []                          # addresses of nodes to join; one has to answer: ["10.0.0.5:6969"]
plugins = [{plugins}]
main = "app:main"                  # what this node does: main(node) in app.py
# data_dir = "data"                # keeps the node's identity; without it each start is a new node
# log_level = "debug"              # debug, info, warning or error

[security]
cluster_key_file = "cluster.key"   # the same on all nodes of the network, and secret

# [transport]
# timeout = "10s"                  # a peer that owes an answer and is silent for so long is lost
"""

APP_PY = '''\
"""What the node of node.toml does: it greets the others, and answers greetings."""

import asyncio

import guthi


async def main(node: guthi.Node) -> None:
    """Called when the node has joined its network; when it returns, the node leaves."""
    node.handle("greet", lambda incoming: f"hello {incoming.value}, this is {node.name}")
    for member in node.members:
        if member.role is guthi.Role.PEER:
            print(await node.request(member, "greet", node.name, timeout_s=5.0))
    await asyncio.Event().wait()  # until Ctrl-C
'''


@click.command
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default=".")
def init(folder: Path) -> None:
    """Write a first node.toml, with a key and an app.

    They go into DIR, by default the current folder. No file is ever overwritten.

    \b
    Example:
      guthi init hello && guthi run hello/node.toml
    """
    node_toml, key, app = folder / "node.toml", folder / "cluster.key", folder / "app.py"
    for path in (node_toml, key, app):
        if path.exists():
            raise UsageError(f"{path} exists already and is not overwritten; choose another folder: guthi init DIR")
    plugins = '"rpc"' if "rpc" in installed_plugins() else ""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_secret(key, f"{ClusterKey.generate(SystemHost().entropy).text()}\n")
        _write_new(node_toml, NODE_TOML.format(plugins=plugins))
        _write_new(app, APP_PY)
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be written: {error.strerror}; choose another folder") from None
    click.echo(f"wrote {node_toml}, {key} and {app}; start the node: guthi run {node_toml}", err=True)


def _write_new(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
