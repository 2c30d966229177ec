"""Every node file and cluster file that a page shows is one that Guthi takes: keys, values, the tables of plugins."""

from __future__ import annotations

import re
import textwrap
import tomllib
from pathlib import Path

import pytest
from tests.docs.fences import PAGES, ROOT
from tests.reference.workspace import plugin_classes

from guthi import Config, ConfigError
from guthi.configuration.cluster import Cluster
from guthi.configuration.tables import read_table

TOML = re.compile(r"^( *)```toml[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
OF_THE_PAGE = {"greeter"}  # plugins that are written on their page


def take(text: str, folder: Path) -> None:
    """Read a file as `guthi run` and `guthi up` do; raises ConfigError."""
    (folder / "file.toml").write_text(text)
    known = {*plugin_classes(), *OF_THE_PAGE}
    mapping = tomllib.loads(text)
    if "cluster" in mapping:
        nodes = Cluster.from_toml(folder / "file.toml", environment={}).nodes
    else:
        source = folder / "file.toml"
        nodes = (Config.from_mapping(mapping, source=source, enabled=known, environment={}),)
    for config in nodes:
        assert set(config.node.plugins) <= known
        for name, table in config.plugins.items():
            if name not in OF_THE_PAGE:
                read_table(plugin_classes()[name].Config, table, f"[plugins.{name}]", folder)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_files_of_a_page_are_taken(page: Path, tmp_path: Path) -> None:
    (tmp_path / "cluster.key").touch()
    for _, text in TOML.findall(page.read_text(encoding="utf-8")):
        if "project" not in tomllib.loads(textwrap.dedent(text)):
            take(textwrap.dedent(text), tmp_path)


@pytest.mark.parametrize(
    "text", ['[node]\nnam = "a"', '[gossip]\ninterval = "10 min"', "[plugins.rpc]\nthreds = 1", "[plugins.rcp]"]
)
def test_what_is_not_taken_is_noticed(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        take(text, tmp_path)
