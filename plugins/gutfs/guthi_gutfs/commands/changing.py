"""The commands that change names, and decide conflicts: `rm`, `mkdir`, `mv`, `conflicts` and `resolve`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click

from guthi_gutfs.commands.network import Network, on_network
from guthi_gutfs.commands.printing import as_json_option, show
from guthi_gutfs.conflicts.listing import Conflict, Keep
from guthi_gutfs.shown import moment

__all__ = ["list_conflicts", "make_folder", "move", "remove", "resolve"]


@click.command("rm")
@on_network
@click.argument("path")
@click.option("--recursive", is_flag=True, help="A folder with all that is in it.")
def remove(network: Network, path: str, recursive: bool) -> None:
    """Delete the file PATH, or the empty folder.

    \b
    Example:
      guthi fs rm /photos/cat.png
    """
    network.run(lambda tree: tree.delete(path, recursive=recursive))


@click.command("mkdir")
@on_network
@click.argument("path")
@click.option("--parents", is_flag=True, help="Also the folders that it is in; nothing is wrong if it is there.")
def make_folder(network: Network, path: str, parents: bool) -> None:
    """Make the folder PATH.

    \b
    Example:
      guthi fs mkdir /photos/cats
    """
    network.run(lambda tree: tree.mkdir(path, parents=parents))


@click.command("mv")
@on_network
@click.argument("path")
@click.argument("to")
@click.option("--replace", is_flag=True, help="A file that is there already.")
def move(network: Network, path: str, to: str, replace: bool) -> None:
    """Give the file or folder PATH the path TO, on the same node.

    \b
    Example:
      guthi fs mv /photos/cat.png /photos/dog.png
    """
    network.run(lambda tree: tree.rename(path, to, replace=replace))


@click.command("conflicts")
@on_network
@click.argument("path", default="/")
@as_json_option
def list_conflicts(network: Network, path: str, is_json: bool) -> None:
    """List the copies below PATH that were kept because two writes knew not of each other.

    \b
    Example:
      guthi fs conflicts
    """
    found = network.run(lambda tree: tree.conflicts(path))
    show(is_json, found, asdict, ("path", "copy", "writer", "modified", "nodes"), _cells)


def _cells(each: Conflict) -> Sequence[str]:
    return each.path, each.copy, each.writer, moment(each.modified_s), ", ".join(each.nodes)


@click.command("resolve")
@on_network
@click.argument("copy")
@click.option("--keep", type=click.Choice(["original", "copy"]), required=True, help="Which of the two is to stay.")
def resolve(network: Network, copy: str, keep: Keep) -> None:
    """Decide the conflict that COPY was kept for.

    \b
    Example:
      guthi fs resolve /notes/todo.conflict-bob-20300101-000012.txt --keep copy
    """
    network.run(lambda tree: tree.resolve(copy, keep=keep))
