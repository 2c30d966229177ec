"""An algorithm of a third party's package: installed, named in the TOML, and what a real process then uses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.plugins.mutex.test_docs import source_of_the_page

from guthi_mutex.view import FENCE_BITS

STEP = 1000  # by which the package's counter grows, which no shipped algorithm does
PRINT_FENCE = [sys.executable, "-S", "-c", "import os; print(os.environ['GUTHI_FENCE'])"]
TOML = """
[node]
name = "alice"
listen = "127.0.0.1:0"
plugins = ["coordinator", "mutex"]

[plugins.mutex]
locks = { render = "coordinator" }
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A process's environment in which the package is installed: its module, and what an installer notes of it."""
    site = tmp_path / "site"
    notes = site / "guthi_coordinator-0.1.0.dist-info"
    notes.mkdir(parents=True)
    (notes / "METADATA").write_text("Metadata-Version: 2.1\nName: guthi-coordinator\nVersion: 0.1.0\n")
    (notes / "entry_points.txt").write_text("[guthi.plugins]\ncoordinator = guthi_coordinator:CoordinatorPlugin\n")
    source = source_of_the_page()
    assert "self._counter += 1\n" in source
    (site / "guthi_coordinator.py").write_text(source.replace("self._counter += 1\n", f"self._counter += {STEP}\n"))
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}


@pytest.fixture
def address(tmp_path: Path, environment: dict[str, str]) -> Iterator[str]:
    """A running node that uses it."""
    (tmp_path / "alice.toml").write_text(TOML)
    command = [sys.executable, "-m", "guthi", "run", str(tmp_path / "alice.toml")]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            found = re.search(r"listens on (\S+:\d+)", said)
            assert found is not None, said + (process.stdout.read() if process.poll() is not None else "")
            yield found[1]
        finally:
            process.terminate()


@pytest.mark.system
def test_an_installed_algorithm_is_used_for_the_lock_that_names_it(address: str, environment: dict[str, str]) -> None:
    counters = {}
    for lock in ("render", "backup"):
        command = [sys.executable, "-m", "guthi", "lock", "--join", address, lock, "--", *PRINT_FENCE]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=True)
        counters[lock] = int(done.stdout) & ((1 << FENCE_BITS) - 1)
    assert counters == {"render": STEP, "backup": 1}
