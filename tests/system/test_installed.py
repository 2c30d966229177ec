"""Guthi as a stranger has it: its wheels installed into a clean environment, where plugins are begun and the demo runs.

No network is needed: the libraries that Guthi needs are lent by the environment of the tests, without what that has of
Guthi. `make check-dist` does the same with libraries that pip fetches.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from guthi.cli.new import KINDS

ROOT = Path(__file__).parents[2]
PROJECTS = sorted(
    path.parent for pattern in ("kernel", "plugins/*", "apps/*") for path in ROOT.glob(f"{pattern}/pyproject.toml")
)
BUILD = """
import os, sys
from hatchling.build import build_wheel
for project in sys.argv[2:]:
    os.chdir(project)
    build_wheel(sys.argv[1])
"""
BEGIN = """
import sys, guthi
from guthi.cli.program import execute
assert guthi.__file__.startswith(sys.prefix)
for kind in sys.argv[1:]:
    assert execute(["new", "plugin", kind.replace("-", "_"), "--kind", kind]) == 0
"""

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


class Stranger:
    """A virtual environment, in which only the wheels are Guthi's."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._wheels = folder, folder / "wheels"
        venv.create(folder / "venv", symlinks=True)
        self._variables = {
            name: value for name, value in os.environ.items() if not name.startswith(("GUTHI_", "PYTHON", "PYTEST_"))
        }
        self._lend_libraries(folder / "lent")
        self.install(*PROJECTS)

    def _lend_libraries(self, lent: Path) -> None:
        lent.mkdir()
        for each in Path(sysconfig.get_path("purelib")).iterdir():
            if not each.name.startswith("guthi") and each.suffix != ".pth":
                (lent / each.name).symlink_to(each)
        for packages in (self.folder / "venv").glob("lib/python*/site-packages"):
            (packages / "lent.pth").write_text(f"{lent}\n")

    def install(self, *projects: Path) -> None:
        """Build the wheels, and have pip install them."""
        made = self._wheels / str(len(list(self._wheels.glob("*"))))
        made.mkdir(parents=True)
        self.run([sys.executable, "-c", BUILD, str(made), *map(str, projects)])
        wheels = sorted(map(str, made.glob("*.whl")))
        assert len(wheels) == len(projects)
        python = str(self.folder / "venv/bin/python")
        self.run(
            [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", python, "install",
             "--no-index", "--no-deps", "--no-compile", *wheels]
        )  # fmt: skip

    def run(self, command: Sequence[str], where: Path | None = None) -> str:
        """What a program prints; one of the environment, unless it has a path."""
        program = str(self.folder / "venv/bin" / command[0])  # or what is absolute
        done = subprocess.run(
            [program, *command[1:]], cwd=where or self.folder, env=self._variables, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    return Stranger(tmp_path_factory.mktemp("stranger"))


def test_the_demo_runs(stranger: Stranger, tmp_path: Path) -> None:
    stranger.run(["guthi", "demo", "mandelbrot", "--size", "160x120", "--nodes", "2"], where=tmp_path)
    with Image.open(tmp_path / "mandelbrot.png") as picture:
        assert picture.size == (160, 120) and len(picture.getcolors() or ()) != 1


def test_a_plugin_of_each_kind_is_begun_installed_and_tested(stranger: Stranger, tmp_path: Path) -> None:
    stranger.run(["python", "-c", BEGIN, *KINDS], where=tmp_path)
    packages = [tmp_path / f"guthi-{kind}" for kind in KINDS]
    stranger.install(*packages)
    listed = {row["name"]: row for row in json.loads(stranger.run(["guthi", "plugins", "--json"]))}
    assert {row["problem"] for row in listed.values()} == {""}
    assert {kind.replace("-", "_") for kind in KINDS} <= set(listed) and len(listed) == len(PROJECTS) - 1 + len(KINDS)
    for package in packages:  # as they are installed: their own folder is not on the path
        tested = ["python", "-m", "pytest", "-p", "no:asyncio", "-p", "no:cacheprovider", "-o", "pythonpath=tests"]
        assert " passed" in stranger.run(tested, where=package)
