"""Draws curves over time as SVG: one axis of seconds that all charts of a page share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from tests.chaos.figures import BIN_S

__all__ = ["COLOURS", "HEIGHT", "LEFT", "ROW", "Axis", "Line", "chart", "svg"]

WIDTH, HEIGHT, LEFT, ROW = 1200.0, 180.0, 90.0, 16.0
FOOT = 18.0
MOST_TICKS = 12
STEPS_S = (5, 10, 30, 60, 120, 300, 600, 1800)
COLOURS = ("#4878a8", "#b07030", "#5a9060", "#8060a0", "#a0a030", "#508890", "#905878", "#707070")


@dataclass(frozen=True, slots=True)
class Axis:
    """Time from left to right."""

    began_at: float
    seconds: float

    def x(self, moment: float) -> float:
        """Where a moment is."""
        return LEFT + (WIDTH - LEFT) * min(max(moment - self.began_at, 0.0) / self.seconds, 1.0)

    def ticks(self) -> list[int]:
        """Round seconds, as many as can be read."""
        step_s = next((each for each in STEPS_S if self.seconds / each <= MOST_TICKS), STEPS_S[-1])
        return list(range(0, int(self.seconds) + 1, step_s))


@dataclass(frozen=True, slots=True)
class Line:
    """A curve: what it shows, and a value for each BIN_S, None where there is none."""

    name: str
    colour: str
    values: Sequence[float | None]
    width: float = 1.0


def chart(
    title: str,
    lines: Sequence[Line],
    marks: Sequence[tuple[float, str]],
    most: float,
    background: Sequence[str],
    axis: Axis,
) -> str:
    """Curves from 0 to `most`, with `marks` at some values, and what they are in their colours."""
    parts = list(background)
    for value, told in marks:
        y = HEIGHT * (1 - value / most)
        parts.append(f'<line x1="{LEFT:.0f}" x2="{WIDTH:.0f}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8:.0f}" y="{max(y + 4, 11):.1f}" text-anchor="end">{escape(told)}</text>')
    parts += [_curve(each, most, axis) for each in lines]
    named = "".join(f' <tspan style="fill:{each.colour}" dx="10">{escape(each.name)}</tspan>' for each in lines)
    parts.append(f'<text x="{LEFT:.0f}" y="{HEIGHT + 2 * FOOT - 4:.0f}">{named}</text>')
    return svg(title, parts, HEIGHT, axis, foot=2 * FOOT)


def _curve(line: Line, most: float, axis: Axis) -> str:
    pieces = "".join(_piece(each, line, most, axis) for each in _unbroken(line.values))
    return f"<g><title>{escape(line.name)}</title>{pieces}</g>"


def _unbroken(values: Sequence[float | None]) -> Iterator[list[tuple[int, float]]]:
    """Stretches in which there are values."""
    numbered = [(n, value) for n, value in enumerate(values) if value is not None]
    for _, stretch in groupby(enumerate(numbered), key=lambda each: each[1][0] - each[0]):
        yield [each for _, each in stretch]


def _piece(stretch: Sequence[tuple[int, float]], line: Line, most: float, axis: Axis) -> str:
    points = " ".join(
        f"{axis.x(axis.began_at + BIN_S * (n + 0.5)):.1f},{HEIGHT * (1 - value / most):.1f}" for n, value in stretch
    )
    stroke = f'stroke="{line.colour}" stroke-width="{line.width:g}" stroke-linecap="round"'
    return f'<polyline points="{points}{" " + points if len(stretch) == 1 else ""}" fill="none" {stroke}/>'


def svg(title: str, parts: Sequence[str], height: float, axis: Axis, *, foot: float = FOOT) -> str:
    """A heading and what is below it, with the seconds."""
    ticks = "".join(
        f'<line x1="{axis.x(axis.began_at + at):.1f}" x2="{axis.x(axis.began_at + at):.1f}" y1="{height:.0f}" '
        f'y2="{height + 4:.0f}" stroke="#888"/><text x="{axis.x(axis.began_at + at):.1f}" y="{height + 14:.0f}" '
        f'text-anchor="middle">{at} s</text>'
        for at in axis.ticks()
    )
    size = f'width="{WIDTH + 20:.0f}" height="{height + foot:.0f}" viewBox="0 0 {WIDTH + 20:.0f} {height + foot:.0f}"'
    return f"<h2>{escape(title)}</h2><svg {size}>{''.join(parts)}{ticks}</svg>"
