"""How bands of a picture are offered to the network as one function, and how a picture is put together from many nodes.

The cut is by rows. There are more bands than nodes, and `map` hands out the next one when a node is done: so slow
nodes and bands dense with work even out by themselves, and a band of a node that died is computed elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, TypeAlias

import numpy as np

import guthi
from guthi.errors import PeerBreach, UsageError
from guthi_mandelbrot.kernel import EscapeTimes, Region, View, render_band
from guthi_rpc import RPC, Rpc

__all__ = ["FUNCTION", "MandelbrotPlugin", "Share", "render_distributed", "split_rows"]

FUNCTION: Final = "mandelbrot.render_band"

Band: TypeAlias = tuple[int, int]  # the first row, and how many


class MandelbrotPlugin(guthi.Plugin):
    """Lets other nodes compute bands of Mandelbrot pictures here."""

    name = "mandelbrot"
    requires = (RPC,)

    @dataclass(frozen=True)
    class Config:
        """The table [plugins.mandelbrot].

        `largest_band_pixels` bounds the band that one call may ask for, and so this node's memory: four bytes a pixel.
        """

        largest_band_pixels: int = 2**26

    def __init__(self, node: guthi.Node, config: Config) -> None:
        self._rpc = node.require(RPC)
        self._largest_band_pixels = config.largest_band_pixels

    async def run(self, stack: AsyncExitStack) -> None:
        """Announce the function to all nodes."""
        self._rpc.register(self.render_band, name=FUNCTION, run="thread")

    def render_band(
        self,
        left: float,
        right: float,
        bottom: float,
        top: float,
        width: int,
        height: int,
        iterations: int,
        first_row: int,
        rows: int,
    ) -> EscapeTimes:
        """Escape times of some rows of a picture; the first seven arguments are those of Region and View."""
        if width * rows > self._largest_band_pixels:
            raise UsageError(
                f"a band of {width * rows} pixels is more than the {self._largest_band_pixels} that this node"
                " computes at once; ask for more and smaller bands"
            )
        view = View(Region(left, right, bottom, top), width, height, iterations)
        return render_band(view, first_row, rows)


@dataclass(frozen=True, slots=True)
class Share:
    """What one node did for a picture: bands, rows, and the seconds that it spent on them, without the network."""

    node: str
    bands: int = 0
    rows: int = 0
    busy_s: float = 0.0


def split_rows(height: int, bands: int) -> list[Band]:
    """Cut `height` rows into at most `bands` bands that differ by at most one row, from top to bottom."""
    if bands < 1:
        raise UsageError(f"the number of bands is {bands}; it must be 1 or more")
    bands = min(bands, height)
    edges = [height * band // bands for band in range(bands + 1)]
    return [(start, end - start) for start, end in pairwise(edges)]


async def render_distributed(
    rpc: Rpc,
    view: View,
    bands: int,
    *,
    on: Sequence[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[EscapeTimes, tuple[Share, ...]]:
    """Compute a picture on many nodes: the same array as `render(view)`, and each node's share, sorted by name.

    `on` limits the work to the nodes of these names; None means every node that offers FUNCTION. `progress` is
    called with a node's name at each of its bands. Raises UsageError when `bands` is below 1 or a band is larger
    than a node accepts, PeerBreach when a node answers with something that is not a band, and what `map` raises
    when no node is left.
    """
    cut = split_rows(view.height, bands)
    times = np.empty((view.height, view.width), np.uint32)
    shares: dict[str, Share] = {}
    async for result in rpc.map(FUNCTION, [_arguments(view, band) for band in cut], star=True, on=on):
        first_row, rows = cut[result.index]
        times[first_row : first_row + rows] = _checked(result.value, (rows, view.width), result.node)
        share = shares.get(result.node, Share(result.node))
        shares[result.node] = replace(
            share, bands=share.bands + 1, rows=share.rows + rows, busy_s=share.busy_s + result.seconds
        )
        if progress is not None:
            progress(result.node)
    return times, tuple(shares[node] for node in sorted(shares))


def _arguments(view: View, band: Band) -> tuple[float | int, ...]:
    """The positional arguments of FUNCTION: plain numbers, so that any language can call it."""
    region = view.region
    borders = (region.left, region.right, region.bottom, region.top)
    return (*borders, view.width, view.height, view.iterations, *band)


def _checked(value: Any, shape: tuple[int, int], node: str) -> EscapeTimes:
    """The value, if it is a band of this shape; a wrong one must not be stretched over the picture by broadcasting."""
    if not isinstance(value, np.ndarray) or value.shape != shape or value.dtype != np.uint32:
        raise PeerBreach(f"{node} answered {FUNCTION} with something that is not {shape[0]} rows of {shape[1]} pixels")
    return value
