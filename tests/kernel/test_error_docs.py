"""docs/errors.md against the classes: each error has its place in the tree, a cause and a mend."""

from __future__ import annotations

import re
from pathlib import Path

import guthi_dvar
import guthi_gutfs
import guthi_health
import guthi_logs
import guthi_mutex
import guthi_rpc
from guthi import GuthiError, errors

PLUGINS = (guthi_dvar, guthi_gutfs, guthi_health, guthi_logs, guthi_mutex, guthi_rpc)
PAGE = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")


def parents_in_tree() -> dict[str, tuple[str, ...]]:
    """What the indented tree says: the bases of each error, Guthi's own first."""
    lines = re.search(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert lines is not None
    parents: dict[str, tuple[str, ...]] = {}
    path: list[str] = []
    for line in lines[1].splitlines():
        indent, name, other = re.fullmatch(r"( *)(\w+)(?: \((\w+)\))?", line).groups()  # type: ignore[union-attr]
        del path[len(indent) // 2 :]
        parents[name] = (path[-1] if path else "Exception", *([other] if other else []))
        path.append(name)
    return parents


def rows(columns: int) -> dict[str, list[str]]:
    """The cells after the name, of the table with so many columns."""
    cells = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row[1:] for row in cells if len(row) == columns}


def test_the_tree_is_that_of_the_classes() -> None:
    classes = {name: getattr(errors, name) for name in errors.__all__}
    bases = {name: tuple(base.__name__ for base in cls.__bases__) for name, cls in classes.items()}
    assert parents_in_tree() == bases


def test_every_error_has_a_cause_and_a_mend() -> None:
    assert sorted(rows(3)) == sorted(errors.__all__)
    assert all(len(cell) > 20 for row in rows(3).values() for cell in row)


def test_the_errors_of_plugins_are_there() -> None:
    exported = [name for plugin in PLUGINS for name in plugin.__all__ if is_error(getattr(plugin, name))]
    assert sorted(rows(4)) == sorted(exported)


def is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, GuthiError)
