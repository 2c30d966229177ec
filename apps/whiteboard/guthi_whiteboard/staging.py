"""How the demo's nodes come to be: a file and a folder each, processes of this machine, and where their pages are."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import guthi
from guthi import Address, Config
from guthi.configuration.cluster import Cluster
from guthi.configuration.config import NodeConfig
from guthi.errors import UsageError
from guthi_web.plugin import WHERE

__all__ = ["NAMES", "NODE_FILE", "command", "pages", "write_cluster"]

NAMES: Final = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi")
PATIENCE_S: Final = 20.0

NODE_FILE: Final = """\
# A node of the whiteboard. Start it with: guthi run {name}.toml
# For several machines: listen = "0.0.0.0:6969", join = ["10.0.0.5:6969"], and a key from `guthi keygen` in [security].
[node]
name = "{name}"
listen = "127.0.0.1:0"
data_dir = "{name}/node"
plugins = ["web", "gutfs", "health", "whiteboard"]

# Each node has all boards on its own disk: an export with `sync` is the same on all nodes.
[plugins.gutfs]
exports = ["./{name}/boards:/whiteboards:sync"]

# A page for each node. Port 0: the system chooses; write another one for a place that can be bookmarked.
[plugins.web]
listen = "127.0.0.1:0"

# Who dies is missed within about two seconds.
[plugins.health]
detector = "swim"

[transport]
keepalive = "500ms"
timeout = "2s"
"""


def write_cluster(folder: Path, count: int) -> Cluster:
    """The files and folders of so many nodes; those that are there already are used as they are. Raises UsageError."""
    try:
        for name in NAMES[:count]:
            (folder / name / "boards").mkdir(parents=True, exist_ok=True)
            file = folder / f"{name}.toml"
            if not file.exists():
                file.write_text(NODE_FILE.format(name=name), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder} cannot be used: {error.strerror or error}; name another with --folder") from None
    nodes = tuple(Config.from_toml(folder / f"{name}.toml") for name in NAMES[:count])
    return Cluster(nodes, folder, "whiteboard")


def command(config: Config, join: Sequence[Address]) -> list[str]:
    """The command line of one node."""
    run = [sys.executable, "-m", "guthi", "run", str(config.source), "--supervised"]
    return run + [word for address in join for word in ("--join", str(address))]


async def pages(addresses: Sequence[Address], names: Sequence[str], like: Config) -> list[str]:
    """Where the page of each node is, asked of the nodes."""
    me = NodeConfig(name="demo", role="client", join=tuple(addresses), plugins=())
    async with guthi.Node(Config(node=me, transport=like.transport)) as node, asyncio.timeout(PATIENCE_S):
        while not {member.name for member in node.members}.issuperset(names):
            await asyncio.sleep(0.05)
        answers = [await node.request(name, WHERE, None) for name in names]
    return [f"{url}whiteboard" for url, _ in answers]
