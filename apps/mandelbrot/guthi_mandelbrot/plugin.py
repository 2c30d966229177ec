"""How bands of a picture are offered to the network as one function, and how a picture is put together from many nodes.

`render_distributed` gives the picture to its caller; `painting` keeps it in variables, where it outlives whoever began
it. The cut is by rows. There are more bands than nodes, and `map` hands out the next one when a node is done: so slow
nodes and bands dense with work even out by themselves. A band of a node that died is computed elsewhere, from its last
checkpoint on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

import guthi
from guthi.errors import PeerBreach, UsageError
from guthi_dvar import DVAR
from guthi_mandelbrot.bands import Band, render_resumed, split_rows
from guthi_mandelbrot.job import pictures_in, view_numbers
from guthi_mandelbrot.kernel import EscapeTimes, Region, View
from guthi_mandelbrot.painting import Painting
from guthi_mandelbrot.share import Share
from guthi_rpc import RPC, Rpc, current_call

__all__ = ["FUNCTION", "MandelbrotPlugin", "Share", "render_distributed", "split_rows"]

FUNCTION: Final = "mandelbrot.render_band"
"""The name in the global store of the function that computes a band."""


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
        """The largest band that one call may ask for; four bytes of memory a pixel."""

    def __init__(self, node: guthi.Node, config: Config) -> None:
        super().__init__(node, config)
        self._rpc = node.require(RPC)
        self._largest_band_pixels = config.largest_band_pixels
        self._painting: Painting | None = None

    async def run(self, stack: AsyncExitStack) -> None:
        """Announce the function to all nodes."""
        self._rpc.register(self.render_band, name=FUNCTION, run="thread")

    @guthi.hookimpl
    def node_started(self) -> None:
        """Where there are variables, pictures can be kept in them."""
        if DVAR in self.node.services and self.node.me.role is guthi.Role.PEER:
            self._painting = Painting(self.node, self._rpc, self.node.require(DVAR), self._largest_band_pixels)
            self._painting.leading.consider_all()

    @guthi.hookimpl
    def node_stopping(self) -> None:
        """Others are to go on with what this node leads."""
        if self._painting is not None:
            self._painting.leading.stop()

    @guthi.hookimpl
    def member_failed(self) -> None:
        """It may have led a picture."""
        self._leader_may_be_gone()

    @guthi.hookimpl
    def member_left(self) -> None:
        """It may have led a picture."""
        self._leader_may_be_gone()

    def _leader_may_be_gone(self) -> None:
        if self._painting is not None:
            self._painting.leading.consider_all()

    @guthi.hookimpl(optionalhook=True)
    def variable_changed(self, name: str) -> None:
        """A picture is heard of, perhaps after its leader was lost."""
        if self._painting is not None:
            for picture in pictures_in([name]):
                self._painting.leading.consider(picture)

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
        return list(render_resumed(view, first_row, rows, current_call().state))


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
    return (*view_numbers(view), *band)


def _checked(value: Any, shape: tuple[int, int], node: str) -> tuple[EscapeTimes, int]:
    """The value, if it is a band of this shape; a wrong one must not be stretched over the picture by broadcasting."""
    match value:
        case [np.ndarray() as times, int(resumed)] if times.shape == shape and times.dtype == np.uint32:
            return times, resumed
    raise PeerBreach(f"{node} answered {FUNCTION} with something that is not {shape[0]} rows of {shape[1]} pixels")
