"""`guthi demo whiteboard`: three nodes, three pages, until Ctrl-C."""

from __future__ import annotations

import asyncio
import tempfile
import webbrowser
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import quote

import click

from guthi.errors import UsageError
from guthi.launcher import Launcher, NodeProcess
from guthi.runner import run_loop, until_asked_to_end
from guthi_whiteboard.names import board_name
from guthi_whiteboard.staging import NAMES, command, pages, write_cluster

__all__ = ["demo"]

READY_S = 60.0  # three nodes that start at once, on a small machine


def _board(_context: click.Context, _option: click.Parameter, text: str) -> str:
    try:
        return board_name(text)
    except UsageError as error:
        raise click.BadParameter(str(error)) from error


@click.command
@click.option("--nodes", type=click.IntRange(1, len(NAMES)), default=3, show_default=True, help="Processes to start.")
@click.option("--board", callback=_board, default="sketch", show_default=True, help="The board to open.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the nodes and their boards here; without it they go when the demo ends.",
)
@click.option(
    "--open/--print", "opens", default=None, help="Open the pages in a browser, or only print where they are."
)
def demo(nodes: int, board: str, folder: Path | None, opens: bool | None) -> None:
    """Draw together on several nodes, each a process of its own on this machine, until Ctrl-C.

    \b
    Examples:
      guthi demo whiteboard
      guthi demo whiteboard --nodes 5 --board plans --folder boards
    """
    with ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="guthi-whiteboard-")))
        with suppress(KeyboardInterrupt):  # Windows, or before the loop hears signals
            run_loop(until_asked_to_end(_serve(place, nodes, board, _has_browser() if opens is None else opens)))


def _has_browser() -> bool:
    try:
        return not isinstance(webbrowser.get(), webbrowser.GenericBrowser)  # a browser in the terminal is of no use
    except webbrowser.Error:
        return False


async def _serve(folder: Path, count: int, board: str, opens: bool) -> None:
    """Run the nodes until cancelled, or until all have ended."""
    cluster = write_cluster(folder, count)
    async with Launcher(command=command, ready_timeout_s=READY_S) as launcher:
        await launcher.start(cluster)
        nodes = list(launcher.processes.values())
        addresses = [node.address for node in nodes if node.address is not None]
        urls = await pages(addresses, [node.name for node in nodes], cluster.nodes[0])
        for node, url in zip(nodes, urls, strict=True):
            page = f"{url}#{quote(board)}"
            click.echo(f"{node.name}  {page}  (pid {node.pid})")
            if opens:
                await asyncio.to_thread(webbrowser.open, page)
        click.echo("draw on one page, see it on the others; kill a node if you like. Ctrl-C ends it")
        await asyncio.gather(*(_told(node) for node in nodes))
        raise UsageError("all nodes have ended")


async def _told(node: NodeProcess) -> None:
    await node.wait()
    click.echo(f"{node.name} {node.fate}; the others go on")
