"""`guthi plugins`: which plugins are installed and enabled, what each brings and needs, and what is wrong with it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from guthi.cli.client import DEFAULT_CONFIG
from guthi.cli.table import print_table
from guthi.configuration.config import Config
from guthi.errors import ConfigError, PluginError
from guthi.hooks import KernelHooks, implemented_hooks, specified_hooks
from guthi.plugins import InstalledPlugin, Plugin, installed_plugins, limited

__all__ = ["commands_of", "plugins"]

TITLES = ("name", "version", "distribution", "enabled", "provides", "requires", "hooks", "problem")
KERNEL_HOOKS = frozenset(specified_hooks(KernelHooks))
UNLISTED = "not loaded, as GUTHI_PLUGINS does not list it"


@dataclass(frozen=True, slots=True)
class PluginRow:
    """One plugin as it is shown; `enabled` is None without a node file, `problem` empty where there is none.

    `hooks` are those that it implements, not those that it brings.
    """

    name: str
    version: str = ""
    distribution: str = ""
    enabled: bool | None = None
    provides: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    problem: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """In the order of TITLES."""
        enabled = "" if self.enabled is None else "yes" if self.enabled else "no"
        others = [hook for hook in self.hooks if hook not in KERNEL_HOOKS]
        kernels = len(self.hooks) - len(others)
        hooks = [*others, *([f"{kernels} of the kernel"] if kernels else [])]
        lists = (", ".join(names) for names in (self.provides, self.requires, hooks))
        return (self.name, self.version, self.distribution, enabled, *lists, self.problem)


@click.command
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="A node file, which says what is enabled; node.toml, where there is one here.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def plugins(config_file: Path | None, as_json: bool) -> None:
    """List the installed plugins, and their problems.

    A node runs those that its [node] plugins names; what is wrong among these is found with its file.

    \b
    Example:
      guthi plugins --config node.toml
    """
    if config_file is None and DEFAULT_CONFIG.exists():
        config_file = DEFAULT_CONFIG
    rows = list(_rows(Config.from_toml(config_file) if config_file is not None else None))
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows]))
    else:
        print_table(TITLES, [row.cells for row in rows])


def commands_of(plugin: InstalledPlugin) -> Sequence[click.Command]:
    """The commands that a plugin brings; raises PluginError with the reason when it cannot be asked."""
    loaded = plugin.load()
    try:
        return tuple(loaded.commands())
    except Exception as error:
        raise PluginError(f"the commands of {plugin.name!r} fail: {type(error).__name__}: {error}") from error


def _rows(config: Config | None) -> Iterator[PluginRow]:
    installed = installed_plugins()
    listed = limited(installed, os.environ.get("GUTHI_PLUGINS"))
    loaded = {name: _load(installed[name]) for name in listed}
    classes = {name: each for name, each in loaded.items() if not isinstance(each, str)}
    for name, plugin in installed.items():
        enabled = name in config.node.plugins if config is not None else None
        row = PluginRow(name, plugin.version, plugin.distribution, enabled)
        found = loaded.get(name, UNLISTED)
        yield _described(row, found, classes, config) if not isinstance(found, str) else _with(row, problem=found)
    for name in config.node.plugins if config is not None else ():
        if name not in installed:
            yield PluginRow(name, enabled=True, problem="not installed")


def _load(plugin: InstalledPlugin) -> type[Plugin] | str:
    """Its class, or why there is none."""
    try:
        commands_of(plugin)
        return plugin.load()
    except PluginError as error:
        return " ".join(str(error).split())


def _with(row: PluginRow, **changes: object) -> PluginRow:
    return PluginRow(**{**asdict(row), **changes})


def _described(
    row: PluginRow, plugin: type[Plugin], classes: Mapping[str, type[Plugin]], config: Config | None
) -> PluginRow:
    problems = [*_unprovided(plugin, classes, config), *_uncalled(plugin, classes, config)]
    if row.enabled and config is not None:
        try:
            config.plugin_config(plugin.name, plugin.Config)
        except ConfigError as error:
            problems.append(str(error))
    return _with(
        row,
        provides=tuple(service.name for service in plugin.provides),
        requires=tuple(service.name for service in plugin.requires),
        hooks=tuple(implemented_hooks(plugin)),
        problem="; ".join(problems),
    )


def _unprovided(plugin: type[Plugin], classes: Mapping[str, type[Plugin]], config: Config | None) -> Iterator[str]:
    """Services that it requires and nobody provides; of an enabled plugin, nobody who is enabled."""
    for service in plugin.requires:
        providers = [name for name, each in classes.items() if service.name in {known.name for known in each.provides}]
        yield from _lacking(f"requires the service {service.name!r}", "provides", plugin, providers, config)


def _uncalled(plugin: type[Plugin], classes: Mapping[str, type[Plugin]], config: Config | None) -> Iterator[str]:
    """Hooks that it implements and nobody brings, most often misspelt; they keep a node from starting."""
    for hook in implemented_hooks(plugin, optional=False):
        if hook in KERNEL_HOOKS:
            continue
        bringers = [name for name, each in classes.items() if hook in specified_hooks(each.hookspecs)]
        yield from _lacking(f"implements the hook {hook!r}", "brings", plugin, bringers, config)


def _lacking(
    want: str, verb: str, plugin: type[Plugin], sources: Sequence[str], config: Config | None
) -> Iterator[str]:
    """What is to be done about a want, if there is something to be done."""
    if not sources:
        yield f"{want}, which no plugin {verb} that is loaded here"
    elif config is not None and plugin.name in config.node.plugins and not set(sources) & {*config.node.plugins}:
        yield f"{want}; add {sources[0]!r} to [node] plugins"
