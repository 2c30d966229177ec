"""The escape time of every pixel of a Mandelbrot picture, to the same bits on every machine and in every band.

A pixel is a point c. z starts at 0 and becomes z*z + c again and again; c lies in the set when z stays small for
ever. The escape time says after how many steps z left the circle of radius 16, or 0 when it did not.

Why nodes agree to the last bit: a pixel's point comes from its row and column by one expression, whatever the
band; after that there is nothing but real additions and multiplications, which IEEE 754 rounds in one way only.
(Complex products and numpy's logarithm differ between processors, so neither is used.)

Where the speed comes from: points in the two largest bodies of the set are known beforehand; the others advance
by blocks of steps, in tiles that fit the processor's cache. After a block, the points that left are gone over
again from the block's start to find the step, and drop out of the work.

The fraction of a step is that of the normalized iteration count (Peitgen and Saupe, The Science of Fractal
Images, 1988): n - log2(log |z| / log 16), without which a picture shows steps of colour.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from guthi.errors import UsageError

__all__ = ["STEP", "EscapeTimes", "Region", "View", "render", "render_band"]

EscapeTimes: TypeAlias = npt.NDArray[np.uint32]
"""A row of pixels after another: how long each takes to escape, in 1/STEP of an iteration; 0: it does not."""
_Floats: TypeAlias = npt.NDArray[np.float64]
_Flags: TypeAlias = npt.NDArray[np.bool_]

STEP: Final = 256
"""Escape times count in this fraction of an iteration."""

_ESCAPE_SIZE: Final = 256.0  # |z|² beyond which z is gone: 16²
_ESCAPE_SIZE_LOG2: Final = 8.0
_BLOCK_STEPS: Final = 16
_TILE_PIXELS: Final = 65_536
_LARGEST_COORDINATE: Final = 1000.0
_LARGEST_SIDE_PIXELS: Final = 65_535
_MOST_PIXELS: Final = 2**28  # a gigabyte of escape times
_MOST_ITERATIONS: Final = 2**24 - 1  # so that an escape time in STEPs fits 32 bits


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of the complex plane; the whole set lies within -2 to 0.5 and -1.15 to 1.15.

    Raises UsageError when the borders are not in order or not numbers between -1000 and 1000.
    """

    left: float
    right: float
    bottom: float
    top: float

    def __post_init__(self) -> None:
        borders = (self.left, self.right, self.bottom, self.top)
        if not all(abs(border) <= _LARGEST_COORDINATE for border in borders):
            raise UsageError(f"the borders {borders} must be numbers between -1000 and 1000; the set is within 2")
        if not (self.left < self.right and self.bottom < self.top):
            raise UsageError(f"the borders {borders} must have left < right and bottom < top")

    @classmethod
    def around(cls, x: float, y: float, height: float) -> Region:
        """The square of the given side length about a centre."""
        return cls(x - height / 2, x + height / 2, y - height / 2, y + height / 2)

    def widened_to(self, aspect: float) -> Region:
        """The smallest region about this one with `aspect` = width / height, so that a picture is not distorted."""
        width, height = self.right - self.left, self.top - self.bottom
        extra_x = max(0.0, height * aspect - width) / 2
        extra_y = max(0.0, width / aspect - height) / 2
        return Region(self.left - extra_x, self.right + extra_x, self.bottom - extra_y, self.top + extra_y)


@dataclass(frozen=True, slots=True)
class View:
    """A picture to be computed: a region, its size in pixels, and the steps after which a point counts as inside.

    Raises UsageError when a number is out of bounds, or the region is so small that 64-bit floats cannot tell
    neighbouring pixels apart.
    """

    region: Region
    width: int
    height: int
    iterations: int

    def __post_init__(self) -> None:
        if not (1 <= self.width <= _LARGEST_SIDE_PIXELS and 1 <= self.height <= _LARGEST_SIDE_PIXELS):
            raise UsageError(f"the size {self.width}x{self.height} must be 1x1 to 65535x65535 pixels")
        if self.width * self.height > _MOST_PIXELS:
            raise UsageError(f"the size {self.width}x{self.height} is more than {_MOST_PIXELS} pixels in all")
        if not 1 <= self.iterations <= _MOST_ITERATIONS:
            raise UsageError(f"iterations is {self.iterations}; it must be 1 to {_MOST_ITERATIONS}")
        region = self.region
        finest_x = math.ulp(max(abs(region.left), abs(region.right)))
        finest_y = math.ulp(max(abs(region.bottom), abs(region.top)))
        if self.pixel_width < 4 * finest_x or self.pixel_height < 4 * finest_y:
            raise UsageError("the region is too small for 64-bit floats; choose a larger one or fewer pixels")

    @property
    def pixel_width(self) -> float:
        """The horizontal distance between two pixels in the plane."""
        return (self.region.right - self.region.left) / self.width

    @property
    def pixel_height(self) -> float:
        """The vertical distance between two pixels in the plane."""
        return (self.region.top - self.region.bottom) / self.height


def render(view: View) -> EscapeTimes:
    """The whole picture, computed here; see `render_band`."""
    return render_band(view, 0, view.height)


def render_band(view: View, first_row: int, rows: int) -> EscapeTimes:
    """Escape times of `rows` rows from `first_row` (0 is the top), as an array of shape (rows, view.width).

    The unit is 1/STEP iteration; 0 stands for a point that did not escape within `view.iterations`. Raises
    UsageError when the band is not within the picture.
    """
    if not (first_row >= 0 and rows >= 1 and first_row + rows <= view.height):
        raise UsageError(f"rows {first_row} to {first_row + rows - 1} are not all in 0 to {view.height - 1}")
    times = np.empty((rows, view.width), np.uint32)
    x = view.region.left + (np.arange(view.width) + 0.5) * view.pixel_width
    y = view.region.top - (np.arange(first_row, first_row + rows) + 0.5) * view.pixel_height
    tile_rows = max(1, _TILE_PIXELS // view.width)
    for start in range(0, rows, tile_rows):
        tile = times[start : start + tile_rows]
        tile_y = y[start : start + tile_rows]
        points_x, points_y = np.tile(x, tile_y.size), np.repeat(tile_y, view.width)
        tile[...] = _escape_times(points_x, points_y, view.iterations).reshape(tile.shape)
    return times


def _escape_times(x: _Floats, y: _Floats, iterations: int) -> EscapeTimes:
    """Escape times of the points (x, y), which are one-dimensional and of one length."""
    times = np.zeros(x.size, np.uint32)
    index = np.flatnonzero(~_in_main_bodies(x, y))
    orbit = _Orbit(np.zeros(index.size), np.zeros(index.size), x[index], y[index])
    done = 0
    with np.errstate(over="ignore", invalid="ignore"):  # a point that left goes on growing until its block ends
        while done < iterations and index.size:
            steps = min(_BLOCK_STEPS, iterations - done)
            start = orbit.copy()
            orbit.advance(steps)
            stays = orbit.sizes() <= _ESCAPE_SIZE  # False for not-a-number too
            if not stays.all():
                times[index[~stays]] = _times_within_block(start.only(~stays), done, steps)
                index, orbit = index[stays], orbit.only(stays)
            done += steps
    return times


def _times_within_block(orbit: _Orbit, done: int, steps: int) -> EscapeTimes:
    """The escape times of points that all leave within the `steps` that follow the first `done`."""
    sizes = np.empty((steps, orbit.x.size))
    for step in range(steps):
        orbit.advance(1)
        sizes[step] = orbit.sizes()
    last = (sizes > _ESCAPE_SIZE).argmax(axis=0)
    return _smooth(done + 1 + last, sizes[last, np.arange(last.size)])


def _smooth(steps: npt.NDArray[np.intp], sizes: _Floats) -> EscapeTimes:
    """The escape times, at least 1, of points that left with |z|² = `sizes` in `steps`."""
    iterations = steps - _log2(_log2(sizes) * (1 / _ESCAPE_SIZE_LOG2))
    return np.maximum(np.floor(iterations * STEP), 1.0).astype(np.uint32)


def _log2(values: _Floats) -> _Floats:
    """The binary logarithm to 0.0002, from exactly rounded operations only; it has no jumps."""
    mantissa, exponent = np.frexp(values)
    t = mantissa * 2 - 1
    bulge = t * (1 - t) * (0.43807325 + t * (-0.23669342 + t * 0.0803073))
    logarithm: _Floats = exponent - 1 + t + bulge
    return logarithm


def _in_main_bodies(x: _Floats, y: _Floats) -> _Flags:
    """Whether a point lies in the set's main cardioid or in the disc to its left."""
    squared_y = y * y
    offset = x - 0.25
    distance = offset * offset + squared_y
    cardioid = distance * (distance + offset) <= 0.25 * squared_y
    disc = (x + 1) * (x + 1) + squared_y <= 0.0625
    return np.asarray(cardioid | disc)


class _Orbit:
    """The current z of many points c = (x, y), advanced in place."""

    __slots__ = ("_products", "_squares", "imaginary", "real", "x", "y")

    def __init__(self, real: _Floats, imaginary: _Floats, x: _Floats, y: _Floats) -> None:
        self.real, self.imaginary, self.x, self.y = real, imaginary, x, y
        self._squares, self._products = np.empty_like(real), np.empty_like(real)

    def copy(self) -> _Orbit:
        """A state to go back to; the points themselves are shared, for nothing changes them."""
        return _Orbit(self.real.copy(), self.imaginary.copy(), self.x, self.y)

    def only(self, chosen: _Flags) -> _Orbit:
        """The chosen points, copied."""
        return _Orbit(self.real[chosen], self.imaginary[chosen], self.x[chosen], self.y[chosen])

    def sizes(self) -> _Floats:
        """|z|² of every point."""
        return self.real * self.real + self.imaginary * self.imaginary

    def advance(self, steps: int) -> None:
        """z = z*z + c, `steps` times."""
        real, imaginary, x, y = self.real, self.imaginary, self.x, self.y
        squares, products = self._squares, self._products
        for _ in range(steps):
            np.multiply(real, imaginary, out=products)
            np.multiply(real, real, out=real)
            np.multiply(imaginary, imaginary, out=squares)
            np.subtract(real, squares, out=real)
            np.add(real, x, out=real)
            np.add(products, products, out=imaginary)
            np.add(imaginary, y, out=imaginary)
