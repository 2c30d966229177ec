"""One warm Python for all tests of the docs, which most programs of the pages run in."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest
from tests.docs import warm


@pytest.fixture(scope="session")
def warm_python() -> Iterator[str]:
    """The address of its socket."""
    with tempfile.TemporaryDirectory(prefix="guthi-") as folder:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # what has one thread may be copied
        command = [sys.executable, str(warm.__file__), address := f"{folder}/socket"]
        with subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdin is not None and server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            yield address
            server.stdin.close()
