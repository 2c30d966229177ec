"""docs/cli.md against the program: each built-in command has its section, with an example that calls it."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from guthi.cli.program import program

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## ([a-z]+)$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
BUILT_IN = click.Group.list_commands(program, click.Context(program))


def test_each_command_has_a_section_and_no_other_has() -> None:
    assert sorted(SECTIONS) == sorted(BUILT_IN)


@pytest.mark.parametrize("command", BUILT_IN)
def test_a_section_shows_an_example(command: str) -> None:
    assert f"```console\n$ guthi {command}" in SECTIONS[command]
