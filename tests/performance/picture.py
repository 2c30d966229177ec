"""The picture that two workers compute: which part of the Mandelbrot set, how large, cut in how many bands."""

from __future__ import annotations

from guthi_mandelbrot.kernel import EscapeTimes, Region, View, render, render_band
from guthi_mandelbrot.plugin import split_rows

__all__ = ["BANDS", "VIEW", "WORKERS", "Band", "band", "bands", "expected_picture"]

VIEW = View(Region(-2.1, 0.9, -1.5, 1.5), 1024, 1024, 256)
BANDS = 64
WORKERS = 2

Band = tuple[int, int]


def bands() -> list[Band]:
    """The first row and the number of rows of each band."""
    return split_rows(VIEW.height, BANDS)


def band(rows: Band) -> EscapeTimes:
    """One band; at the top of a module, so that every pool can find it."""
    return render_band(VIEW, *rows)


def expected_picture() -> EscapeTimes:
    """What every way of computing it must give, to the last bit."""
    return render(VIEW)
