"""`guthi demo mandelbrot`: which picture is asked for, and what the user gets of it."""

from __future__ import annotations

import json
import re
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from rich.console import Console

from guthi.api import Address
from guthi.errors import ConfigError, UsageError
from guthi.runner import run_loop, until_asked_to_end
from guthi_mandelbrot.kernel import Region, View
from guthi_mandelbrot.mischief import Mischief
from guthi_mandelbrot.picture import check_output, colours, write_png
from guthi_mandelbrot.spectator import spectate
from guthi_mandelbrot.staging import Order, compute

__all__ = ["NAMED_REGIONS", "STOPPED", "demo"]

NAMED_REGIONS: Final = {
    "elephant": Region.around(0.2925, 0.0149, 0.02),
    "full": Region(-2.0, 0.6, -1.25, 1.25),
    "island": Region.around(-0.74364285, 0.13182625, 0.0000066),
    "seahorse": Region.around(-0.743030, 0.126433, 0.012),
    "spiral": Region.around(-0.7615, -0.0848, 0.0012),
    "star": Region.around(-0.1011, 0.9563, 0.012),
}
T = TypeVar("T")

STOPPED: Final = 130  # the exit code of a program that Ctrl-C, or SIGTERM, has ended before its time


def _size(_context: click.Context, _option: click.Parameter, text: str) -> tuple[int, int]:
    """Read "1600x1200"; the upper bound is the View's to say."""
    size = re.fullmatch("([1-9][0-9]{0,4})[xX]([1-9][0-9]{0,4})", text)
    if size is None:
        raise click.BadParameter(f"{text!r} is not a size; write for example 1600x1200")
    return int(size[1]), int(size[2])


def _region(_context: click.Context, _option: click.Parameter, text: str) -> Region:
    """Read a name, or the borders as in "-2,0.6,-1.25,1.25"."""
    if text in NAMED_REGIONS:
        return NAMED_REGIONS[text]
    try:
        left, right, bottom, top = map(float, text.split(","))
        return Region(left, right, bottom, top)
    except ValueError as error:
        names = ", ".join(NAMED_REGIONS)
        raise click.BadParameter(f"{text!r} is not a region; write {names}, or left,right,bottom,top") from error
    except UsageError as error:
        raise click.BadParameter(str(error)) from error


def _part(_context: click.Context, _option: click.Parameter, text: str) -> float:
    """Read "30%"; the sign may be left out."""
    number = re.fullmatch("([0-9]{1,3})%?", text)
    if number is None or not 0 < int(number[1]) < 100:
        raise click.BadParameter(f"{text!r} is no part of a picture; write for example 30%")
    return int(number[1]) / 100


def _address(_context: click.Context, _option: click.Parameter, text: str | None) -> Address | None:
    """Read "127.0.0.1:6969"."""
    try:
        return Address.parse(text) if text is not None else None
    except ConfigError as error:
        raise click.BadParameter(str(error)) from error


def _output(_context: click.Context, _option: click.Parameter, path: Path) -> Path:
    """Refuse a bad output file now, not after the work."""
    try:
        check_output(path)
    except UsageError as error:
        raise click.BadParameter(str(error)) from error
    return path


@click.command
@click.option(
    "--size", callback=_size, default="1600x1200", show_default=True, metavar="WxH", help="Pixels of the picture."
)
@click.option("--iterations", type=int, default=5000, show_default=True, help="Steps until a point counts as inside.")
@click.option(
    "--region",
    callback=_region,
    default="island",
    show_default=True,
    metavar="NAME|L,R,B,T",
    help=f"The part of the plane: {', '.join(NAMED_REGIONS)}, or its borders; widened to the picture's shape.",
)
@click.option("--nodes", type=click.IntRange(1, 64), default=4, show_default=True, help="Processes to start.")
@click.option("--bands", type=click.IntRange(1), default=64, show_default=True, help="Pieces to cut the picture in.")
@click.option(
    "--output",
    callback=_output,
    type=click.Path(path_type=Path),
    default="mandelbrot.png",
    show_default=True,
    help="The PNG file to write.",
)
@click.option("--kill", type=click.IntRange(0), default=0, help="Kill so many of the helping nodes in mid-picture.")
@click.option("--kill-initiator", is_flag=True, help="Kill the node that began the picture, in mid-picture.")
@click.option("--late", type=click.IntRange(0, 64), default=0, help="Start so many further nodes in mid-picture.")
@click.option(
    "--at",
    callback=_part,
    default="30%",
    show_default=True,
    metavar="PERCENT",
    help="How much of the picture is done when --kill, --kill-initiator and --late come into force.",
)
@click.option("--baseline/--no-baseline", default=True, help="First compute it on one node alone, for the speed-up.")
@click.option(
    "--watch",
    callback=_address,
    metavar="HOST:PORT",
    help="Start nothing; watch the picture of a demo that runs, and write it to --output.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def demo(
    size: tuple[int, int],
    iterations: int,
    region: Region,
    nodes: int,
    bands: int,
    output: Path,
    kill: int,
    kill_initiator: bool,
    late: int,
    at: float,
    baseline: bool,
    watch: Address | None,
    as_json: bool,
) -> None:
    """Compute a Mandelbrot picture on several nodes, each a process of its own on this machine.

    \b
    Examples:
      guthi demo mandelbrot --region seahorse --nodes 2 --output seahorse.png
      guthi demo mandelbrot --kill 2 --late 1 --at 30%
      guthi demo mandelbrot --kill-initiator
    """
    if watch is not None:
        write_png(colours(_done(spectate(watch))), output)
        click.echo(f"picture: {output}")
        return
    view = _view(region, size, iterations)
    if kill + kill_initiator >= nodes:
        raise click.BadParameter(f"of {nodes} nodes {nodes - 1} can be killed: one has to go on", param_hint="'--kill'")
    mischief = Mischief(kill, late, at, kill_initiator)
    times, report = _done(compute(Order(view, nodes, bands, baseline, mischief), output))
    write_png(colours(times), output)
    if as_json:
        click.echo(json.dumps(report.as_json()))
    else:
        report.print_to(Console())


def _done(work: Coroutine[Any, Any, T]) -> T:
    """What the work gives; where the user ends it, the program ends too."""
    finished: list[T] = []

    async def finish() -> None:
        finished.append(await work)

    with suppress(KeyboardInterrupt):  # Windows, or before the loop hears signals
        run_loop(until_asked_to_end(finish()))
    if not finished:
        click.echo("stopped before the picture was complete", err=True)
        raise SystemExit(STOPPED)
    return finished[0]


def _view(region: Region, size: tuple[int, int], iterations: int) -> View:
    """The view, with the region widened to the picture's shape."""
    width, height = size
    try:
        return View(region.widened_to(width / height), width, height, iterations)
    except UsageError as error:
        raise click.BadParameter(str(error), param_hint="'--size', '--iterations' and '--region'") from error
