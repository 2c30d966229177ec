"""docs/configuration.md against the dataclasses: every key, its type and its default, and none that does not exist."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import pytest

from guthi import Address, Config, Duration, Size
from guthi.configuration.cluster import _ClusterTable
from guthi.configuration.tables import read_table
from guthi_dvar import DvarPlugin
from guthi_gutfs import GutfsPlugin
from guthi_health import HealthPlugin
from guthi_logs import LogsPlugin
from guthi_mandelbrot import MandelbrotPlugin
from guthi_mutex import MutexPlugin
from guthi_resources import ResourcesPlugin
from guthi_rpc import RpcPlugin
from guthi_web import WebPlugin

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")

TABLES: dict[str, type] = {
    **{name: type(getattr(Config(), name)) for name in ("node", "security", "transport", "gossip", "broadcast")},
    "plugins.rpc": RpcPlugin.Config,
    "plugins.dvar": DvarPlugin.Config,
    "plugins.mutex": MutexPlugin.Config,
    "plugins.health": HealthPlugin.Config,
    "plugins.gutfs": GutfsPlugin.Config,
    "plugins.resources": ResourcesPlugin.Config,
    "plugins.web": WebPlugin.Config,
    "plugins.logs": LogsPlugin.Config,
    "plugins.mandelbrot": MandelbrotPlugin.Config,
    "cluster": _ClusterTable,
}
ONE, SEVERAL = 0, 1
WORDS: dict[Any, tuple[str, str]] = {
    str: ("text", "texts"),
    int: ("whole number", "whole numbers"),
    float: ("number", "numbers"),
    bool: ("true or false", "choices"),
    Path: ("path", "paths"),
    Address: ("address", "addresses"),
    Duration: ("duration", "durations"),
    Size: ("size", "sizes"),
    Any: ("value", "values"),
}


class Row(NamedTuple):
    key: str
    type: str
    default: str
    meaning: str


def rows_of(table: str) -> list[Row]:
    """The rows under the table's heading."""
    section = re.search(rf"^##+ \[{re.escape(table)}\]$(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section is not None, f"docs/configuration.md has no heading [{table}]"
    rows = [Row(*(cell.strip() for cell in line.strip("|").split(" | "))) for line in section[1].split("\n| `")[1:]]
    return [row._replace(key=row.key.strip("`"), meaning=row.meaning.split("|")[0]) for row in rows]


def type_in_words(annotation: Any) -> str:
    if annotation in WORDS:
        return WORDS[annotation][ONE]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is tuple:
        return f"list of {WORDS[arguments[0]][SEVERAL] if arguments[0] in WORDS else 'tables'}"
    if origin is Mapping:
        return f"table of {WORDS[arguments[1]][SEVERAL]}"
    if origin is Literal:
        *most, last = [f'`"{choice}"`' for choice in arguments]
        return f"{', '.join(most)} or {last}"
    (only,) = (each for each in arguments if each is not type(None))  # X | None
    return type_in_words(only)


@pytest.mark.parametrize("table", TABLES)
def test_every_key_is_described(table: str) -> None:
    described = [row.key for row in rows_of(table)]
    assert described == [field.name for field in fields(TABLES[table])]
    assert all(len(row.meaning) > 10 for row in rows_of(table))


@pytest.mark.parametrize("table", TABLES)
def test_types_are_right(table: str) -> None:
    annotations = get_type_hints(TABLES[table], include_extras=True)
    assert {row.key: row.type for row in rows_of(table)} == {
        row.key: type_in_words(annotations[row.key]) for row in rows_of(table)
    }


@pytest.mark.parametrize("table", TABLES)
def test_defaults_are_right(table: str) -> None:
    written = [f"{row.key} = {row.default.strip('`')}" for row in rows_of(table) if row.default != "none"]
    defaults = TABLES[table]()
    assert read_table(TABLES[table], tomllib.loads("\n".join(written)), table) == defaults
    nones = [field.name for field in fields(TABLES[table]) if getattr(defaults, field.name) is None]
    assert nones == [row.key for row in rows_of(table) if row.default == "none"]


def test_no_table_is_missing() -> None:
    headings = re.findall(r"^##+ \[([a-z.]+)\]$", PAGE, re.MULTILINE)
    assert headings == list(TABLES)
