"""How a second process watches a picture fill: it joins as a client, and fetches each band as soon as it is there.

It asks nobody who computes: it reads the array, whoever leads.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import guthi
from guthi import DeadlineExceeded, PeerLost
from guthi.api import Address
from guthi_dvar import DVAR, Dvar
from guthi_mandelbrot.bands import Band
from guthi_mandelbrot.canvas import Canvas
from guthi_mandelbrot.job import pictures_in
from guthi_mandelbrot.kernel import EscapeTimes

__all__ = ["filled", "spectate", "unwatched"]

_PATIENCE_S: Final = 120.0  # the demo first computes the picture on one node, where nobody sees it
_LOOK_S: Final = 0.1
_LAST_BANDS_S: Final = 10.0  # longer nobody needs for what is missing when the picture is whole


async def spectate(address: Address) -> EscapeTimes:
    """The picture that nodes compute which one of them, at this address, knows; returns when it is whole.

    Raises DeadlineExceeded when nobody begins one, PeerLost when all nodes end before it is whole.
    """
    config = guthi.Config.from_mapping(
        {"node": {"name": "spectator", "role": "client", "join": [str(address)], "plugins": ["dvar"]}}
    )
    async with guthi.Node(config) as node:
        canvas = await _first_picture(node.require(DVAR))
        seeing = asyncio.ensure_future(filled(canvas))
        alone = asyncio.ensure_future(_alone(node))
        try:
            await asyncio.wait((seeing, alone), return_when=asyncio.FIRST_COMPLETED)
            if not seeing.done():
                raise PeerLost("all nodes", "they ended before the picture was whole")
            return seeing.result()
        finally:
            seeing.cancel()
            alone.cancel()
            await asyncio.gather(seeing, alone, return_exceptions=True)


async def _first_picture(dvar: Dvar) -> Canvas:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await dvar.synced()
            while not (pictures := pictures_in(dvar.names())):
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        raise DeadlineExceeded(f"nobody has begun a picture within {_PATIENCE_S:g} s") from None
    return await Canvas.open(dvar, pictures[0])


async def filled(canvas: Canvas) -> EscapeTimes:
    """The picture when it is whole, with a progress bar where standard error is a terminal."""
    times = np.empty((canvas.view.height, canvas.view.width), np.uint32)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(canvas.picture, total=len(canvas.bands))

        def band_is_there(band: Band, values: EscapeTimes) -> None:
            times[band[0] : band[0] + band[1]] = values
            progress.advance(task)

        await canvas.follow(band_is_there)
    return times


async def _alone(node: guthi.Node) -> None:
    """Until no node is left."""
    while node.members:
        await asyncio.sleep(_LOOK_S)


async def unwatched(node: guthi.Node) -> None:
    """Until all spectators have left: when the picture is whole they fetch its last bands. A few seconds at most."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_LAST_BANDS_S):
            while any(member.role is guthi.Role.CLIENT for member in node.members):
                await asyncio.sleep(_LOOK_S)
