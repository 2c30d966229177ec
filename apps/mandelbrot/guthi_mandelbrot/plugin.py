"""How bands of a picture are offered to the network as one function, and how a picture is put together from many nodes.

The cut is by rows. There are more bands than nodes, and `map` hands out the next one when a node is done: so slow
nodes and bands dense with work even out by themselves. A band of a node that died is computed elsewhere, from its last
checkpoint on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, TypeAlias

import numpy as np

import guthi
from guthi.errors import PeerBreach, UsageError
from guthi_mandelbrot.kernel import EscapeTimes, Region, View, render_band
from guthi_rpc import RPC, Rpc, current_call

__all__ = ["FUNCTION", "MandelbrotPlugin", "Share", "render_distributed", "split_rows"]

FUNCTION: Final = "mandelbrot.render_band"

_STRIP_PIXELS: Final = 16_384  # between two checkpoints: fewer, and numpy is no longer busy with the pixels

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
    ) -> list[EscapeTimes | int]:
        """Escape times of some rows of a picture; the first seven arguments are those of Region and View.

        The answer is `[times, resumed]`. The rows that are done are a checkpoint of the call, and a further attempt
        goes on after them: `resumed` says how many it found.
        """
        if width * rows > self._largest_band_pixels:
            raise UsageError(
                f"a band of {width * rows} pixels is more than the {self._largest_band_pixels} that this node"
                " computes at once; ask for more and smaller bands"
            )
        view = View(Region(left, right, bottom, top), width, height, iterations)
        done = _resumed(current_call().state, (rows, width))
        times = np.empty((rows, width), np.uint32)
        times[: len(done)] = done
        strip_rows = max(_STRIP_PIXELS // width, 1)
        for start in range(len(done), rows, strip_rows):
            end = min(start + strip_rows, rows)
            times[start:end] = render_band(view, first_row + start, end - start)
            if end < rows:
                current_call().checkpoint(times[:end])
        return [times, len(done)]


@dataclass(frozen=True, slots=True)
class Share:
    """What one node did for a picture: bands, rows, and the seconds that it spent on them, without the network.

    `taken_over` says of how many bands from which nodes, which were lost at them, and `resumed_rows` how many rows of
    these were done already.
    """

    node: str
    bands: int = 0
    rows: int = 0
    busy_s: float = 0.0
    taken_over: Mapping[str, int] = field(default_factory=dict)
    resumed_rows: int = 0

    def with_band(self, rows: int, seconds: float, lost_on: Sequence[str], resumed_rows: int) -> Share:
        """The share with one band more."""
        taken_over = dict(self.taken_over)
        if lost_on:
            taken_over[lost_on[-1]] = taken_over.get(lost_on[-1], 0) + 1
        return Share(
            self.node,
            self.bands + 1,
            self.rows + rows,
            self.busy_s + seconds,
            taken_over,
            self.resumed_rows + resumed_rows,
        )


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
    async for result in rpc.map(FUNCTION, [_arguments(view, band) for band in cut], star=True, on=on, chunk=1):
        first_row, rows = cut[result.index]
        band, resumed_rows = _checked(result.value, (rows, view.width), result.node)
        times[first_row : first_row + rows] = band
        share = shares.get(result.node, Share(result.node))
        shares[result.node] = share.with_band(rows, result.seconds, result.lost_on, resumed_rows)
        if progress is not None:
            progress(result.node)
    return times, tuple(shares[node] for node in sorted(shares))


def _arguments(view: View, band: Band) -> tuple[float | int, ...]:
    """The positional arguments of FUNCTION: plain numbers, so that any language can call it."""
    region = view.region
    borders = (region.left, region.right, region.bottom, region.top)
    return (*borders, view.width, view.height, view.iterations, *band)


def _checked(value: Any, shape: tuple[int, int], node: str) -> tuple[EscapeTimes, int]:
    """The value, if it is a band of this shape; a wrong one must not be stretched over the picture by broadcasting."""
    match value:
        case [np.ndarray() as times, int(resumed)] if times.shape == shape and times.dtype == np.uint32:
            return times, resumed
    raise PeerBreach(f"{node} answered {FUNCTION} with something that is not {shape[0]} rows of {shape[1]} pixels")


def _resumed(state: Any, shape: tuple[int, int]) -> EscapeTimes:
    """The rows that an earlier attempt had done; none where it left nothing, or nothing that fits."""
    rows, width = shape
    is_band = isinstance(state, np.ndarray) and state.dtype == np.uint32 and state.ndim == 2
    if is_band and state.shape[1] == width and state.shape[0] <= rows:
        return np.asarray(state, np.uint32)
    return np.empty((0, width), np.uint32)
