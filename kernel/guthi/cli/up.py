"""`guthi up`: all nodes of a cluster file as processes of this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from guthi.cli.table import print_table
from guthi.configuration.cluster import Cluster
from guthi.launcher import Launcher, LaunchFailed, NodeProcess
from guthi.runner import run_loop, until_asked_to_end

__all__ = ["up"]

CRASHED = 1  # a node's exit code when an unexpected exception ended it


@click.command
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--nodes", "count", type=click.IntRange(1), help="The first N; beyond the file's, copies of the last.")
@click.pass_context
def up(context: click.Context, file: Path, count: int | None) -> None:
    """Run all nodes of a cluster file here.

    Each is a process of its own. Ctrl-C ends them; else `up` ends when all have. What they write is shown on standard
    error, after their names. The exit code is 1 if one of them failed.

    \b
    Example:
      guthi up cluster.toml --nodes 3
    """
    cluster = Cluster.from_toml(file)
    show = _Show()
    run_loop(until_asked_to_end(_run(cluster.scaled(count) if count is not None else cluster, show)))
    context.exit(1 if show.failures else 0)


class _Show:
    """What the user sees. Lines of the nodes are held back until all are ready, so that the reason stands alone when
    one cannot start."""

    def __init__(self) -> None:
        self.failures = 0
        self._held: list[str] | None = []

    def line(self, text: str) -> None:
        """A line of a node."""
        if self._held is not None:
            self._held.append(text)
        else:
            click.echo(text, err=True)

    def ready(self, launcher: Launcher) -> None:
        """All nodes have joined."""
        rows = [(name, str(child.address), str(child.pid)) for name, child in launcher.processes.items()]
        print_table(("name", "address", "pid"), rows)
        self.release()

    def release(self) -> None:
        """Show what was held back, and hold no more."""
        held, self._held = self._held or [], None
        for text in held:
            self.line(text)

    async def end_of(self, child: NodeProcess) -> None:
        """Wait until one node ends, and tell how."""
        await child.wait()
        self.failures += child.returncode != 0
        click.echo(f"guthi: node {child.name} {child.fate}; the others go on", err=True)


async def _run(cluster: Cluster, show: _Show) -> None:
    async with Launcher(echo=show.line) as launcher:
        try:
            await launcher.start(cluster)
        except LaunchFailed as failure:
            if (child := launcher.processes.get(failure.name)) is not None and child.returncode == CRASHED:
                show.release()  # it has a traceback to show
            raise
        show.ready(launcher)
        async with asyncio.TaskGroup() as group:
            for child in launcher.processes.values():
                group.create_task(show.end_of(child))
