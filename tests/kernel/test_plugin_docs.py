"""The plugin of docs/plugins.md: the files of the page are written to a folder, and the page's own tests run there."""

from __future__ import annotations

import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r'^```\w+(?: no-run)? title="([^"]+)"\n(.*?)^```$', PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The folder of the package, as a reader would make it."""
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return tmp_path


def run(package: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(package)}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=package, env=environment, capture_output=True, text=True, check=False
    )


def test_the_tests_of_the_page_pass(package: Path) -> None:
    done = run(package, "pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "22 passed" in done.stdout
    assert "22 passed" in PAGE


def test_the_entry_point_names_the_plugin(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(package))
    ((name, target),) = tomllib.loads(FILES["pyproject.toml"])["project"]["entry-points"]["guthi.plugins"].items()
    plugin = pkgutil.resolve_name(target)
    assert plugin.name == name
    assert [command.name for command in plugin.commands()] == ["greet"]
    assert tomllib.loads(FILES["node.toml"])["node"]["plugins"] == [name]
