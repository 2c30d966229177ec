"""Who gives out the bands of a picture, and how another goes on when that one is lost.

Whoever begins a picture leads it. Its id stands in the job, which all nodes know. When the leader fails or leaves,
whoever of the rest has the lowest id, as each node sees it by itself, writes itself into the job, looks which bands are
not in the array, and maps these. While views differ, two nodes may lead: bands are computed twice then, to the same
bits (see `canvas`), until one reads in the job that the other leads. So there is no need for a lock.

What a lost node was in the middle of goes on from its last checkpoint, if the keeper of that lives (see rpc).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from guthi import GuthiError, Member, MemberState, Node, NodeId, Role, UsageError
from guthi_dvar import Dvar, UnknownVariable
from guthi_mandelbrot.bands import Band
from guthi_mandelbrot.canvas import Canvas, PictureFailed
from guthi_mandelbrot.contribution import contributions
from guthi_mandelbrot.job import pictures_in, view_numbers
from guthi_rpc import Rpc

__all__ = ["PAINT", "Leading", "leader_among"]

PAINT: Final = "mandelbrot.paint_band"

_SETTLE_S: Final = 2.0  # so long a band that was computed may take into the array
_PAUSE_S: Final = 0.05
_RETRY_S: Final = 1.0
_MOST_TRIES: Final = 30

log = logging.getLogger("guthi_mandelbrot")


def leader_among(leader: NodeId, present: Iterable[NodeId]) -> NodeId:
    """Who leads when these are there: who has led up to now, else the lowest id."""
    there = sorted(present)
    return leader if leader in there else there[0]


class Leading:
    """What one node does as a leader, or as one that may have to become it."""

    def __init__(self, node: Node, rpc: Rpc, dvar: Dvar) -> None:
        self._node, self._rpc, self._dvar = node, rpc, dvar
        self._led: dict[str, asyncio.Task[None]] = {}
        self._is_stopping = False

    def consider_all(self) -> None:
        """Somebody has gone: perhaps this node has to go on with something."""
        for picture in pictures_in(self._dvar.names()):
            self.consider(picture)

    def consider(self, picture: str) -> None:
        """Lead a picture if that falls to this node, and it does not lead it already."""
        if picture not in self._led and not self._is_stopping:
            self._led[picture] = self._node.start(self._lead_while_it_falls_here(picture), f"lead {picture}")

    def stop(self) -> None:
        """This node is about to leave: lead nothing more."""
        self._is_stopping = True
        for task in self._led.values():
            task.cancel()

    async def _lead_while_it_falls_here(self, picture: str) -> None:
        try:
            for _ in range(_MOST_TRIES):
                try:
                    canvas = await Canvas.open(self._dvar, picture)
                    while await self._falls_here(canvas):
                        await self._lead(canvas)
                    return
                except UnknownVariable:  # it was deleted
                    return
                except GuthiError as error:  # so much has been lost at once that nobody could be asked
                    log.info("nobody may lead the picture %s for the moment: %s", picture, error)
                await asyncio.sleep(_RETRY_S)
        finally:
            self._led.pop(picture, None)

    async def _falls_here(self, canvas: Canvas) -> bool:
        job = await canvas.job()
        able = [each.id for each in [*self._node.members, self._node.me] if _can_lead(each)]
        return not job.is_over and leader_among(job.leader, able) == self._node.id

    async def _lead(self, canvas: Canvas) -> None:
        job = await canvas.job()
        if job.leader != self._node.id:
            log.info("the picture %s was led by %s; this node goes on", canvas.picture, job.leaders[-1][1])
            await canvas.set_job(job.led_by(self._node.id, self._node.name))
        try:
            is_complete = await self._complete(canvas)
        except PictureFailed as error:  # nobody else would fare better
            await canvas.set_job(replace(await canvas.job(), failure=str(error)))
            return
        if is_complete:
            await canvas.set_job(replace(await canvas.job(), is_finished=True))

    async def _complete(self, canvas: Canvas) -> bool:
        """Have all bands computed that are not there; False if another leads meanwhile."""
        missing = await canvas.missing(canvas.bands)
        while missing:
            if not await self._give_out(canvas, missing):
                return False
            missing = await self._settled(canvas, missing)
        return True

    async def _give_out(self, canvas: Canvas, bands: Sequence[Band]) -> bool:
        states = await self._states(canvas, bands)
        numbers = view_numbers(canvas.view)
        items = [(canvas.picture, *numbers, *band, states.get(band[0])) for band in bands]
        async with aclosing(self._rpc.map(PAINT, items, star=True, chunk=1, errors="return")) as results:
            async for result in results:
                if result.error is not None:
                    raise _judged(result.error)
                if not await self._falls_here(canvas):
                    return False
        return True

    async def _states(self, canvas: Canvas, bands: Sequence[Band]) -> dict[int, Any]:
        """The last checkpoints of bands that were begun by nodes that are gone, or seem to be, by first row."""
        present = {each.name for each in self._node.members if each.state is MemberState.ALIVE} | {self._node.name}
        wanted = {first_row for first_row, _ in bands}
        found = {}
        for each in await contributions(self._dvar, canvas.picture):
            for first_row in sorted(wanted & each.begun.keys() - each.done.keys()):
                if each.node not in present:
                    found[first_row] = await self._rpc.recall(each.begun[first_row])
        return found

    async def _settled(self, canvas: Canvas, bands: Sequence[Band]) -> list[Band]:
        """Those of the bands that do not get into the array, though they were computed."""
        until = asyncio.get_running_loop().time() + _SETTLE_S
        left = await canvas.missing(bands)
        while left and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(_PAUSE_S)
            left = await canvas.missing(left)
        return left


def _judged(error: Exception) -> Exception:
    """What befell the network or this node may pass; what the function itself raises, it will raise again."""
    if isinstance(error, GuthiError) and not isinstance(error, UsageError):
        return error
    return PictureFailed(f"{type(error).__name__}: {error}")


def _can_lead(member: Member) -> bool:
    """Whether a member computes pictures and knows the variables that they are in."""
    return member.role is Role.PEER and {"dvar", "mandelbrot"} <= {name for name, _ in member.plugins}
