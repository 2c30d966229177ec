"""Every `$ guthi …` line of the docs is a command that there is, with options and arguments that it takes.

They are parsed, not run: test_walks.py runs whole pages.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from itertools import dropwhile
from pathlib import Path

import click
import pytest
from tests.docs.fences import PAGES, ROOT, fences_of

from guthi.cli.program import program

LEFT_OUT = ("nodez", "greet")  # one shows an error, the other is brought by the plugin of its page
BETWEEN = {"&&", ";", "|", "<", ">", "&"}


@pytest.fixture(autouse=True)
def _files_need_not_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click.Path, "convert", lambda self, value, *_: Path(value))


def commands_on(page: str) -> list[list[str]]:
    """The words of each command of ours: what stands after `$`, or after another command on that line."""
    lines = [
        line[2:]
        for fence in fences_of(page)
        if fence.language == "console"
        for line in fence.text.splitlines()
        if line.startswith("$ ")
    ]
    found: list[list[str]] = []
    for line in lines:
        words: list[str] = []
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, ""
        for word in [*lexer, ";"]:
            if word in BETWEEN:
                found.append(words)
                words = []
            else:
                words.append(word)
    programs = [list(dropwhile(lambda word: re.match(r"[A-Z_]+=", word), words)) for words in found]
    return [words for words in programs if words and Path(words[0]).name == "guthi" and words[1] not in LEFT_OUT]


def parsed(words: Sequence[str]) -> None:
    """Raises what click raises for a command that it would refuse."""
    command: click.Command = program
    words, above = list(words)[1:], click.Context(program, info_name="guthi")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        below = command.get_command(above, words[0])
        if below is None:
            raise click.UsageError(f"no command {words[0]}")
        command, words = below, words[1:]
        above = click.Context(command, parent=above, info_name=command.name)
    if not {"--help", "--version"} & set(words):
        command.make_context(command.name, words, parent=above.parent)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_is_typed_on_a_page_is_understood(page: Path) -> None:
    for words in commands_on(page.read_text(encoding="utf-8")):
        try:
            parsed(words)
        except click.ClickException as error:
            pytest.fail(f"$ {shlex.join(words)}\n{error.format_message()}")


@pytest.mark.parametrize(
    "line", ["guthi run", "guthi nodes --jion a:1", "guthi nodez", "guthi keys ad", "guthi init a b"]
)
def test_what_is_not_understood_is_noticed(line: str) -> None:
    with pytest.raises(click.ClickException):
        parsed(line.split())


def test_lines_are_taken_apart() -> None:
    page = "```console\n$ guthi a; echo\nguthi out\n$ X=1 .venv/bin/guthi b '; c' < in | guthi d\n$ guthi nodez\n```\n"
    assert [words[1:] for words in commands_on(page)] == [["a"], ["b", "; c"], ["d"]]
