"""`guthi var`: list, read, write and watch the variables of a network."""

from __future__ import annotations

import ast
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click

import guthi
from guthi.cli import client_config, client_options, print_table
from guthi.cli.groups import SuggestingGroup
from guthi.runner import run_loop
from guthi_dvar.readings import VariableInfo
from guthi_dvar.service import DVAR, Dvar
from guthi_dvar.watching import Change, Lagged

__all__ = ["var"]

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class ValueCommand(click.Command):
    """A command whose last argument may be a negative number, which is no option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """A value is put where no option is looked for."""
        numbers = [place for place, each in enumerate(args) if each.startswith("-") and _is_number(each)]
        if numbers and "--" not in args:
            args = [*args[: numbers[0]], *args[numbers[0] + 1 :], "--", args[numbers[0]]]
        return super().parse_args(ctx, args)


@click.group(cls=SuggestingGroup)
def var() -> None:
    """List, read, write and watch distributed variables.

    \b
    Example:
      guthi var list --join 127.0.0.1:6969
    """


@asynccontextmanager
async def _joined(config: guthi.Config) -> AsyncIterator[Dvar]:
    async with guthi.Node(config) as node:
        dvar = node.require(DVAR)
        await dvar.synced()
        yield dvar


@var.command("list")
@client_options
@as_json_option
def list_variables(join: Sequence[guthi.Address], config_file: Path | None, timeout_s: float, as_json: bool) -> None:
    """List the variables.

    \b
    Example:
      guthi var list --join 127.0.0.1:6969
    """
    found = run_loop(_found(client_config(join, config_file, timeout_s, plugins=["dvar"])))
    if as_json:
        click.echo(json.dumps([_as_json(each) for each in found]))
        return
    print_table(("name", "type", "version", "source", "kept by"), [_cells(each) for each in found])


async def _found(config: guthi.Config) -> list[VariableInfo]:
    async with _joined(config) as dvar:
        return [await dvar.info(name) for name in dvar.names()]


def _cells(info: VariableInfo) -> Sequence[str]:
    shape = f" {'x'.join(map(str, info.shape))}" if info.shape is not None else ""
    constant = ", constant" if info.is_constant else ""
    return info.name, f"{info.type}{shape}{constant}", str(info.version), info.source, ", ".join(info.places)


def _as_json(info: VariableInfo) -> dict[str, object]:
    return {
        "name": info.name,
        "type": info.type,
        "shape": info.shape,
        "constant": info.is_constant,
        "coherence": info.coherence,
        "version": info.version,
        "source": info.source,
        "places": list(info.places),
    }


@var.command("get")
@click.argument("name")
@client_options
@as_json_option
def get(name: str, join: Sequence[guthi.Address], config_file: Path | None, timeout_s: float, as_json: bool) -> None:
    """Print the value of the variable NAME.

    \b
    Example:
      guthi var get temperature --join 127.0.0.1:6969
    """
    value = run_loop(_with(client_config(join, config_file, timeout_s, plugins=["dvar"]), lambda dvar: dvar.get(name)))
    click.echo(_shown(value, as_json=as_json))


@var.command("set", cls=ValueCommand)
@click.argument("name")
@click.argument("value")
@client_options
def set_variable(
    name: str, value: str, join: Sequence[guthi.Address], config_file: Path | None, timeout_s: float
) -> None:
    """Write VALUE, a Python literal or a plain word, to the variable NAME, which is created if there is none.

    \b
    Example:
      guthi var set temperature 21.5 --join 127.0.0.1:6969
    """
    run_loop(_set(client_config(join, config_file, timeout_s, plugins=["dvar"]), name, value))


async def _set(config: guthi.Config, name: str, text: str) -> None:
    async with _joined(config) as dvar:
        if name not in dvar.names():
            await dvar.create(name, _literal(text))
        else:
            await dvar.set(name, _value(text, (await dvar.info(name)).type))


def _value(text: str, type: str) -> Any:
    """What was written, for a variable of that type."""
    if type == "str":
        return text
    return float(text) if type == "float" and _is_number(text) else _literal(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


async def _with(config: guthi.Config, work: Callable[[Dvar], Any]) -> Any:
    async with _joined(config) as dvar:
        return await work(dvar)


@var.command("watch")
@click.argument("name")
@client_options
@as_json_option
def watch(name: str, join: Sequence[guthi.Address], config_file: Path | None, timeout_s: float, as_json: bool) -> None:
    """Print the value of the variable NAME, and each change, until it is deleted or Ctrl-C.

    \b
    Example:
      guthi var watch temperature --join 127.0.0.1:6969
    """
    run_loop(_watch(client_config(join, config_file, timeout_s, plugins=["dvar"]), name, as_json))


async def _watch(config: guthi.Config, name: str, as_json: bool) -> None:
    async with _joined(config) as dvar:
        async for each in dvar.watch(name):
            click.echo(_line(each, as_json=as_json))


def _line(told: Change | Lagged, *, as_json: bool) -> str:
    if isinstance(told, Lagged):
        return json.dumps({"missed": told.missed}) if as_json else f"({told.missed} versions were missed)"
    where = [[side.start, side.stop] for side in told.at] if told.at is not None else None
    if as_json:
        return json.dumps({"version": told.version, "at": where, "value": json.loads(_shown(told.value, as_json=True))})
    place = f" [{', '.join(f'{start}:{stop}' for start, stop in where)}]" if where is not None else ""
    return f"{told.version}{place}: {_shown(told.value, as_json=False)}"


def _shown(value: Any, *, as_json: bool) -> str:
    if not as_json:
        return str(value)
    return json.dumps(_plain(value), default=lambda odd: odd.tolist() if hasattr(odd, "tolist") else str(odd))


def _plain(value: Any) -> Any:
    """The same with keys that JSON has."""
    if isinstance(value, dict):
        return {
            key if isinstance(key, str | int | float | None) else str(key): _plain(each) for key, each in value.items()
        }
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):  # the last two where it nests too deeply
        return text
