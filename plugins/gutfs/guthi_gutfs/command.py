"""`guthi fs`: the file tree of a network from the command line."""

from __future__ import annotations

from pathlib import Path

import click

import guthi
from guthi.cli.groups import SuggestingGroup
from guthi_gutfs.commands.changing import list_conflicts, make_folder, move, remove, resolve
from guthi_gutfs.commands.copying import fetch, store
from guthi_gutfs.commands.looking import cache, list_folder, nodes, show_content, show_tree, watch
from guthi_gutfs.commands.network import Network, on_network
from guthi_gutfs.service import GUTFS

__all__ = ["fs"]


@click.group(cls=SuggestingGroup)
def fs() -> None:
    """Look at, read, write and watch the files of a network.

    \b
    Example:
      guthi fs ls /photos --join 127.0.0.1:6969
    """


@fs.command("mount")
@on_network
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def mount_tree(network: Network, folder: Path) -> None:
    """Show the tree in FOLDER until Ctrl-C. It needs `pip install "guthi-gutfs[fuse]"` and the system's libfuse 2.

    \b
    Example:
      guthi fs mount /mnt/guthi
    """
    from guthi_gutfs.faces.mount import mount

    with guthi.BlockingNode(network.config()) as node:
        tree = node.require(GUTFS)
        tree.synced()
        click.echo(f"mounted at {folder}", err=True)
        mount(tree, folder)


for command in (list_folder, show_tree, show_content, watch, nodes, cache):
    fs.add_command(command)
for command in (fetch, store, remove, make_folder, move, list_conflicts, resolve):
    fs.add_command(command)
