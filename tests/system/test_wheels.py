"""The wheels of `make dist` as a stranger has them: installed into a clean environment, with a plugin begun there.

It takes a minute, and pip fetches the libraries: `make check-dist` runs it, `make check` does not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

WHEELS = os.environ.get("GUTHI_WHEELS", "")
DISTRIBUTIONS = ("guthi-mandelbrot", "guthi-mutex", "guthi-health", "guthi-rpc")

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not WHEELS, reason="needs the wheels: make check-dist"),
]


class Environment:
    """A virtual environment that knows nothing of this repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._variables = {
            name: value for name, value in os.environ.items() if not name.startswith(("GUTHI_", "PYTHON", "PYTEST_"))
        }
        subprocess.run([sys.executable, "-m", "venv", str(folder)], env=self._variables, check=True)

    def run(self, program: str, *arguments: str, where: Path | None = None) -> str:
        """What one of its programs prints."""
        command = [str(self.folder / "bin" / program), *arguments]
        done = subprocess.run(
            command, cwd=where or self.folder, env=self._variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def install(self, *what: str) -> None:
        """Guthi's own distributions come from the wheels."""
        self.run("python", "-m", "pip", "install", "--quiet", "--find-links", WHEELS, *what)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("clean") / "venv")
    environment.install(*DISTRIBUTIONS, "pytest")
    return environment


def listed(environment: Environment) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(environment.run("guthi", "plugins", "--json"))}


def test_all_distributions_have_a_wheel() -> None:
    root = Path(__file__).parents[2]
    projects = [root / "kernel", *root.glob("plugins/*"), *root.glob("apps/*")]
    assert len(list(Path(WHEELS).glob("*.whl"))) == len(
        [each for each in projects if (each / "pyproject.toml").exists()]
    )


def test_nothing_of_this_repository_is_used(environment: Environment) -> None:
    origin = environment.run("python", "-c", "import guthi; print(guthi.__file__)")
    assert origin.startswith(str(environment.folder))
    assert {row["problem"] for row in listed(environment).values()} == {""}


@pytest.mark.parametrize("kind", ["feature", "mutex-algorithm", "failure-detector", "app"])
def test_a_new_plugin_is_installed_and_works(environment: Environment, kind: str, tmp_path: Path) -> None:
    name = kind.replace("-", "_")
    environment.run("guthi", "new", "plugin", name, "--kind", kind, "--path", str(tmp_path))
    package = tmp_path / f"guthi-{kind}"
    environment.install(str(package))
    assert listed(environment)[name]["problem"] == ""
    assert " passed" in environment.run("pytest", "-o", "addopts=", where=package)


def test_the_demo_runs(environment: Environment, tmp_path: Path) -> None:
    environment.run("guthi", "demo", "mandelbrot", "--size", "160x120", where=tmp_path)
    assert (tmp_path / "mandelbrot.png").stat().st_size > 1000
