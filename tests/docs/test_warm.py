"""A program that runs in a copy of the warm Python does as it would in a new one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs import warm

PATIENCE_S = 60.0


def printed(
    address: str, folder: Path, text: str, *arguments: str, strict: bool = False, **names: str
) -> tuple[int, str]:
    """How a program ends, and what it prints."""
    (folder / "program.py").write_text(text)
    with (folder / "output").open("w+") as output:
        command, kept = [str(folder / "program.py"), *arguments], {**os.environ, **names}
        _, ending = warm.ask(
            address, command, strict=strict, output=output.fileno(), folder=str(folder), environment=kept
        )
        status = warm.status_of(ending, PATIENCE_S)
        output.seek(0)
        return status, output.read()


def test_it_has_its_own_arguments_folder_and_environment(warm_python: str, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("NAME = 'beside'")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "elsewhere.py").write_text("NAME = 'elsewhere'")
    program = (
        "import sys, os, beside, elsewhere\nprint(__name__, sys.argv[1:], os.getcwd(), os.environ['A'], elsewhere.NAME)"
    )
    status, text = printed(warm_python, tmp_path, program, "x", A="b", PYTHONPATH=str(tmp_path / "more"))
    assert (status, text) == (0, f"__main__ ['x'] {tmp_path} b elsewhere\n")


@pytest.mark.parametrize(
    ("program", "status", "says"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL, ""),
        ("assert 1 == 2, 'no'", 1, "AssertionError: no"),
        ("import fences", 1, "ModuleNotFoundError"),  # what lies beside the warm Python is no matter
    ],
)
def test_its_end_is_told(warm_python: str, tmp_path: Path, program: str, status: int, says: str) -> None:
    ended, text = printed(warm_python, tmp_path, program)
    assert ended == status and says in text


@pytest.mark.parametrize(("strict", "status"), [(True, 1), (False, 0)])
def test_warnings_are_errors_where_that_is_wanted(warm_python: str, tmp_path: Path, strict: bool, status: int) -> None:
    assert printed(warm_python, tmp_path, "import warnings; warnings.warn('old')", strict=strict)[0] == status


def test_programs_run_at_the_same_time_and_know_nothing_of_each_other(warm_python: str, tmp_path: Path) -> None:
    (tmp_path / "wait.py").write_text("import time; time.sleep(600)")
    pid, ending = warm.ask(warm_python, [str(tmp_path / "wait.py")], folder=str(tmp_path))
    assert printed(warm_python, tmp_path, "import guthi; guthi.left = 1") == (0, "")
    assert printed(warm_python, tmp_path, "import guthi; print(hasattr(guthi, 'left'))") == (0, "False\n")
    os.kill(pid, signal.SIGTERM)
    assert warm.status_of(ending, PATIENCE_S) == -signal.SIGTERM


def test_a_shell_starts_it_and_presses_ctrl_c(warm_python: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import time\ntry:\n print('begun', flush=True)\n time.sleep(600)\nexcept KeyboardInterrupt:\n print('well')"
    )
    command = [sys.executable, "-I", "-S", str(warm.__file__), warm_python, str(tmp_path / "program.py")]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "well\n" and process.wait(PATIENCE_S) == 0
