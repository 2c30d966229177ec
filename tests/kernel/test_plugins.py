"""Which plugins are loaded, in which order they start, and what is said when that cannot be."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from guthi import plugins
from guthi.errors import PluginError
from guthi.plugins import InstalledPlugin, Plugin, enabled_plugins, installed_plugins, start_order
from guthi.services import Service

STORE: Service[Any] = Service("store")
CACHE: Service[Any] = Service("cache")


class Store(Plugin):
    name = "store"
    provides = (STORE,)


class Cache(Plugin):
    name = "cache"
    requires = (STORE,)
    provides = (CACHE,)


class App(Plugin):
    name = "app"
    requires = (CACHE, STORE)


class Loner(Plugin):
    name = "loner"


class Misnamed(Plugin):
    name = "other"


def test_providers_start_before_those_that_need_them() -> None:
    assert start_order([App, Loner, Cache, Store]) == [Store, Cache, App, Loner]
    assert start_order([Store, Loner, Cache, App]) == [Store, Loner, Cache, App]
    assert start_order([]) == []


def test_a_circle_is_shown_as_one() -> None:
    class Egg(Plugin):
        name = "egg"
        requires = (STORE,)
        provides = (CACHE,)

    class Hen(Plugin):
        name = "hen"
        requires = (CACHE,)
        provides = (STORE,)

    with pytest.raises(PluginError, match="egg -> hen -> egg"):
        start_order([Egg, Hen])


def test_two_plugins_of_one_name_or_of_one_service() -> None:
    class Rival(Plugin):
        name = "rival"
        provides = (STORE,)

    with pytest.raises(PluginError, match="'store' and 'rival' both provide 'store'"):
        start_order([Store, Rival])
    with pytest.raises(PluginError, match="two enabled plugins have the name 'store'"):
        start_order([Store, Store])


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What pretends to be installed: the plugins' names and where their classes are."""
    values: dict[str, str] = {}

    def entries(group: str) -> list[EntryPoint]:
        assert group == plugins.ENTRY_POINTS
        return [EntryPoint(name, value, group) for name, value in values.items()]

    monkeypatch.setattr(plugins, "entry_points", entries)
    return values


def test_a_missing_provider_names_the_plugin_that_would_do(installed: dict[str, str]) -> None:
    with pytest.raises(PluginError, match="'cache' requires the service 'store'; no installed plugin provides it"):
        start_order([Cache])
    installed["broken"] = "no_such_module:Plugin"
    installed["store"] = f"{__name__}:Store"
    with pytest.raises(PluginError, match=r"requires the service 'store'; add 'store' to \[node\] plugins"):
        start_order([Cache])


def test_only_named_plugins_are_imported(installed: dict[str, str]) -> None:
    installed.update(store=f"{__name__}:Store", broken="no_such_module:Plugin")
    assert [cls for cls, _ in enabled_plugins(["store"])] == [Store]
    assert list(installed_plugins()) == ["broken", "store"]


def test_an_unknown_name_gets_a_suggestion(installed: dict[str, str]) -> None:
    with pytest.raises(PluginError, match="'stor' is not installed; installed are: none"):
        enabled_plugins(["stor"])
    installed["store"] = f"{__name__}:Store"
    with pytest.raises(PluginError, match="'stor' is not installed; did you mean 'store'"):
        enabled_plugins(["stor"])


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("gone", "no_such_module:Plugin", "cannot be imported: ModuleNotFoundError"),
        ("gone", "json:Plugin", "cannot be imported: AttributeError"),
        ("store", "json:loads", "is no guthi.Plugin class"),
        ("store", "builtins:dict", "is no guthi.Plugin class"),
        ("mine", f"{__name__}:Misnamed", "calls itself 'other'"),
        ("mine", "guthi.plugins:Plugin", "calls itself 'nothing'"),
    ],
)
def test_what_is_no_plugin_is_refused_with_the_reason(name: str, value: str, problem: str) -> None:
    with pytest.raises(PluginError, match=problem):
        InstalledPlugin(name, EntryPoint(name, value, plugins.ENTRY_POINTS)).load()
