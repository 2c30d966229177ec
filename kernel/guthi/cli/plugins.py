"""`guthi plugins`: which plugins are installed, what each provides and needs, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import click

from guthi.cli.table import print_table
from guthi.errors import PluginError
from guthi.plugins import InstalledPlugin, installed_plugins

__all__ = ["commands_of", "plugins"]


@dataclass(frozen=True, slots=True)
class PluginRow:
    """One plugin as it is shown; `problem` is empty where it can be enabled."""

    name: str
    version: str
    distribution: str
    provides: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    problem: str = ""


@click.command
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def plugins(as_json: bool) -> None:
    """List the installed plugins.

    A node runs those that its [node] plugins names.

    \b
    Example:
      guthi plugins --json
    """
    rows = [_row(plugin) for plugin in installed_plugins().values()]
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows]))
        return
    cells = [
        (row.name, row.version, row.distribution, ", ".join(row.provides), ", ".join(row.requires), row.problem)
        for row in rows
    ]
    print_table(("name", "version", "distribution", "provides", "requires", "problem"), cells)


def commands_of(plugin: InstalledPlugin) -> Sequence[click.Command]:
    """The commands that a plugin brings; raises PluginError with the reason when it cannot be asked."""
    loaded = plugin.load()
    try:
        return tuple(loaded.commands())
    except Exception as error:
        raise PluginError(f"the commands of {plugin.name!r} fail: {type(error).__name__}: {error}") from error


def _row(plugin: InstalledPlugin) -> PluginRow:
    try:
        loaded = plugin.load()
        commands_of(plugin)
    except PluginError as error:
        return PluginRow(plugin.name, plugin.version, plugin.distribution, problem=" ".join(str(error).split()))
    provides = tuple(service.name for service in loaded.provides)
    requires = tuple(service.name for service in loaded.requires)
    return PluginRow(plugin.name, plugin.version, plugin.distribution, provides, requires)
