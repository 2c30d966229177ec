"""Every distribution of the workspace declares what it imports, and the kernel imports no plugin."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECTS = sorted([ROOT / "kernel", *ROOT.glob("plugins/*"), *ROOT.glob("apps/*")])
# Imported where pytest is there anyway: by the pytest plugin that the kernel brings.
BROUGHT_BY_THE_CALLER = {"guthi": {"pytest"}}


def imported(folder: Path) -> set[str]:
    """The top-level names that a package's modules import, the standard library's left out."""
    names: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names)


@pytest.fixture(scope="module")
def brings() -> Mapping[str, list[str]]:
    """Which distributions bring a name that can be imported: it takes a while to look through all."""
    return packages_distributions()


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_what_is_imported_is_declared(project: Path, brings: Mapping[str, list[str]]) -> None:
    table = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    extras = [each for extra in table.get("optional-dependencies", {}).values() for each in extra]
    declared = {Requirement(each).name for each in [*table["dependencies"], *extras]} | {table["name"]}
    undeclared = {
        name
        for name in imported(project / table["name"].replace("-", "_"))
        if not {found.lower() for found in [*brings.get(name, ()), name.replace("_", "-")]} & declared
    }
    assert undeclared <= BROUGHT_BY_THE_CALLER.get(table["name"], set())


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_the_licence_is_named(project: Path) -> None:
    assert tomllib.loads((project / "pyproject.toml").read_text())["project"]["license"] == "MIT"


def test_the_kernel_imports_no_plugin() -> None:
    assert not {name for name in imported(ROOT / "kernel" / "guthi") if name.startswith("guthi_")}
