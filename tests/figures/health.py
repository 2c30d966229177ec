"""The figures of docs/health.md, measured anew: how fast `swim` detects, and how often it is wrong.

python -m tests.figures.health [MINUTES]
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.figures.crowd import Illness
from tests.figures.swim import Detection, Mistakes, datagrams_a_second, detection, false_positives

from guthi_health import SwimSettings

__all__ = ["draw"]

NODES, DEATHS, MINUTES = 1000, 40, 10
PAGE, PLOT = "health.md", "health-mistakes.png"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
CASES: tuple[tuple[str, SwimSettings], ...] = (
    ("Lifeguard", SwimSettings()),
    ("without", SwimSettings(lifeguard=False)),
    ("without, suspicion five times as long", SwimSettings(lifeguard=False, suspicion=6.0)),
)


def draw(folder: Path, minutes: int) -> None:
    """Write the tables into the page in `folder`, and the plot beside it where matplotlib is installed."""
    with ProcessPoolExecutor(initializer=gc.disable) as pool:  # which would go through millions of lasting objects
        runs = [pool.submit(false_positives, NODES, minutes, settings, Illness.HOLDING) for _, settings in CASES]
        deaths = pool.submit(detection, NODES, DEATHS, SwimSettings())
        mistakes = [(name, each.result()) for (name, _), each in zip(CASES, runs, strict=True)]
    tables = [*_detection(deaths.result()), "", *_traffic(), "", *_mistakes(mistakes, minutes)]
    try:
        _plot(mistakes, folder / PLOT)
    except ModuleNotFoundError as error:
        print(f"no plot: no module {error.name}", file=sys.stderr)
    else:
        tables += ["", f"![Healthy nodes that were given up, by minute]({PLOT})"]
    page = folder / PAGE
    before, _, rest = page.read_text().partition(BEGIN)
    text = "\n".join(tables)
    page.write_text(f"{before}{BEGIN}\n{text}\n\n{END}{rest.partition(END)[2]}")


def _detection(found: Detection) -> Iterator[str]:
    yield f"| {NODES:,} nodes, {DEATHS} deaths: seconds until | median | most |"
    yield "|---|---|---|"
    steps = ("somebody suspects it", "somebody has given it up", "every node knows that it failed")
    for step, median_s, all_s in zip(
        steps, found.medians_s, (found.suspected_s, found.failed_s, found.known_s), strict=True
    ):
        yield f"| {step} | {median_s:.2f} | {max(all_s):.2f} |"


def _traffic() -> Iterator[str]:
    yield "| nodes | datagrams that a node sends a second |"
    yield "|---|---|"
    for nodes in (10, 100, 1000):
        yield f"| {nodes:,} | {datagrams_a_second(nodes, SwimSettings()):.2f} |"


def _mistakes(found: Sequence[tuple[str, Mistakes]], minutes: int) -> Iterator[str]:
    best = max(found[0][1].total, 1)
    title = f"{NODES:,} nodes, 5 % ill, {minutes} min"
    yield f"| {title} | healthy nodes given up | times more | times that a healthy node believed it |"
    yield "|---|---|---|---|"
    for name, each in found:
        yield f"| {name} | {each.total:,} | {each.total / best:,.0f} | {each.believed:,} |"


def _plot(found: Sequence[tuple[str, Mistakes]], file: Path) -> None:
    """One line a case, over the minutes; the scale is logarithmic from one on."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for name, each in found:
        axis.plot(range(len(each.by_minute)), each.by_minute, "o-", label=name)
    axis.set_yscale("symlog", linthresh=1)
    axis.set_xlabel("minutes")
    axis.set_ylabel("healthy nodes given up, in all")
    axis.set_title(f"swim, {NODES:,} nodes, 5 % of them ill for 20 s at a time")
    axis.grid(visible=True, alpha=0.3)
    axis.legend()
    figure.savefig(file, dpi=100)
    pyplot.close(figure)


if __name__ == "__main__":
    draw(Path(__file__).parents[2] / "docs", int(sys.argv[1]) if len(sys.argv) > 1 else MINUTES)
