"""How a picture is cut into bands of rows, and how a node computes one so that another could go on with it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final, TypeAlias

import numpy as np

from guthi.errors import UsageError
from guthi_mandelbrot.kernel import EscapeTimes, View, render_band
from guthi_rpc import current_call

__all__ = ["Band", "render_resumed", "split_rows"]

_STRIP_PIXELS: Final = 16_384  # between two checkpoints: fewer, and numpy is no longer busy with the pixels

Band: TypeAlias = tuple[int, int]  # the first row, and how many


def split_rows(height: int, bands: int) -> list[Band]:
    """Cut `height` rows into at most `bands` bands that differ by at most one row, from top to bottom."""
    if bands < 1:
        raise UsageError(f"the number of bands is {bands}; it must be 1 or more")
    bands = min(bands, height)
    edges = [height * band // bands for band in range(bands + 1)]
    return [(start, end - start) for start, end in pairwise(edges)]


def render_resumed(view: View, first_row: int, rows: int, state: Any) -> tuple[EscapeTimes, int]:
    """The band, and how many of its rows came from `state`: what an earlier attempt left as its checkpoint.

    For a function of the store: the rows that are done are a checkpoint of the call that is running.
    """
    done = _usable(state, (rows, view.width))
    times = np.empty((rows, view.width), np.uint32)
    times[: len(done)] = done
    strip_rows = max(_STRIP_PIXELS // view.width, 1)
    for start in range(len(done), rows, strip_rows):
        end = min(start + strip_rows, rows)
        times[start:end] = render_band(view, first_row + start, end - start)
        if end < rows:
            current_call().checkpoint(times[:end])
    return times, len(done)


def _usable(state: Any, shape: tuple[int, int]) -> EscapeTimes:
    """The rows that an earlier attempt had done; none where it left nothing, or nothing that fits."""
    rows, width = shape
    is_band = isinstance(state, np.ndarray) and state.dtype == np.uint32 and state.ndim == 2
    if is_band and state.shape[1] == width and state.shape[0] <= rows:
        return np.asarray(state, np.uint32)
    return np.empty((0, width), np.uint32)
