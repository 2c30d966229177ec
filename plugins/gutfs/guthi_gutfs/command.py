"""`guthi fs`: the file tree of a network from the command line."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

import guthi
from guthi.cli import client_config, client_options, print_table
from guthi.cli.groups import SuggestingGroup
from guthi.runner import run_loop
from guthi_gutfs.conflicts.listing import Keep
from guthi_gutfs.errors import SourceGone
from guthi_gutfs.information import FileInfo
from guthi_gutfs.service import GUTFS, Gutfs
from guthi_gutfs.shown import as_json, cells, drawn, moment, size_in_words, told_as_json, told_as_line

__all__ = ["fs"]

C = TypeVar("C", bound=Callable[..., Any])
T = TypeVar("T")

TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h

as_json_option = click.option("--json", "is_json", is_flag=True, help="Print JSON.")


@click.group(cls=SuggestingGroup)
def fs() -> None:
    """Look at, read, write and watch the files of a network.

    \b
    Example:
      guthi fs ls /photos --join 127.0.0.1:6969
    """


@dataclass(frozen=True, slots=True)
class Network:
    """Which network a command is for."""

    join: Sequence[guthi.Address]
    config_file: Path | None
    timeout_s: float

    def run(self, work: Callable[[Gutfs], Awaitable[T]]) -> T:
        """Join as a client, do the work, and leave."""
        try:
            return run_loop(self._run(work))
        except (SourceGone, guthi.DeadlineExceeded, guthi.PeerLost) as error:
            click.echo(f"guthi: {error}", err=True)
            raise click.exceptions.Exit(TRY_AGAIN) from None
        except guthi.GuthiError:
            raise
        except OSError as error:  # of this machine's disk
            raise guthi.UsageError(str(error)) from error

    def config(self) -> guthi.Config:
        """That of a client of it."""
        return client_config(self.join, self.config_file, self.timeout_s, plugins=["gutfs"])

    async def _run(self, work: Callable[[Gutfs], Awaitable[T]]) -> T:
        async with self._joined() as tree:
            return await work(tree)

    @asynccontextmanager
    async def _joined(self) -> AsyncIterator[Gutfs]:
        async with guthi.Node(self.config()) as node:
            tree = node.require(GUTFS)
            try:
                async with asyncio.timeout(self.timeout_s):
                    await tree.synced()
            except TimeoutError:
                raise guthi.DeadlineExceeded(f"no node has told within {self.timeout_s:g} s who exports what") from None
            yield tree


def on_network(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which network it is for, as one argument."""

    @client_options
    @click.pass_context
    def with_network(
        context: click.Context,
        /,
        join: Sequence[guthi.Address],
        config_file: Path | None,
        timeout_s: float,
        **arguments: Any,
    ) -> None:
        context.invoke(command, network=Network(join, config_file, timeout_s), **arguments)

    with_network.__name__, with_network.__doc__ = command.__name__, command.__doc__
    with_network.__click_params__ = [  # type: ignore[attr-defined]
        *with_network.__click_params__,  # type: ignore[attr-defined]
        *getattr(command, "__click_params__", []),
    ]
    return with_network


@fs.command("ls")
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
    if is_json:
        click.echo(json.dumps([as_json(each) for each in found]))
    else:
        print_table(("name", "size", "modified", "nodes"), [cells(each) for each in found])


async def _listed(tree: Gutfs, path: str) -> list[FileInfo]:
    info = await tree.stat(path)
    return await tree.list(path) if info.is_folder else [info]


@fs.command("tree")
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
        click.echo(json.dumps([as_json(each) for each in found]))
        return
    for line in drawn(path, found):
        click.echo(line)


@fs.command("cat")
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


@fs.command("get")
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


@fs.command("put")
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


@fs.command("rm")
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


@fs.command("mkdir")
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


@fs.command("mv")
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


@fs.command("watch")
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


@fs.command("conflicts")
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
    if is_json:
        click.echo(json.dumps([asdict(each) for each in found]))
        return
    rows = [(each.path, each.copy, each.writer, moment(each.modified_s), ", ".join(each.nodes)) for each in found]
    print_table(("path", "copy", "writer", "modified", "nodes"), rows)


@fs.command("resolve")
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


@fs.command("nodes")
@on_network
@as_json_option
def nodes(network: Network, is_json: bool) -> None:
    """List who exports what, and how far their clocks are ahead.

    \b
    Example:
      guthi fs nodes
    """
    found = network.run(lambda tree: tree.nodes())
    if is_json:
        click.echo(
            json.dumps(
                [{"name": each.name, "exports": dict(each.exports), "clock": each.clock_offset_s} for each in found]
            )
        )
        return
    rows = [
        (each.name, ", ".join(f"{at} ({word})" for at, word in each.exports), _offset(each.clock_offset_s))
        for each in found
        if each.exports
    ]
    print_table(("name", "exports", "clock"), rows)


def _offset(offset_s: float | None) -> str:
    return f"{offset_s:+.3f} s" if offset_s is not None else ""


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


@fs.command("cache")
@on_network
@as_json_option
def cache(network: Network, is_json: bool) -> None:
    """Show what the nodes have in their caches.

    \b
    Example:
      guthi fs cache
    """
    found = network.run(lambda tree: tree.caches())
    if is_json:
        click.echo(json.dumps([{"name": name, **usage} for name, usage in found.items()]))
        return
    rows = [
        (
            name,
            str(usage["chunks"]),
            size_in_words(usage["memory_bytes"]),
            size_in_words(usage["disk_bytes"]),
            str(usage["pinned"]),
            str(usage["hits"]),
            str(usage["misses"]),
        )
        for name, usage in found.items()
    ]
    print_table(("name", "chunks", "memory", "disk", "pinned", "hits", "misses"), rows)


@contextmanager
def progress_of(name: str, size_bytes: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=size_bytes)
        yield lambda more: progress.advance(task, more)
