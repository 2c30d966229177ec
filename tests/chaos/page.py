"""The same as an HTML page that needs nothing else: faults over throughput and latency, by time."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import log10

from tests.chaos.drawing import COLOURS, HEIGHT, ROW, Axis, Line, chart, svg
from tests.chaos.figures import Series, series
from tests.chaos.journal import Call, calls
from tests.chaos.report import lines_of
from tests.chaos.run import Outcome
from tests.chaos.spells import Spell

__all__ = ["page_of"]

FAILED = "#d02020"
DECADES = range(1, 5)  # of milliseconds
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:14px system-ui,sans-serif;margin:2em;color:#222}}
svg{{display:block;margin-bottom:1.5em}}
text{{font-size:11px;fill:#444}}pre{{background:#f6f6f6;padding:1em;overflow:auto}}</style>
<h1>{title}</h1>{charts}<pre>{table}</pre></html>
"""


def page_of(outcome: Outcome) -> str:
    """The page."""
    done = calls(outcome.entries)
    axis = Axis(outcome.began_at, max(outcome.ended_at - outcome.began_at, 1.0))
    spells = sorted(outcome.spells, key=lambda each: each.began_at)
    told = series(done, outcome.began_at, outcome.ended_at)
    by_work = _by_work(done, outcome)
    charts = [
        _timeline(spells, axis),
        _throughput(told, by_work, spells, axis),
        _latency(by_work, spells, axis),
    ]
    table = "\n".join(lines_of(outcome))
    return PAGE.format(title=f"Guthi under chaos, seed {outcome.seed}", charts="".join(charts), table=escape(table))


def _by_work(done: Sequence[Call], outcome: Outcome) -> dict[str, Series]:
    names = sorted({each.work for each in done})
    of_name = {name: [each for each in done if each.work == name] for name in names}
    return {name: series(some, outcome.began_at, outcome.ended_at) for name, some in of_name.items()}


def _timeline(spells: Sequence[Spell], axis: Axis) -> str:
    kinds = sorted({each.kind for each in spells})
    rows = [f'<text x="0" y="{ROW * n + 12:.0f}">{escape(kind)}</text>' for n, kind in enumerate(kinds)]
    for each in spells:
        row, begin, end = kinds.index(each.kind), axis.x(each.began_at), axis.x(each.ended_at)
        hosts = escape(", ".join(each.hosts))
        rows.append(
            f'<rect x="{begin:.1f}" y="{ROW * row + 2:.0f}" width="{max(end - begin, 1):.1f}" height="12" '
            f'fill="{_colour(each)}"><title>{escape(each.kind)}: {hosts}, '
            f"{each.ended_at - each.began_at:.1f} s</title></rect>"
        )
        if len(each.hosts) <= 2:  # weather is everywhere
            rows.append(f'<text x="{end + 4:.1f}" y="{ROW * row + 12:.0f}">{hosts}</text>')
    return svg("faults", rows, ROW * max(len(kinds), 1), axis)


def _throughput(told: Series, by_work: dict[str, Series], spells: Sequence[Spell], axis: Axis) -> str:
    most = float(max([*told.ok, *told.failed, 1]))
    lines = [Line("all", "#222222", told.ok, 2.0)]
    lines += [Line(name, colour, each.ok) for (name, each), colour in zip(by_work.items(), COLOURS, strict=False)]
    lines.append(Line("failed", FAILED, told.failed, 2.0))
    marks = [(0.0, "0"), (most, f"{most:.0f}")]
    return chart("calls a second", lines, marks, most, _shades(spells, axis), axis)


def _latency(by_work: dict[str, Series], spells: Sequence[Spell], axis: Axis) -> str:
    lines = [
        Line(name, colour, _exponents(each)) for (name, each), colour in zip(by_work.items(), COLOURS, strict=False)
    ]
    marks = [(0.0, "1 or less"), *((float(decade), f"{10**decade:,}") for decade in DECADES)]
    most = max([float(DECADES[-1]), *(value or 0.0 for line in lines for value in line.values)])
    return chart("95th percentile of their times, ms", lines, marks, most, _shades(spells, axis), axis)


def _exponents(told: Series) -> list[float | None]:
    """Of milliseconds; None where nothing had a result."""
    return [log10(max(1e3 * slow_s, 1.0)) if ok else None for ok, slow_s in zip(told.ok, told.slow_s, strict=True)]


def _shades(spells: Sequence[Spell], axis: Axis) -> list[str]:
    shades = []
    for each in spells:
        begin, end = axis.x(each.began_at), axis.x(each.ended_at)
        shades.append(
            f'<rect x="{begin:.1f}" y="0" width="{max(end - begin, 1):.1f}" height="{HEIGHT:.0f}" '
            f'fill="{_colour(each)}" opacity="0.15"/>'
        )
    return shades


def _colour(spell: Spell) -> str:
    return COLOURS[sum(spell.kind.encode()) % len(COLOURS)]
