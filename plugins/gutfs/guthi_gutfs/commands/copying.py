"""The commands that copy between the tree and this machine's disk, with a progress bar: `get` and `put`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from guthi_gutfs.commands.network import Network, on_network
from guthi_gutfs.service import Gutfs
from guthi_gutfs.shown import size_in_words

__all__ = ["fetch", "store"]


@click.command("get")
@on_network
@click.argument("path")
@click.argument("file", type=click.Path(path_type=Path), required=False)
def fetch(network: Network, path: str, file: Path | None) -> None:
    """Copy the file PATH of the network to FILE, or into the folder FILE; else into the current folder.

    \b
    Example:
      guthi fs get /photos/cat.png
    """

    async def copied(tree: Gutfs) -> None:
        info = await tree.stat(path)
        target = Path() if file is None else file
        target = target / info.name.partition("@")[0] if target.is_dir() else target
        with progress_of(info.name, info.size_bytes) as advance:
            await tree.get(path, target, progress=advance)
        click.echo(f"{target}: {size_in_words(info.size_bytes)}", err=True)

    network.run(copied)


@click.command("put")
@on_network
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("path")
def store(network: Network, file: Path, path: str) -> None:
    """Copy FILE to PATH in the network; if that is a folder, into it.

    \b
    Example:
      guthi fs put cat.png /photos
    """

    async def copied(tree: Gutfs) -> None:
        target = path
        if await tree.exists(path) and (await tree.stat(path)).is_folder:
            target = f"{path}/{file.name}"
        with progress_of(file.name, file.stat().st_size) as advance:
            written = await tree.put(file, target, progress=advance)
        click.echo(f"{written.entry.path}: {size_in_words(written.entry.size_bytes)}", err=True)

    network.run(copied)


@contextmanager
def progress_of(name: str, size_bytes: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=size_bytes)
        yield lambda more: progress.advance(task, more)
