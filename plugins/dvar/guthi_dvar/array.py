"""The handle of an array: numpy's indices, awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from guthi_dvar.errors import UnknownVariable
from guthi_dvar.grid import Grid

if TYPE_CHECKING:
    from guthi_dvar.service import Dvar

__all__ = ["DistributedArray"]


class DistributedArray:
    """An array that all nodes share: `await array.get(np.s_[2:5, :])`, `await array.set(np.s_[2:5, :], values)`.

    Only the chunks that an index touches are fetched, or invalidated; only the elements that it selects are sent.
    All raise UnknownVariable when the array was deleted, or another one has its name.
    """

    def __init__(self, dvar: Dvar, name: str, grid: Grid) -> None:
        self._dvar, self.name, self._grid = dvar, name, grid

    def __repr__(self) -> str:
        return f"<distributed array {self.name!r}, {self.shape}, {self.dtype}>"

    @property
    def shape(self) -> tuple[int, ...]:
        """As numpy's."""
        return self._grid.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """As numpy's."""
        return np.dtype(self._grid.dtype)

    @property
    def chunk(self) -> tuple[int, ...]:
        """The shape of the pieces that are kept, fetched and invalidated one by one."""
        return self._grid.chunk

    async def get(self, at: Any) -> Any:
        """What a numpy index selects: an element, or a new array. Each chunk is the newest that is known here."""
        await self._see_to_sameness()
        return await self._dvar.get(self.name, at)

    async def set(self, at: Any, values: Any) -> None:
        """Write what a numpy index selects; `values` are broadcast as by numpy. Raises TypeMismatch, IndexError."""
        await self._see_to_sameness()
        await self._dvar.set(self.name, values, at)

    async def as_numpy(self) -> NDArray[Any]:
        """All of it, in a new array; of chunks that are written meanwhile the older or the newer version."""
        whole: NDArray[Any] = await self.get(...)
        return whole

    async def _see_to_sameness(self) -> None:
        """Raises UnknownVariable where another array has the name now: an index would mean something else there."""
        if (await self._dvar.array(self.name))._grid != self._grid:
            raise UnknownVariable(f"{self.name!r} was deleted, and is another array now; get its handle with array()")
