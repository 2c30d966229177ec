"""The tables of docs/configuration.md: each key of each dataclass with its type, its default and its docstring.

What a key means is written below it in the code, as a string. The text between the tables is the page's own.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from tests.reference.workspace import plugin_classes

from guthi import Address, Config, Duration, Size
from guthi.configuration.cluster import _ClusterTable
from guthi.plugins import NoConfig

__all__ = ["TABLES", "default_of", "meanings_of", "rendered", "type_of"]

AFTER_PLUGINS = "A table of a plugin that is not enabled is an error"
HEAD = "| key | type | default | meaning |\n|---|---|---|---|\n"
TABLES: dict[str, type] = {
    **{name: type(getattr(Config(), name)) for name in ("node", "security", "transport", "gossip", "broadcast")},
    **{f"plugins.{name}": each.Config for name, each in plugin_classes().items() if each.Config is not NoConfig},
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
UNITS = {
    Duration: (("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 0.001)),
    Size: ((" GiB", 2**30), (" MiB", 2**20), (" KiB", 2**10)),
}


def rendered(page: str) -> str:
    """The page with all its tables made anew; a plugin that has none yet gets one, below the others.

    Another heading `[NAME]` that is missing is a ValueError.
    """
    for name in TABLES:
        if f"## [{name}]\n" not in page and name.startswith("plugins."):
            page = page.replace(AFTER_PLUGINS, f"## [{name}]\n\n{HEAD}\n{AFTER_PLUGINS}", 1)
        heading = rf"(?<=\n)(##+ \[{re.escape(name)}\]\n.*?\n)\| key \|.*?(?=\n\n|\Z)"
        page, count = re.subn(heading, lambda found: found[1] + _table(name).strip(), page, count=1, flags=re.DOTALL)  # noqa: B023
        if not count:
            raise ValueError(f"docs/configuration.md has no heading [{name}] with a table below it")
    return page


def _table(name: str) -> str:
    cls = TABLES[name]
    meanings, types = meanings_of(cls), get_type_hints(cls, include_extras=True)
    rows = [
        f"| `{each.name}` | {type_of(types[each.name])} | {default_of(cls, each.name)} | {meanings[each.name]} |"
        for each in fields(cls)
    ]
    return HEAD + "\n".join(rows)


def meanings_of(cls: type) -> dict[str, str]:
    """What is written below each field of a dataclass; empty where nothing is."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for statement, following in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            found[statement.target.id] = ""
            match following:
                case ast.Expr(ast.Constant(str() as text)):
                    found[statement.target.id] = re.sub(r"\s+", " ", text).strip()
    return found


def type_of(annotation: Any) -> str:
    """The type of a key, in words."""
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
    return type_of(only)


def default_of(cls: type, key: str) -> str:
    """The default of a key as one would write it in TOML; `none` where there is none."""
    value, annotation = getattr(cls(), key), get_type_hints(cls, include_extras=True)[key]
    return "none" if value is None else f"`{_toml(value, annotation)}`"


def _toml(value: Any, annotation: Any) -> str:
    if annotation in UNITS and value:
        for unit, worth in UNITS[annotation]:
            if value >= worth and round(value / worth, 6).is_integer():
                return f'"{round(value / worth)}{unit}"'
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(each, None)}" for key, each in value.items()) + " }" if value else "{}"
    if isinstance(value, (tuple, list)) and not isinstance(value, Address):
        return "[" + ", ".join(_toml(each, None) for each in value) + "]"
    return json.dumps(value) if isinstance(value, (bool, int, float, str)) else json.dumps(str(value))
