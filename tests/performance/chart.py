"""The bar chart of a run: a panel for each measure, a bar for each peer, Guthi's in a colour of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.ticker import NullFormatter

from performance.goals import MEASURES
from performance.summary import Figure, Summary

__all__ = ["draw"]

PANELS = ("call_us", "in_flight_calls_s", "in_flight_cpu_us", "bulk_mb_s", "array_mb_s", "map_items_s")
COLUMNS = 3
GUTHI_COLOUR, PEER_COLOUR = "#d1495b", "#9fb1bc"


def draw(summary: Summary, file: Path, caption: str) -> None:
    """Write a PNG; best at the top of each panel, lines from the least to the greatest start."""
    mpl.use("Agg")
    from matplotlib import pyplot

    rows = -(-len(PANELS) // COLUMNS)
    figure, axes = pyplot.subplots(rows, COLUMNS, figsize=(16, 5 * rows), layout="constrained")
    for axis, measure in zip(axes.flat, PANELS, strict=False):
        _panel(axis, summary, measure)
    figure.suptitle("Guthi (always encrypted) beside others, medians; a logarithmic scale", fontsize=14)
    figure.supxlabel(caption, fontsize=9)
    figure.savefig(file, dpi=100)
    pyplot.close(figure)


def _panel(axis: Any, summary: Summary, measure: str) -> None:
    less_is_better = MEASURES[measure].less_is_better
    found: list[tuple[str, Figure]] = [
        (peer.title, figure) for peer in summary.peers if (figure := summary.figure(peer.title, measure))
    ]
    found.sort(key=lambda each: each[1].median, reverse=less_is_better)  # barh draws the last one at the top
    names, figures = [name for name, _ in found], [figure for _, figure in found]
    medians = [figure.median for figure in figures]
    errors = [[each.median - each.low for each in figures], [each.high - each.median for each in figures]]
    colours = [GUTHI_COLOUR if name.startswith("Guthi") else PEER_COLOUR for name in names]
    bars = axis.barh(names, medians, xerr=errors, color=colours, ecolor="#444444")
    axis.bar_label(bars, [f" {median:,.0f}" for median in medians], label_type="center", fontsize=8)
    axis.set_xscale("log")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_title(f"{MEASURES[measure].title} ({'less' if less_is_better else 'more'} is better)", fontsize=11)
    axis.tick_params(axis="y", labelsize=9)
