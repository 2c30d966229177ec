"""`guthi plugins` and GUTHI_PLUGINS: what is enabled by a node file, what is wrong with it, what is loaded at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import click
import pytest

import guthi
from guthi import plugins as plugin_module
from guthi.cli.program import execute
from guthi.plugins import Plugin, limited

STORE: guthi.Service[object] = guthi.Service("store")


class StoreHooks:
    """Of the plugin store."""

    @guthi.hookspec
    def stored(self, key: str) -> None:
        """Something has been stored."""


class Store(Plugin):
    """Provides a service and a hook."""

    name = "store"
    provides = (STORE,)
    hookspecs = StoreHooks

    @dataclass(frozen=True)
    class Config:
        """Its table."""

        size: int = 1

    @classmethod
    def commands(cls) -> Sequence[click.Command]:
        return [click.Command("stock")]


class Shop(Plugin):
    """Needs both."""

    name = "shop"
    requires = (STORE,)

    @guthi.hookimpl
    def stored(self, key: str) -> None:
        """Implemented."""

    @guthi.hookimpl
    def member_left(self, member: guthi.Member) -> None:
        """Of the kernel."""


class Slip(Plugin):
    """Implements a hook that is misspelt, and one that it can do without."""

    name = "slip"

    @guthi.hookimpl
    def member_jioned(self, member: guthi.Member) -> None:
        """Misspelt."""

    @guthi.hookimpl(optionalhook=True)
    def painted(self) -> None:
        """Nobody has to call it."""


Listing = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture
def listing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Listing:
    """What `guthi plugins --json` says, by the plugins' names, where store, shop and slip are installed."""
    values = {each.name: f"{__name__}:{each.__name__}" for each in (Store, Shop, Slip)}
    monkeypatch.setattr(
        plugin_module, "entry_points", lambda group: [EntryPoint(*each, group) for each in values.items()]
    )
    monkeypatch.delenv("GUTHI_PLUGINS", raising=False)
    monkeypatch.chdir(tmp_path)

    def listing(*arguments: str) -> dict[str, dict[str, Any]]:
        assert execute(["plugins", "--json", *arguments]) == 0
        return {row["name"]: row for row in json.loads(capsys.readouterr().out)}

    return listing


def node_file(folder: Path, plugins: Sequence[str], tables: str = "", name: str = "node.toml") -> str:
    (folder / name).write_text(f"[node]\nplugins = {json.dumps(plugins)}\n{tables}")
    return str(folder / name)


def test_without_a_node_file_nothing_is_said_of_being_enabled(listing: Listing) -> None:
    rows = listing()
    assert {row["enabled"] for row in rows.values()} == {None}
    assert (rows["store"]["provides"], rows["shop"]["requires"]) == (["store"], ["store"])
    assert rows["shop"]["hooks"] == ["member_left", "stored"]
    assert rows["shop"]["problem"] == ""  # whether its provider is enabled is not known


def test_a_hook_that_nobody_brings_is_a_problem_unless_it_is_optional(listing: Listing) -> None:
    row = listing()["slip"]
    assert row["hooks"] == ["member_jioned", "painted"]
    assert row["problem"] == "implements the hook 'member_jioned', which no plugin brings that is loaded here"


def test_the_node_file_of_this_folder_says_what_is_enabled(listing: Listing, tmp_path: Path) -> None:
    node_file(tmp_path, ["store", "shop"])
    rows = listing()
    assert {name: row["enabled"] for name, row in rows.items()} == {"store": True, "shop": True, "slip": False}
    assert rows["shop"]["problem"] == rows["store"]["problem"] == ""
    other = node_file(tmp_path, ["store"], name="other.toml")
    assert listing("--config", other)["shop"]["enabled"] is False


def test_a_provider_that_is_not_enabled_is_named(listing: Listing, tmp_path: Path) -> None:
    node_file(tmp_path, ["shop"])
    assert listing()["shop"]["problem"] == (
        "requires the service 'store'; add 'store' to [node] plugins; "
        "implements the hook 'stored'; add 'store' to [node] plugins"
    )


def test_what_is_named_and_not_installed_has_a_row(listing: Listing, tmp_path: Path) -> None:
    node_file(tmp_path, ["stroe"])
    row = listing()["stroe"]
    assert (row["enabled"], row["version"], row["problem"]) == (True, "", "not installed")


def test_a_wrong_table_is_a_problem_of_its_plugin(listing: Listing, tmp_path: Path) -> None:
    node_file(tmp_path, ["store"], '[plugins.store]\nsize = "big"\n')
    assert "size" in listing()["store"]["problem"]


def test_a_node_file_that_cannot_be_read_ends_it(
    listing: Listing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["plugins", "--config", str(tmp_path / "nothing.toml")]) == 2
    assert "nothing.toml" in capsys.readouterr().err


def test_guthi_plugins_limits_what_is_loaded(
    listing: Listing, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node_file(tmp_path, ["store", "shop"])
    monkeypatch.setenv("GUTHI_PLUGINS", " shop , ")
    rows = listing()
    assert rows["store"]["problem"] == "not loaded, as GUTHI_PLUGINS does not list it"
    assert (rows["store"]["enabled"], rows["shop"]["enabled"]) == (False, True)
    assert rows["shop"]["problem"].startswith("requires the service 'store', which no plugin provides")
    assert execute(["--help"]) == 0
    assert "stock" not in capsys.readouterr().out  # nor are its commands there


@pytest.mark.parametrize(
    ("listed", "left"),
    [
        (None, ("mutex", "rpc", "mine")),
        ("", ()),
        (",", ()),
        ("rpc", ("rpc",)),
        ("guthi-rpc, mine", ("rpc", "mine")),
        ("guthi-mutex,rpc,web", ("mutex", "rpc")),
    ],
)
def test_the_limit_is_by_plugin_or_by_distribution(listed: str | None, left: tuple[str, ...]) -> None:
    assert limited(["mutex", "rpc", "mine"], listed) == left
