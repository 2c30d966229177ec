"""`guthi functions`, `guthi call` and `guthi map`: the global function store from a shell.

Exit codes beside the usual ones: 1 where the function failed, 75 where it may help to try again, as in sysexits.h.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import guthi
from guthi.cli import ADDRESS, DURATION, client_config, client_options, print_table
from guthi.runner import run_loop
from guthi_rpc.asking import came_by_wire
from guthi_rpc.calling import deadline_after, time_left
from guthi_rpc.errors import NoProvider, Overloaded
from guthi_rpc.lines import lines_of
from guthi_rpc.listing import FunctionInfo
from guthi_rpc.mapping import MapRun
from guthi_rpc.results import MapResult
from guthi_rpc.service import RPC, Rpc
from guthi_rpc.words import read_arguments, read_word, written

__all__ = ["call", "functions", "map_lines"]

C = TypeVar("C", bound=Callable[..., Any])

FAILED, TRY_AGAIN = 1, 75
PASSING = (guthi.DeadlineExceeded, guthi.PeerLost, NoProvider, Overloaded)
JOIN_TIMEOUT_S = 5.0
TITLES = ("name", "signature", "run", "nodes", "differs from")


@click.command
@client_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def functions(join: Sequence[guthi.Address], config_file: Path | None, timeout_s: float, as_json: bool) -> None:
    """List the functions that the nodes of a network have.

    Where nodes have different functions of one name, each has a line of its own.

    \b
    Example:
      guthi functions --join 127.0.0.1:6969
    """
    config = client_config(join, config_file, timeout_s, plugins=["rpc"])
    found = run_loop(_functions(config, timeout_s))
    if as_json:
        click.echo(json.dumps([_as_json(each) for each in found]))
    else:
        print_table(TITLES, [_cells(each) for each in found])


async def _functions(config: guthi.Config, timeout_s: float) -> list[FunctionInfo]:
    async with guthi.Node(config) as node:
        rpc = node.require(RPC)
        await rpc.introduced(timeout=timeout_s)
        return rpc.functions()


def _cells(info: FunctionInfo) -> Sequence[str]:
    run = "stream" if info.yields else info.run.value
    return info.name, info.signature, run, ", ".join(info.providers), ", ".join(info.conflicts)


def _as_json(info: FunctionInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "signature": info.signature,
        "doc": info.doc,
        "run": info.run.value,
        "yields": info.yields,
        "providers": list(info.providers),
        "conflicts": list(info.conflicts),
    }


def _network_options(command: C) -> C:
    """As client_options, but for `--timeout`, which is for the call here."""
    command = click.option("--config", "config_file", type=click.Path(path_type=Path), help="A node file of it.")(
        command
    )
    several = "A node of the network; may be repeated, one has to answer."
    return click.option("--join", type=ADDRESS, multiple=True, help=several)(command)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("words", metavar="[ARGUMENT]...", nargs=-1, type=click.UNPROCESSED)
@click.option("--on", metavar="NODE", help="The node that is to run it; without it, any that has it.")
@click.option("--timeout", "timeout_s", type=DURATION, help="Give up after so long; without it, never.")
@click.option("--raw", is_flag=True, help="Write a text, or bytes, as they are, not as JSON.")
@_network_options
def call(
    name: str,
    words: tuple[str, ...],
    on: str | None,
    timeout_s: float | None,
    raw: bool,
    join: Sequence[guthi.Address],
    config_file: Path | None,
) -> None:
    """Call the function NAME, and print what it returns as JSON; of a generator, each value as it comes, one a line.

    An argument is JSON; what is none is a text. width=3 is passed by name.

    \b
    Example:
      guthi call render 7 width=3 --on bob
    """
    places, named = read_arguments(words)
    config = client_config(join, config_file, JOIN_TIMEOUT_S, plugins=["rpc"])

    async def shown(rpc: Rpc) -> None:
        async with aclosing(_values_of(rpc, name, on, timeout_s, places, named)) as values:
            async for value in values:
                _show(value, raw)

    with _failures_told():
        run_loop(_with_rpc(config, shown))


async def _with_rpc(config: guthi.Config, work: Callable[[Rpc], Awaitable[None]]) -> None:
    async with guthi.Node(config) as node:
        await work(node.require(RPC))


async def _values_of(
    rpc: Rpc, name: str, on: str | None, timeout_s: float | None, places: list[Any], named: dict[str, Any]
) -> AsyncGenerator[Any, None]:
    """The one value of a function, or those that a generator yields."""
    deadline = deadline_after(timeout_s)
    yields = await rpc.yields(name, on=on, timeout=timeout_s)
    calls = rpc.options(on=on, timeout=time_left(deadline))
    if not yields:
        yield await calls.call(name, *places, **named)
        return
    async with aclosing(calls.stream(name, *places, **named)) as values:
        async for value in values:
            yield value


def _show(value: Any, raw: bool) -> None:
    if raw and isinstance(value, str | bytes):
        click.echo(value, nl=False)
    else:
        click.echo(written(value))


@click.command("map")
@click.argument("name")
@click.option("--on", metavar="NODE", multiple=True, help="A node that is to work on it; may be repeated.")
@click.option("--timeout", "timeout_s", type=DURATION, help="How long one line may take; without it, for ever.")
@click.option("--ordered", is_flag=True, help="Print results in the order of the lines, not as they come.")
@click.option("--values", "only_values", is_flag=True, help="Print the values alone, one a line.")
@click.option("--keep-going", is_flag=True, help="Print the failure of a line, and go on.")
@_network_options
def map_lines(
    name: str,
    on: tuple[str, ...],
    timeout_s: float | None,
    ordered: bool,
    only_values: bool,
    keep_going: bool,
    join: Sequence[guthi.Address],
    config_file: Path | None,
) -> None:
    """Call the function NAME for each line of standard input, on all nodes that have it.

    A line is JSON; what is none is a text; empty lines are left out. Each result is one line of JSON.

    \b
    Example:
      guthi map word_count --ordered < files.txt
    """
    config = client_config(join, config_file, JOIN_TIMEOUT_S, plugins=["rpc"])

    def begin(rpc: Rpc) -> MapRun:
        errors = "return" if keep_going else "raise"
        return rpc.map(name, _values(), on=on or None, timeout=timeout_s, ordered=ordered, errors=errors)

    with _failures_told():
        failed = run_loop(_map(config, begin, only_values))
    if failed:
        raise click.exceptions.Exit(FAILED)


async def _values() -> AsyncGenerator[Any, None]:
    async with aclosing(lines_of(sys.stdin.fileno())) as lines:
        async for line in lines:
            if line.strip():
                yield read_word(line)


async def _map(config: guthi.Config, begin: Callable[[Rpc], MapRun], only_values: bool) -> int:
    """Print the results; how many lines have failed."""
    async with guthi.Node(config) as node:
        run = begin(node.require(RPC))
        async with aclosing(_shown(run)) as results:
            async for result in results:
                click.echo(_line(result, only_values))
        return run.progress.failed


async def _shown(run: MapRun) -> AsyncGenerator[MapResult, None]:
    """The results, and how far it has come, where standard error is a terminal and the results go elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal or sys.stdout.isatty()) as bar:
        task = bar.add_task(run.progress.function, total=None)
        async with aclosing(run.__aiter__()) as results:
            async for result in results:
                bar.update(task, completed=run.progress.done, total=run.progress.given)
                yield result


def _line(result: MapResult, only_value: bool) -> str:
    if result.error is not None:
        return written({"index": result.index, "item": result.item, "error": _told(result.error)})
    if only_value:
        return written(result.value)
    return written({"index": result.index, "item": result.item, "value": result.value})


@contextmanager
def _failures_told() -> Iterator[None]:
    """What the function raises is no bug of ours, and none of the caller's."""
    try:
        yield
    except PASSING as error:
        _say(error, TRY_AGAIN)
    except Exception as error:
        if not came_by_wire(error):
            raise
        _say(error, FAILED)


def _say(error: Exception, code: int) -> None:
    click.echo(f"guthi: {_told(error)}", err=True)
    if os.environ.get("GUTHI_DEBUG", "0") not in ("", "0"):
        click.echo("\n".join(getattr(error, "__notes__", ())), err=True)
    raise click.exceptions.Exit(code)


def _told(error: Exception) -> str:
    return " ".join((str(error) if isinstance(error, guthi.GuthiError) else f"{type(error).__name__}: {error}").split())
