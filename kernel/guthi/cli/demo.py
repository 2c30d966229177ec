"""`guthi demo NAME`: the demonstrations that installed apps bring in the entry-point group `guthi.demos`."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

import click

from guthi.cli.groups import SuggestingGroup
from guthi.errors import PluginError

__all__ = ["ENTRY_POINTS", "demo"]

ENTRY_POINTS = "guthi.demos"


class Demos(SuggestingGroup):
    """Lists the demos without importing one."""

    noun = "demo"

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_installed())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = _installed().get(cmd_name)
        return _load(entry) if entry is not None else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Demos"):
            rows = [(name, f"of {entry.dist.name}" if entry.dist else "") for name, entry in _installed().items()]
            formatter.write_dl(sorted(rows) or [("none", "no installed distribution brings a demo")])


def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}


def _load(entry: EntryPoint) -> click.Command:
    try:
        loaded = entry.load()
    except Exception as error:
        raise PluginError(f"demo {entry.name!r} cannot be imported: {type(error).__name__}: {error}") from error
    if not isinstance(loaded, click.Command):
        raise PluginError(f"demo {entry.name!r} names {entry.value}, which is no click command")
    return loaded


@click.group(cls=Demos, invoke_without_command=True)
@click.pass_context
def demo(context: click.Context) -> None:
    """Run a demonstration, or list them.

    \b
    Example:
      guthi demo mandelbrot
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
