"""The kernel: the same bits for every cut, tile and block, and the right numbers by a plain reference."""

from __future__ import annotations

import hashlib
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guthi.errors import UsageError
from guthi_mandelbrot import STEP, Region, View, kernel, render, render_band

FULL = Region(-2.0, 0.6, -1.25, 1.25)
SEAHORSE = Region.around(-0.743030, 0.126433, 0.012)

coordinates = st.floats(-2.5, 2.5)
extents = st.floats(1e-9, 3.0)
regions = st.builds(lambda x, y, w, h: Region(x, x + w, y, y + h), coordinates, coordinates, extents, extents)
views = st.builds(View, regions, st.integers(1, 40), st.integers(1, 40), st.integers(1, 200))


def reference(x: float, y: float, iterations: int) -> int:
    """The escape time of one point by the definition, with Python's own floats and logarithms."""
    real = imaginary = 0.0
    for step in range(1, iterations + 1):
        real, imaginary = real * real - imaginary * imaginary + x, 2 * real * imaginary + y
        size = real * real + imaginary * imaginary
        if size > 256:
            return max(1, math.floor(STEP * (step - math.log2(math.log2(size) / 8))))
    return 0


@given(view=views, data=st.data())
def test_any_bands_put_together_are_the_whole(view: View, data: st.DataObject) -> None:
    whole = render(view)
    edges = sorted({0, view.height, *data.draw(st.lists(st.integers(0, view.height)))})
    bands = [render_band(view, start, end - start) for start, end in pairwise(edges)]
    assert np.array_equal(np.vstack(bands), whole)
    assert whole.dtype == np.uint32


@settings(max_examples=20)
@given(view=views, tile_pixels=st.integers(1, 2000), block_steps=st.integers(1, 50))
def test_tiles_and_blocks_do_not_show(view: View, tile_pixels: int, block_steps: int) -> None:
    expected = render(view)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "_TILE_PIXELS", tile_pixels)
        patch.setattr(kernel, "_BLOCK_STEPS", block_steps)
        assert np.array_equal(render(view), expected)


@pytest.mark.parametrize("region", [FULL, SEAHORSE, Region(-900.0, 900.0, -900.0, 900.0)])
def test_times_are_those_of_the_definition(region: Region) -> None:
    view = View(region, 45, 37, 300)
    times = render(view)
    for row in range(view.height):
        for column in range(view.width):
            x = region.left + (column + 0.5) * view.pixel_width
            y = region.top - (row + 0.5) * view.pixel_height
            expected = reference(x, y, view.iterations)
            assert abs(int(times[row, column]) - expected) <= 1, (row, column)
            assert (times[row, column] == 0) == (expected == 0), (row, column)


def test_the_shortcut_for_the_main_bodies_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    view = View(FULL, 120, 120, 500)
    expected = render(view)
    assert 0.1 < (expected == 0).mean() < 0.5
    monkeypatch.setattr(kernel, "_in_main_bodies", lambda x, y: np.zeros(x.size, bool))
    assert np.array_equal(render(view), expected)


def test_every_machine_computes_these_bits() -> None:
    """Nodes on different processors make one picture: a change of this digest makes a seam between versions."""
    times = render(View(SEAHORSE, 160, 120, 1000)).astype("<u4")
    assert hashlib.blake2b(times.tobytes(), digest_size=16).hexdigest() == "b18a68a046ad2f8dce978fac27362ef5"


def test_more_iterations_only_turn_inside_into_outside() -> None:
    few, many = (render(View(SEAHORSE, 60, 60, iterations)) for iterations in (100, 400))
    assert np.array_equal(many[few > 0], few[few > 0])
    assert (many > 0).sum() > (few > 0).sum()


@pytest.mark.parametrize(
    ("borders", "complaint"),
    [
        ((1.0, 1.0, 0.0, 1.0), "left < right"),
        ((0.0, 1.0, 1.0, 0.0), "bottom < top"),
        ((math.nan, 1.0, 0.0, 1.0), "between -1000 and 1000"),
        ((0.0, math.inf, 0.0, 1.0), "between -1000 and 1000"),
    ],
)
def test_bad_regions_are_refused(borders: tuple[float, float, float, float], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        Region(*borders)


@pytest.mark.parametrize(
    ("width", "height", "iterations", "complaint"),
    [
        (0, 10, 10, "size 0x10"),
        (10, -1, 10, "size 10x-1"),
        (70_000, 1, 10, "size 70000x1"),
        (60_000, 60_000, 10, "pixels in all"),
        (10, 10, 0, "iterations is 0"),
        (10, 10, 2**24, "iterations is"),
    ],
)
def test_bad_views_are_refused(width: int, height: int, iterations: int, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        View(FULL, width, height, iterations)


def test_a_region_finer_than_floats_is_refused() -> None:
    with pytest.raises(UsageError, match="too small"):
        View(Region.around(-0.75, 0.1, 1e-13), 1000, 1000, 100)


@pytest.mark.parametrize(("first_row", "rows"), [(-1, 2), (0, 0), (0, 11), (9, 2)])
def test_bands_outside_the_picture_are_refused(first_row: int, rows: int) -> None:
    with pytest.raises(UsageError, match="are not all in 0 to 9"):
        render_band(View(FULL, 10, 10, 10), first_row, rows)


@given(region=regions, aspect=st.floats(0.1, 10.0))
def test_widening_keeps_the_region_and_gives_the_aspect(region: Region, aspect: float) -> None:
    wide = region.widened_to(aspect)
    assert wide.left <= region.left < region.right <= wide.right
    assert wide.bottom <= region.bottom < region.top <= wide.top
    assert math.isclose((wide.right - wide.left) / (wide.top - wide.bottom), aspect, rel_tol=1e-5)
