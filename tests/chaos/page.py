"""The same as an HTML page that needs nothing else: faults over throughput and latency, by time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from tests.chaos.figures import BIN_S, series
from tests.chaos.journal import calls
from tests.chaos.report import lines_of
from tests.chaos.run import Outcome
from tests.chaos.spells import Spell

__all__ = ["page_of"]

WIDTH, HEIGHT, LEFT, ROW = 1200.0, 180.0, 90.0, 16.0
COLOURS = ("#4878a8", "#b05050", "#5a9060", "#a08030", "#8060a0", "#508890", "#905878", "#707070")
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:14px system-ui,sans-serif;margin:2em;color:#222}}
svg{{display:block;margin-bottom:1.5em}}
text{{font-size:11px;fill:#444}}pre{{background:#f6f6f6;padding:1em;overflow:auto}}</style>
<h1>{title}</h1>{charts}<pre>{table}</pre></html>
"""


def page_of(outcome: Outcome) -> str:
    """The page."""
    told = series(calls(outcome.entries), outcome.began_at, outcome.ended_at)
    spells = sorted(outcome.spells, key=lambda each: each.began_at)
    seconds = max(outcome.ended_at - outcome.began_at, 1.0)

    def x(moment: float) -> float:
        return LEFT + (WIDTH - LEFT) * min(max(moment - outcome.began_at, 0.0) / seconds, 1.0)

    charts = [
        _timeline(spells, x, seconds),
        _chart("calls a second", [("ok", told.ok), ("failed", told.failed)], spells, x, seconds),
        _chart("95th percentile, ms", [("ok", [each * 1e3 for each in told.slow_s])], spells, x, seconds),
    ]
    table = "\n".join(lines_of(outcome))
    return PAGE.format(title=f"Guthi under chaos, seed {outcome.seed}", charts="".join(charts), table=escape(table))


def _timeline(spells: Sequence[Spell], x: Callable[[float], float], seconds: float) -> str:
    kinds = sorted({each.kind for each in spells})
    rows = [f'<text x="0" y="{ROW * n + 12:.0f}">{escape(kind)}</text>' for n, kind in enumerate(kinds)]
    for each in spells:
        row, begin, end = kinds.index(each.kind), x(each.began_at), x(each.ended_at)
        rows.append(
            f'<rect x="{begin:.1f}" y="{ROW * row + 2:.0f}" width="{max(end - begin, 1):.1f}" height="12" '
            f'fill="{_colour(each)}"><title>{escape(each.kind)}: {escape(", ".join(each.hosts))}, '
            f"{each.ended_at - each.began_at:.1f} s</title></rect>"
        )
    return _svg("faults", rows, ROW * max(len(kinds), 1), seconds)


def _chart(
    title: str,
    lines: Sequence[tuple[str, Sequence[float]]],
    spells: Sequence[Spell],
    x: Callable[[float], float],
    seconds: float,
) -> str:
    most = max((value for _, values in lines for value in values), default=0.0) or 1.0
    parts = [
        f'<rect x="{x(each.began_at):.1f}" y="0" width="{max(x(each.ended_at) - x(each.began_at), 1):.1f}" '
        f'height="{HEIGHT:.0f}" fill="{_colour(each)}" opacity="0.15"/>'
        for each in spells
    ]
    for (name, values), colour in zip(lines, COLOURS, strict=False):
        step = (WIDTH - LEFT) * BIN_S / seconds
        points = " ".join(
            f"{LEFT + step * (n + 0.5):.1f},{HEIGHT * (1 - value / most):.1f}" for n, value in enumerate(values)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}"><title>{name}</title></polyline>')
    parts.append(f'<text x="{LEFT - 8:.0f}" y="11" text-anchor="end">{most:.0f}</text>')
    parts.append(f'<text x="{LEFT - 8:.0f}" y="{HEIGHT:.0f}" text-anchor="end">0</text>')
    return _svg(title, parts, HEIGHT, seconds)


def _svg(title: str, parts: Sequence[str], height: float, seconds: float) -> str:
    ends = [(LEFT, "start", "0"), (WIDTH, "end", f"{seconds:.0f} s")]
    axis = "".join(
        f'<text x="{x:.0f}" y="{height + 14:.0f}" text-anchor="{side}">{told}</text>' for x, side, told in ends
    )
    size = f'width="{WIDTH:.0f}" height="{height + 18:.0f}" viewBox="0 0 {WIDTH:.0f} {height + 18:.0f}"'
    return f"<h2>{escape(title)}</h2><svg {size}>{''.join(parts)}{axis}</svg>"


def _colour(spell: Spell) -> str:
    return COLOURS[sum(spell.kind.encode()) % len(COLOURS)]
