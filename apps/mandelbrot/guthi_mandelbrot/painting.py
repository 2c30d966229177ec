"""How a node takes part in pictures that are kept in distributed arrays: the two functions that it offers for it."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from guthi import Node, UsageError
from guthi_dvar import Dvar
from guthi_mandelbrot.bands import render_resumed
from guthi_mandelbrot.canvas import Canvas, painted
from guthi_mandelbrot.contribution import Contributor
from guthi_mandelbrot.job import Job
from guthi_mandelbrot.kernel import EscapeTimes, Region, View
from guthi_mandelbrot.leading import PAINT, Leading
from guthi_rpc import Rpc, current_call
from guthi_rpc.context import CallId

__all__ = ["BEGIN", "Painting"]

BEGIN: Final = "mandelbrot.begin_picture"

_MOST_PICTURES: Final = 64  # that this node works at, at a time


class Painting:
    """The part of one node; `largest_band_pixels` as in the plugin's Config."""

    def __init__(self, node: Node, rpc: Rpc, dvar: Dvar, largest_band_pixels: int) -> None:
        self._node, self._dvar, self._largest_band_pixels = node, dvar, largest_band_pixels
        self._loop = asyncio.get_running_loop()
        self._contributors: dict[str, Contributor] = {}
        self.leading = Leading(node, rpc, dvar)
        rpc.register(self.begin_picture, name=BEGIN)
        rpc.register(self.paint_band, name=PAINT, run="thread")

    async def begin_picture(
        self,
        picture: str,
        left: float,
        right: float,
        bottom: float,
        top: float,
        width: int,
        height: int,
        iterations: int,
        bands: int,
    ) -> None:
        """Make a picture's variables and have it computed; this node leads, and returns before it is finished.

        A picture of that name that is there already is left as it is.
        """
        view = View(Region(left, right, bottom, top), width, height, iterations)
        job = Job.first(view, bands, self._node.id, self._node.name)
        self._check(width, job.band_rows)
        if not picture or "/" in picture:
            raise UsageError(f"{picture!r} is no name for a picture; choose one without a slash")
        await Canvas.create(self._dvar, picture, job)
        self.leading.consider(picture)

    def paint_band(
        self,
        picture: str,
        left: float,
        right: float,
        bottom: float,
        top: float,
        width: int,
        height: int,
        iterations: int,
        first_row: int,
        rows: int,
        state: Any = None,
    ) -> int:
        """Compute a band, from an earlier attempt's `state` on, and have it written to the picture's array.

        The answer says how many rows were done before. It does not wait for the array, so that the next band can begin;
        and the band is written also if whoever asked for it is gone.
        """
        self._check(width, rows)
        view, call = View(Region(left, right, bottom, top), width, height, iterations), current_call()
        self._loop.call_soon_threadsafe(self._begun, picture, first_row, call.call)
        began_at = self._loop.time()
        times, resumed_rows = render_resumed(view, first_row, rows, call.state if call.state is not None else state)
        seconds = self._loop.time() - began_at
        self._loop.call_soon_threadsafe(self._done, picture, first_row, painted(times), seconds, resumed_rows)
        return resumed_rows

    def _check(self, width: int, rows: int) -> None:
        if width * rows > self._largest_band_pixels:
            raise UsageError(
                f"a band of {width * rows} pixels is more than the {self._largest_band_pixels} that this node"
                " computes at once; ask for more and smaller bands"
            )

    def _begun(self, picture: str, first_row: int, call: CallId) -> None:
        self._contributor(picture).begun(first_row, call)

    def _done(self, picture: str, first_row: int, values: EscapeTimes, seconds: float, resumed_rows: int) -> None:
        self._contributor(picture).done(first_row, values, seconds, resumed_rows)

    def _contributor(self, picture: str) -> Contributor:
        found = self._contributors.get(picture)
        if found is None:
            if len(self._contributors) == _MOST_PICTURES:
                del self._contributors[next(iter(self._contributors))]  # the oldest
            found = self._contributors[picture] = Contributor(self._node, self._dvar, picture)
        return found
