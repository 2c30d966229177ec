"""Three nodes go from one patch version of the wheels to the next, one after the other, under load: all promises hold.

The next version is made here, from the same sources. It takes a minute: `make check-dist` runs it, `make check` does
not.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.chaos.namespaces import ROOT, why_there_are_no_hosts
from tests.chaos.run import chaos
from tests.chaos.schedule import Planned

WHEELS = os.environ.get("GUTHI_WHEELS", "")
PARTS = ("kernel", "plugins/rpc", "plugins/health", "plugins/mutex", "plugins/dvar", "plugins/gutfs")
HOSTS = ("alice", "bob", "carol")
NEXT = "0.1.99"  # nodes of two minor versions keep each other out (guthi.membership.compatibility)

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not WHEELS, reason="needs the wheels: make check-dist"),
    pytest.mark.skipif(bool(why_there_are_no_hosts()), reason=why_there_are_no_hosts()),
]


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments], check=True)


def installed(wheels: Path, folder: Path) -> Path:
    """The wheels of PARTS in a folder of their own; what they need is that of the environment that runs this."""
    names = {"guthi" if part == "kernel" else f"guthi_{Path(part).name}" for part in PARTS}
    chosen = [str(path) for path in sorted(wheels.glob("*.whl")) if path.name.split("-")[0] in names]
    assert len(chosen) == len(PARTS)
    pip("install", "--no-deps", "--target", str(folder), *chosen)
    return folder


def next_wheels(folder: Path) -> Path:
    for part in PARTS:
        copy = folder / part
        shutil.copytree(ROOT / part, copy, ignore=shutil.ignore_patterns("__pycache__"))
        project = copy / "pyproject.toml"
        text, count = re.subn(r'^version = ".*"$', f'version = "{NEXT}"', project.read_text(), flags=re.MULTILINE)
        assert count == 1
        project.write_text(text)
    pip(
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(folder),
        *(str(folder / part) for part in PARTS),
    )
    return folder


async def test_a_rolling_upgrade_breaks_no_promise(tmp_path: Path) -> None:
    old = installed(Path(WHEELS), tmp_path / "old")
    new = installed(next_wheels(tmp_path / "wheels"), tmp_path / "new")
    planned = [Planned(3.0, 3.0, "upgrade", HOSTS)]
    outcome = await chaos(tmp_path / "run", planned, 15.0, 1, lambda _: None, HOSTS, calm_s=3.0, packages=(old, new))
    assert {checker: found for checker, found in outcome.violations.items() if found} == {}
    ready = [each for each in outcome.entries if each.kind == "ready"]
    lives = {name: [each.told["version"] for each in ready if each.node == name] for name in HOSTS}
    assert all(len(versions) == 2 and versions[0] != NEXT == versions[1] for versions in lives.values()), lives
    assert {Path(each.told["where"]).parts[: len(tmp_path.parts) + 1][-1] for each in ready} == {"old", "new"}
    assert {each.work for each in outcome.entries if each.kind == "returned"} == {
        "rpc", "dvar", "eventual", "mutex", "gutfs", "broadcast",
    }  # fmt: skip
