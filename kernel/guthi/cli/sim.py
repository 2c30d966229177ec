"""`guthi sim`: a cluster file on virtual time, with as many nodes and as much trouble as one likes.

What only it needs is imported when it runs: `guthi run` would wait for that, too.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from guthi.cli.parameters import DURATION
from guthi.cli.table import print_table
from guthi.configuration.cluster import Cluster
from guthi.errors import UsageError

if TYPE_CHECKING:
    from guthi.testing.faults import Schedule
    from guthi.testing.trial import Outcome, Trial

__all__ = ["sim"]


class _ChanceType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer clicks
    name = "chance"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        matched = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", str(value))
        chance = float(matched[1]) / (100 if matched[2] else 1) if matched else -1.0
        if not 0 <= chance <= 1:
            self.fail(f"{value!r} is not a chance; write for example 5% or 0.05", param, ctx)
        return chance


CHANCE = _ChanceType()


@click.command
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--nodes", "count", type=click.IntRange(1), help="As many nodes, the file's or copies of its last.")
@click.option("--seconds", type=DURATION, default="60s", show_default=True, help="Virtual time.")
@click.option("--latency", type=DURATION, default="0.5ms", show_default=True, help="One way; up to 1 ms is added.")
@click.option("--loss", type=CHANCE, default="0%", show_default=True, help="Datagrams that are lost.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides every chance.")
@click.option(
    "--faults", metavar="SCHEDULE|swarm", help="As in '3s crash bob; 8s restart bob'; swarm lets the seed draw it."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def sim(
    file: Path,
    count: int | None,
    seconds: float,
    latency: float,
    loss: float,
    seed: int,
    faults: str | None,
    as_json: bool,
) -> None:
    """Simulate a cluster: its own code, plugins and cryptography, on virtual time in this process.

    The same seed gives the same trace, which is a hash over every datagram that was delivered.

    \b
    Example:
      guthi sim cluster.toml --nodes 1000 --seconds 60 --loss 5% --seed 1
    """
    from guthi.testing.links import Link
    from guthi.testing.trial import Trial

    if seconds <= 0:
        raise click.BadParameter("simulate at least a moment, for example 60s", param_hint="'--seconds'")
    cluster = Cluster.from_toml(file)
    configs = cluster.scaled(count).nodes if count is not None else cluster.nodes
    schedule = _schedule(faults, {config.node.name: config.node.zone for config in configs})
    trial = Trial(configs, seconds, seed, Link(latency_s=latency, loss=loss), schedule)
    started_at = time.perf_counter()  # noqa: TID251 - the wall seconds of the machine that simulates are what is asked for
    outcome = _with_progress(trial)
    wall_s = time.perf_counter() - started_at  # noqa: TID251
    if as_json:
        click.echo(json.dumps({**asdict(outcome), "wall_s": round(wall_s, 3)}))
    else:
        _print(outcome, wall_s)


def _schedule(faults: str | None, zones: dict[str, str]) -> Schedule | str | None:
    if faults is None or faults == "swarm":
        return faults
    from guthi.testing.faults import Schedule

    try:
        schedule = Schedule.parse(faults)
        schedule.check(zones)
    except UsageError as error:
        raise click.BadParameter(str(error), param_hint="'--faults'") from error
    return schedule


def _with_progress(trial: Trial) -> Outcome:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.completed:6.1f} of {task.total:g} virtual seconds"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("sim", total=trial.seconds)
        return trial.run(lambda seconds: progress.update(task, completed=seconds))


def _print(outcome: Outcome, wall_s: float) -> None:
    complete = f"{outcome.complete_s:.3f} s" if outcome.complete_s is not None else "never"
    rows = [
        ("nodes", str(outcome.nodes)),
        ("virtual seconds", f"{outcome.seconds:g}"),
        ("every node knew every node after", complete),
        ("messages a node a second", f"{outcome.messages_a_node_s:.2f}"),
        ("bytes a node a second", f"{outcome.bytes_a_node_s:.0f}"),
        ("verdicts true, false", f"{outcome.verdicts_true}, {outcome.verdicts_false}"),
        ("seed", str(outcome.seed)),
        ("trace", outcome.trace),
        ("wall seconds", f"{wall_s:.2f}"),
    ]
    if outcome.faults:
        rows.append(("faults", outcome.faults))
    print_table(("what", "value"), rows)
