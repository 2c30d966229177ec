"""Where a picture is kept while it is computed: in an array that all nodes share.

A pixel says itself whether it is there: 0 is one that nobody has computed yet. Each band is one chunk of the array, and
is written whole, with the same bits by whoever writes it. So it does no harm when two nodes compute a band, or two
believe that they lead; a copy that is not the newest can only lack bands, never show wrong ones; and whoever reads the
array knows what is left to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Final

import numpy as np

from guthi import GuthiError
from guthi_dvar import Change, Dvar, UnknownVariable, ValueUnavailable, VariableExists
from guthi_mandelbrot.bands import Band
from guthi_mandelbrot.job import Job, contributions_in, job_name, times_name
from guthi_mandelbrot.kernel import EscapeTimes

__all__ = ["Canvas", "PictureFailed", "painted", "unpainted"]

_INSIDE: Final = 2**32 - 1  # a point that does not escape; no escape time is as large, see kernel.py
_READS_AT_ONCE: Final = 8
_REPLICAS: Final = 1  # what is lost with both copies is computed again


class PictureFailed(GuthiError):
    """A picture cannot be finished; the message says why."""


class Canvas:
    """One picture in the variables of the network, as one node sees it."""

    def __init__(self, dvar: Dvar, picture: str, job: Job) -> None:
        self._dvar, self.picture = dvar, picture
        self.view, self.bands = job.view, job.bands

    @classmethod
    async def create(cls, dvar: Dvar, picture: str, job: Job) -> Canvas:
        """An empty one; if there is a picture of that name, it is left as it is, and returned."""
        shape = (job.view.height, job.view.width)
        with suppress(VariableExists):  # perhaps by somebody who was lost before the next line
            await dvar.create_array(times_name(picture), shape, np.uint32, chunk=job.band_rows, replicas=_REPLICAS)
        try:
            await dvar.create(job_name(picture), job.to_wire())
        except VariableExists:
            return await cls.open(dvar, picture)
        return cls(dvar, picture, job)

    @classmethod
    async def open(cls, dvar: Dvar, picture: str) -> Canvas:
        """That of a picture that somebody has begun; raises UnknownVariable, ValueUnavailable, MalformedMessage."""
        return cls(dvar, picture, Job.from_wire(await dvar.get(job_name(picture))))

    async def job(self) -> Job:
        """The job as it stands; raises as `open`."""
        return Job.from_wire(await self._dvar.get(job_name(self.picture)))

    async def set_job(self, job: Job) -> None:
        """Change what all know of it."""
        await self._dvar.set(job_name(self.picture), job.to_wire())

    async def delete(self) -> None:
        """Delete the picture's variables; what is computed for it at this moment is lost."""
        names = [job_name(self.picture), times_name(self.picture)]
        for name in [*names, *contributions_in(self._dvar.names(), self.picture)]:
            with suppress(UnknownVariable):
                await self._dvar.delete(name)

    async def read(self, band: Band) -> EscapeTimes | None:
        """The band; None if it is not there, or was lost with the nodes that had it."""
        first_row, rows = band
        try:
            values = await self._dvar.get(times_name(self.picture), np.s_[first_row : first_row + rows])
        except ValueUnavailable:
            return None
        return unpainted(values)

    async def missing(self, among: Sequence[Band]) -> list[Band]:
        """Those of these bands that are not there."""
        left: list[Band] = []
        for start in range(0, len(among), _READS_AT_ONCE):
            some = among[start : start + _READS_AT_ONCE]
            found = await asyncio.gather(*map(self.read, some))
            left += [band for band, times in zip(some, found, strict=True) if times is None]
        return left

    async def follow(self, band_is_there: Callable[[Band, EscapeTimes], None]) -> Job:
        """Call `band_is_there` once for each band, those first that are there already; the job when all are.

        Raises PictureFailed, and UnknownVariable if the picture is deleted meanwhile.
        """
        filling = asyncio.ensure_future(self._until_filled(band_is_there))
        failing = asyncio.ensure_future(self._until_failed())
        try:
            await asyncio.wait((filling, failing), return_when=asyncio.FIRST_COMPLETED)
            if filling.done():
                filling.result()
            else:
                raise PictureFailed(f"the picture cannot be finished: {failing.result()}")
            return await self.job()
        finally:
            for task in (filling, failing):
                task.cancel()
            await asyncio.gather(filling, failing, return_exceptions=True)

    async def _until_filled(self, band_is_there: Callable[[Band, EscapeTimes], None]) -> None:
        bands = dict(self.bands)
        async with aclosing(self._watch(times_name(self.picture), 2 * len(bands) + 1)) as changes:
            async for change in changes:
                first_row = change.at[0].start if change.at else None
                times = unpainted(change.value)
                if times is not None and first_row in bands:
                    band_is_there((first_row, bands.pop(first_row)), times)
                if not bands:
                    return
        raise UnknownVariable(f"the picture {self.picture!r} has been deleted")

    async def _until_failed(self) -> str:
        async with aclosing(self._watch(job_name(self.picture), 2)) as changes:
            async for change in changes:
                job = Job.from_wire(change.value)
                if job.failure:
                    return job.failure
        return "it has been deleted"

    async def _watch(self, name: str, queue: int) -> AsyncGenerator[Change, None]:
        async with aclosing(self._dvar.watch(name, queue=queue)) as changes:  # type: ignore[type-var]
            async for change in changes:
                if isinstance(change, Change):
                    yield change


def painted(times: EscapeTimes) -> EscapeTimes:
    """Escape times as the array holds them: no pixel is 0."""
    return np.where(times == 0, np.uint32(_INSIDE), times)


def unpainted(values: EscapeTimes) -> EscapeTimes | None:
    """The escape times of values of the array; None if some are not there yet."""
    if not values.all():
        return None
    return np.where(values == _INSIDE, np.uint32(0), values)
