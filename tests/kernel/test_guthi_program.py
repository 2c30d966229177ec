"""Ctrl-C while `guthi` is being imported ends it without a word; where it is to be ignored, it is."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.skipif(sys.platform == "win32", reason="a process sends itself SIGINT")]

BEGIN = """
import os, signal, sys

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "guthi.node":
            sys.stderr.write("interrupted ")
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
from guthi_program import main
"""


def begin(*lines: str) -> subprocess.CompletedProcess[str]:
    """A process that is interrupted in the middle of its imports."""
    program = "\n".join([BEGIN, *lines])
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_it_ends_without_a_word() -> None:
    ended = begin("main()")
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "interrupted ")


def test_who_ignores_it_is_not_ended() -> None:
    """As a shell does for what it starts in the background."""
    ended = begin("signal.signal(signal.SIGINT, signal.SIG_IGN)", "sys.argv[1:] = ['--version']", "main()")
    assert (ended.returncode, ended.stdout.split()[:1], ended.stderr) == (0, ["guthi"], "interrupted ")


def test_what_takes_long_to_import_waits_until_it_is_needed() -> None:
    """Each of these would make every command slower to start by a fifth or more."""
    code = "import sys, guthi.cli.program; print(sorted({'numpy', 'rich', 'guthi.testing'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_it_is_what_the_command_runs() -> None:
    file = Path(__file__).parents[2] / "kernel" / "pyproject.toml"
    assert tomllib.loads(file.read_text())["project"]["scripts"] == {"guthi": "guthi_program:main"}
