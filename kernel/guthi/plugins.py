"""Which plugins a node runs, and in which order: found by entry point, enabled by name, sorted by what they need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, ClassVar

from guthi.errors import PluginError
from guthi.services import Service

if TYPE_CHECKING:
    import click

    from guthi.node import Node

__all__ = [
    "ENTRY_POINTS",
    "InstalledPlugin",
    "NoConfig",
    "Plugin",
    "enabled_plugins",
    "installed_plugins",
    "limited",
    "start_order",
]

ENTRY_POINTS = "guthi.plugins"


@dataclass(frozen=True)
class NoConfig:
    """The configuration of a plugin that has none."""


class Plugin:
    """A feature of a node. A subclass names itself, what it needs and what it provides.

    One instance is made for each node. `Config` is a frozen dataclass that the TOML table `[plugins.NAME]` is checked
    against; `hookspecs` a class with hooks that the plugin brings; methods under `@guthi.hookimpl` are called.
    """

    name: ClassVar[str]
    requires: ClassVar[tuple[Service[Any], ...]] = ()
    provides: ClassVar[tuple[Service[Any], ...]] = ()
    hookspecs: ClassVar[type | None] = None
    Config: ClassVar[type] = NoConfig

    def __init__(self, node: Node, config: Any) -> None:
        self.node = node
        self.config = config

    async def run(self, stack: AsyncExitStack) -> None:
        """Start: provide services, handle topics. What is pushed on the stack is undone in reverse order at the end."""

    @classmethod
    def commands(cls) -> Sequence[click.Command]:
        """Subcommands for `guthi`, there whenever the plugin is installed."""
        return ()


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """A plugin that could be enabled."""

    name: str
    entry_point: EntryPoint

    @property
    def distribution(self) -> str:
        """The distribution that brings it."""
        return self.entry_point.dist.name if self.entry_point.dist is not None else ""

    @property
    def version(self) -> str:
        """The version of that distribution."""
        return self.entry_point.dist.version if self.entry_point.dist is not None else ""

    def load(self) -> type[Plugin]:
        """Import the plugin's class; raises PluginError with the reason."""
        try:
            loaded = self.entry_point.load()
        except Exception as error:
            raise PluginError(f"plugin {self.name!r} cannot be imported: {type(error).__name__}: {error}") from error
        if not (isinstance(loaded, type) and issubclass(loaded, Plugin)):
            raise PluginError(f"plugin {self.name!r} names {self.entry_point.value}, which is no guthi.Plugin class")
        own_name = getattr(loaded, "name", "nothing")
        if own_name != self.name:  # the entry point enables it, the class finds its table: two names would go astray
            raise PluginError(f"plugin {self.name!r} calls itself {own_name!r}; entry point and class must agree")
        return loaded


def installed_plugins() -> dict[str, InstalledPlugin]:
    """All plugins of the installed distributions, by name, sorted."""
    found = sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name)
    return {entry.name: InstalledPlugin(entry.name, entry) for entry in found}


def limited(names: Iterable[str], listed: str | None) -> tuple[str, ...]:
    """Those of the named plugins that a list with commas lets be loaded: by their names, or by their distributions'.

    None is no list: all of them. It is the environment's GUTHI_PLUGINS, for debugging.
    """
    if listed is None:
        return tuple(names)
    wanted = {each.strip() for each in listed.split(",")} - {""}
    installed = installed_plugins()
    return tuple(
        name for name in names if name in wanted or (name in installed and installed[name].distribution in wanted)
    )


def enabled_plugins(names: Iterable[str]) -> list[tuple[type[Plugin], str]]:
    """The classes and versions of the named plugins; raises PluginError for one that is not installed."""
    wanted = list(names)
    installed = installed_plugins() if wanted else {}  # reading what is installed takes longer than starting a node
    chosen = []
    for name in wanted:
        if name not in installed:
            close = get_close_matches(name, installed, n=1)
            mend = f"did you mean {close[0]!r}?" if close else f"installed are: {', '.join(installed) or 'none'}"
            raise PluginError(f"plugin {name!r} is not installed; {mend}")
        chosen.append((installed[name].load(), installed[name].version))
    return chosen


def start_order(plugins: Sequence[type[Plugin]]) -> list[type[Plugin]]:
    """Sort so that each plugin comes after those that provide what it requires.

    Otherwise the order stays as it was. Raises PluginError for a missing provider, two providers of one service, two
    plugins of one name, or a cycle.
    """
    providers = _providers(plugins)
    order: list[type[Plugin]] = []
    under_way: list[type[Plugin]] = []

    def visit(plugin: type[Plugin]) -> None:
        if plugin in order:
            return
        if plugin in under_way:
            path = " -> ".join(each.name for each in [*under_way[under_way.index(plugin) :], plugin])
            raise PluginError(f"plugins need each other in a circle: {path}; one must do without the other")
        under_way.append(plugin)
        for service in plugin.requires:
            visit(_provider(plugin, service, providers))
        under_way.pop()
        order.append(plugin)

    for plugin in plugins:
        visit(plugin)
    return order


def _providers(plugins: Sequence[type[Plugin]]) -> dict[str, type[Plugin]]:
    providers: dict[str, type[Plugin]] = {}
    names: set[str] = set()
    for plugin in plugins:
        if plugin.name in names:
            raise PluginError(f"two enabled plugins have the name {plugin.name!r}; enable only one of them")
        names.add(plugin.name)
        for service in plugin.provides:
            other = providers.setdefault(service.name, plugin)
            if other is not plugin:
                raise PluginError(
                    f"plugins {other.name!r} and {plugin.name!r} both provide {service.name!r}; enable only one of them"
                )
    return providers


def _provider(plugin: type[Plugin], service: Service[Any], providers: dict[str, type[Plugin]]) -> type[Plugin]:
    if service.name in providers:
        return providers[service.name]
    could = [each.name for each in installed_plugins().values() if _may_provide(each, service)]
    mend = f"add {could[0]!r} to [node] plugins" if could else "no installed plugin provides it"
    raise PluginError(f"plugin {plugin.name!r} requires the service {service.name!r}; {mend}")


def _may_provide(plugin: InstalledPlugin, service: Service[Any]) -> bool:
    try:
        return any(each.name == service.name for each in plugin.load().provides)
    except PluginError:
        return False
