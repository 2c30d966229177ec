"""Shows what a command has found: as a table for people, as JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

from guthi.cli import print_table

__all__ = ["as_json_option", "show", "show_json"]

F = TypeVar("F")

as_json_option = click.option("--json", "is_json", is_flag=True, help="Print JSON.")


def show(
    is_json: bool,
    found: Iterable[F],
    as_json: Callable[[F], object],
    heads: Sequence[str],
    cells: Callable[[F], Sequence[str]],
) -> None:
    """A row each, or an object each."""
    if is_json:
        show_json(found, as_json)
    else:
        print_table(heads, [cells(each) for each in found])


def show_json(found: Iterable[F], as_json: Callable[[F], Any]) -> None:
    """A list of what `as_json` makes of each."""
    click.echo(json.dumps([as_json(each) for each in found]))
