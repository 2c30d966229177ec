"""The tables of a run as Markdown, for the terminal and the documentation, and all of it as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from performance.goals import MEASURES, Goal
from performance.machine import BUSY_LOAD
from performance.rounds import Start
from performance.summary import Figure, Summary

__all__ = ["as_json", "as_markdown"]

NOT_MEASURED = "–"
BUSY = "**The machine was busy with other work: these figures are no more than a hint.**"


def as_markdown(summary: Summary, machine: Mapping[str, object]) -> str:
    """What stands to must and aim, Guthi over each peer, and the figures themselves."""
    parts = [
        f"Measured {machine['date']} on {machine['cores']} cores of {machine['processor']}, {machine['system']}, "
        f"Python {machine['python']}, commit {machine['commit']}, load before {machine['load_before']}.",
        BUSY if float(str(machine["load_before"])) > BUSY_LOAD else "",
        _goals(summary),
        "Guthi over each peer, ratios of medians: times are better below 1, calls/s, MB/s and tasks/s above.",
        _ratios(summary),
        "Medians over the starts; of several also the spread from least to greatest in parts of the median:",
        _figures(summary),
        *(f"Missing: {peer}: {reason}." for peer, reason in summary.missing.items()),
        *(f"Failed: {peer}: {reason}." for peer, reason in summary.failed.items()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _goals(summary: Summary) -> str:
    rows = [_goal(goal, figure) for goal, figure in summary.goals()]
    return _table(["work", "Guthi over", "measured", "in one round", "must", "aim", "reached"], rows)


def _goal(goal: Goal, figure: Figure | None) -> list[str]:
    sign = "≤" if MEASURES[goal.measure].less_is_better else "≥"
    work = MEASURES[goal.measure].title + (goal.ours.removeprefix("Guthi") if goal.theirs else "")
    aim = NOT_MEASURED if goal.aim is None else f"{goal.aim:g}"
    reached = [NOT_MEASURED, NOT_MEASURED]
    if figure is not None:
        span = f"{figure.low:.2f} to {figure.high:.2f}" if figure.low < figure.high else NOT_MEASURED
        reached = [f"{figure.median:.2f}", span]
    verdict = NOT_MEASURED if figure is None else goal.verdict(figure.median)
    return [work, goal.theirs or "(itself)", *reached, f"{sign} {goal.must:g}", aim, verdict]


def _ratios(summary: Summary) -> str:
    peers = [peer for peer in summary.peers if peer.family != "guthi"]
    measures = [each for each in summary.measures() if any(summary.over(peer, each) for peer in peers)]
    ratios = [[summary.over(peer, measure) for measure in measures] for peer in peers]
    rows = [
        [peer.title, *(f"{each.median:.2f}" if each else NOT_MEASURED for each in row)]
        for peer, row in zip(peers, ratios, strict=True)
    ]
    return _table(["Guthi over", *(MEASURES[measure].title.rpartition(",")[0] for measure in measures)], rows)


def _figures(summary: Summary) -> str:
    measures = summary.measures()
    rows = [[peer.title, *(_cell(summary.figure(peer.title, each)) for each in measures)] for peer in summary.peers]
    return _table(["peer", *(MEASURES[measure].title for measure in measures)], rows)


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return NOT_MEASURED
    digits = 0 if figure.median >= 100 else 1 if figure.median >= 1 else 3
    spread = f" ({figure.spread_percent:.0f} %)" if figure.low < figure.high else ""
    return f"{figure.median:,.{digits}f}{spread}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in (head, *rows)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_json(
    summary: Summary, starts: Sequence[Start], machine: Mapping[str, object], versions: Mapping[str, str]
) -> dict[str, Any]:
    """Every start, what follows from them, and what they were made on."""
    return {
        "machine": dict(machine),
        "versions": dict(versions),
        "missing": summary.missing,
        "failed": summary.failed,
        "goals": [
            {
                "measure": goal.measure,
                "ours": goal.ours,
                "theirs": goal.theirs,
                "must": goal.must,
                "aim": goal.aim,
                "measured": figure and {"median": figure.median, "low": figure.low, "high": figure.high},
                "reached": figure and goal.verdict(figure.median),
            }
            for goal, figure in summary.goals()
        ],
        "starts": [
            {"round": start.round, "peer": start.peer.title, "measures": dict(start.measures)}
            for start in starts
            if start.measures
        ],
    }
