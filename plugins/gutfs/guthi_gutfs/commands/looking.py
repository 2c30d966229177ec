"""The commands that look: `ls`, `tree`, `cat`, `watch`, `nodes` and `cache`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from guthi_gutfs.commands.network import Network, on_network
from guthi_gutfs.commands.printing import as_json_option, show, show_json
from guthi_gutfs.information import ExporterInfo, FileInfo
from guthi_gutfs.service import Gutfs
from guthi_gutfs.shown import as_json, cells, drawn, size_in_words, told_as_json, told_as_line

__all__ = ["cache", "list_folder", "nodes", "show_content", "show_tree", "watch"]


@click.command("ls")
@on_network
@click.argument("path", default="/")
@as_json_option
def list_folder(network: Network, path: str, is_json: bool) -> None:
    """List what is in the folder PATH, or the file of that name.

    \b
    Example:
      guthi fs ls /photos
    """
    found = network.run(lambda tree: _listed(tree, path))
    show(is_json, found, as_json, ("name", "size", "modified", "nodes"), cells)


async def _listed(tree: Gutfs, path: str) -> list[FileInfo]:
    info = await tree.stat(path)
    return await tree.list(path) if info.is_folder else [info]


@click.command("tree")
@on_network
@click.argument("path", default="/")
@as_json_option
def show_tree(network: Network, path: str, is_json: bool) -> None:
    """Show all that is below the folder PATH.

    \b
    Example:
      guthi fs tree /photos
    """

    async def walked(tree: Gutfs) -> list[FileInfo]:
        return [each async for each in tree.walk(path)]

    found = network.run(walked)
    if is_json:
        show_json(found, as_json)
        return
    for line in drawn(path, found):
        click.echo(line)


@click.command("cat")
@on_network
@click.argument("path")
def show_content(network: Network, path: str) -> None:
    """Write the content of the file PATH to standard output.

    \b
    Example:
      guthi fs cat /notes/todo.txt
    """

    async def copied(tree: Gutfs) -> None:
        async for data in tree.chunks(path):
            sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    network.run(copied)


@click.command("watch")
@on_network
@click.argument("path", default="/")
@as_json_option
def watch(network: Network, path: str, is_json: bool) -> None:
    """Print each change at or below PATH until Ctrl-C.

    \b
    Example:
      guthi fs watch /photos
    """

    async def watched(tree: Gutfs) -> None:
        changes = tree.watch(path)
        await changes.started()
        click.echo(f"watching {path}", err=True)
        async for each in changes:
            click.echo(json.dumps(told_as_json(each)) if is_json else told_as_line(each))

    network.run(watched)


@click.command("nodes")
@on_network
@as_json_option
def nodes(network: Network, is_json: bool) -> None:
    """List who exports what, and how far their clocks are ahead.

    \b
    Example:
      guthi fs nodes
    """
    found = network.run(lambda tree: tree.nodes())
    exporting = [each for each in found if is_json or each.exports]
    show(is_json, exporting, _exporter_as_json, ("name", "exports", "clock"), _exporter_cells)


def _exporter_as_json(each: ExporterInfo) -> dict[str, Any]:
    return {"name": each.name, "exports": dict(each.exports), "clock": each.clock_offset_s}


def _exporter_cells(each: ExporterInfo) -> Sequence[str]:
    clock = f"{each.clock_offset_s:+.3f} s" if each.clock_offset_s is not None else ""
    return each.name, ", ".join(f"{at} ({word})" for at, word in each.exports), clock


@click.command("cache")
@on_network
@as_json_option
def cache(network: Network, is_json: bool) -> None:
    """Show what the nodes have in their caches.

    \b
    Example:
      guthi fs cache
    """
    found = network.run(lambda tree: tree.caches())
    show(
        is_json,
        list(found.items()),
        lambda each: {"name": each[0], **each[1]},
        ("name", "chunks", "memory", "disk", "pinned", "hits", "misses"),
        _cache_cells,
    )


def _cache_cells(each: tuple[str, Mapping[str, int]]) -> Sequence[str]:
    name, usage = each
    sizes = [size_in_words(usage[key]) for key in ("memory_bytes", "disk_bytes")]
    return name, str(usage["chunks"]), *sizes, *(str(usage[key]) for key in ("pinned", "hits", "misses"))
