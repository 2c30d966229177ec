"""Decides how an array is cut into chunks, and which of them an index touches.

Chunks are boxes of one shape, but for the last ones along each axis; they are numbered in row order. An index (see
`axes`) is resolved twice: once on the grid of chunks, which says what is touched, and once within a *crop*, an array of
only the rows, columns, … of chunks that are touched, where numpy itself does the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from guthi import MalformedMessage, NotEncodable, UsageError
from guthi.values.codec import Codec
from guthi_dvar.axes import Axis, per_axis
from guthi_dvar.errors import TypeMismatch
from guthi_dvar.patches import Patch, patch_of

__all__ = ["MOST_CHUNKS", "Array", "Grid", "Selection"]

MOST_CHUNKS = 65_536
CHUNK_BYTES = 1 << 20
MOST_CHUNK_BYTES = 256 << 20
MOST_AXES = 32

Array: TypeAlias = NDArray[Any]
Box: TypeAlias = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """The shape and dtype of an array (`dtype` as numpy names it, `<f8`), and the shape of its chunks."""

    shape: tuple[int, ...]
    dtype: str
    chunk: tuple[int, ...]

    @classmethod
    def of(cls, shape: int | tuple[int, ...], dtype: Any, chunk: int | tuple[int, ...] | None = None) -> Grid:
        """The grid of a new array; `chunk` is a shape, or the length of the first axis. Raises UsageError."""
        sizes = _lengths(shape)
        if not 1 <= len(sizes) <= MOST_AXES:
            raise UsageError(f"the shape of an array is 1 to {MOST_AXES} lengths of at least 1, not {shape!r}")
        form = _checked_dtype(dtype)
        if chunk is None:
            boxes = _default_chunk(sizes, form.itemsize)
        else:
            boxes = _lengths(chunk) if isinstance(chunk, tuple | list) else (*_lengths(chunk), *sizes[1:])
        if len(boxes) != len(sizes):
            raise UsageError(f"a chunk of this array is {len(sizes)} lengths of at least 1, not {chunk!r}")
        grid = cls(sizes, form.str, tuple(map(min, boxes, sizes)))
        if grid.count > MOST_CHUNKS:
            raise UsageError(f"an array has at most {MOST_CHUNKS} chunks, not {grid.count}; give it larger ones")
        if math.prod(grid.chunk) * form.itemsize > MOST_CHUNK_BYTES:
            raise UsageError(f"a chunk has at most {MOST_CHUNK_BYTES >> 20} MiB; make it smaller")
        return grid

    @property
    def counts(self) -> tuple[int, ...]:
        """How many chunks there are along each axis."""
        return tuple(-(-size // step) for size, step in zip(self.shape, self.chunk, strict=True))

    @property
    def count(self) -> int:
        """How many chunks there are."""
        return math.prod(self.counts)

    def box(self, index: int) -> Box:
        """Where a chunk is in the array."""
        coordinates = np.unravel_index(index, self.counts)
        return tuple(
            slice(int(at) * step, min((int(at) + 1) * step, size))
            for at, step, size in zip(coordinates, self.chunk, self.shape, strict=True)
        )

    def index(self, box: Box) -> int:
        """The number of the chunk that is there."""
        coordinates = [side.start // step for side, step in zip(box, self.chunk, strict=True)]
        return int(np.ravel_multi_index(coordinates, self.counts))

    def chunk_shape(self, index: int) -> tuple[int, ...]:
        """The shape of a chunk."""
        return tuple(side.stop - side.start for side in self.box(index))

    def zeros(self, index: int) -> Array:
        """What a chunk is before anybody has written to it."""
        return frozen(np.zeros(self.chunk_shape(index), self.dtype))

    def fits(self, index: int, value: object) -> bool:
        """Whether a value is one of this chunk."""
        return (
            isinstance(value, np.ndarray) and value.shape == self.chunk_shape(index) and value.dtype.str == self.dtype
        )

    def cast(self, values: object) -> Array:
        """Values to be written, in the dtype of the array; raises TypeMismatch where that would change them."""
        form = np.dtype(self.dtype)
        if np.ma.isMaskedArray(values):
            raise TypeMismatch(
                "a masked array would lose its mask; write values.filled(...), or the mask as another array"
            )
        try:
            given = np.asarray(values)
        except ValueError as error:  # lists of several lengths
            raise TypeMismatch(f"these values are no array: {error}") from None
        try:
            with np.errstate(over="raise"):
                if given.size == 0 or _holds(form, given):
                    return given.astype(form, copy=False)
        except FloatingPointError:
            pass  # infinity is not what was given
        raise TypeMismatch(f"the array has the dtype {form}, which cannot hold these values ({given.dtype})")

    def select(self, at: Any = ...) -> Selection:
        """What an index touches; raises UsageError, and IndexError for one that is out of bounds."""
        return Selection(self, at)

    def to_wire(self) -> list[Any]:
        """The positional list that `from_wire` reads."""
        return [list(self.shape), self.dtype, list(self.chunk)]

    @classmethod
    def from_wire(cls, wire: object) -> Grid:
        """Read what a peer says; raises MalformedMessage."""
        match wire:
            case [list(shape), str(dtype), list(chunk)] if len(dtype) <= 16:
                try:
                    grid = cls.of(tuple(shape), dtype, tuple(chunk))
                except UsageError as error:
                    raise MalformedMessage(f"no array is like that: {error!s:.100}") from None
                if (grid.dtype, grid.chunk) == (dtype, tuple(chunk)):
                    return grid
        raise MalformedMessage("an array is a shape, a dtype and a shape of chunks")


def frozen(array: Array) -> Array:
    """The same array, not to be written to any more: readers share it."""
    array.flags.writeable = False
    return array


def _holds(form: np.dtype[Any], given: Array) -> bool:
    """Whether a dtype can have such values, rounded at most; there is at least one."""
    if given.dtype.kind in "iu" and form.kind in "iu":
        limits = np.iinfo(form)
        return int(given.min()) >= limits.min and int(given.max()) <= limits.max
    return np.can_cast(given.dtype, form, "same_kind")


def _lengths(given: Any) -> tuple[int, ...]:
    """One length or several, numpy's ints as Python's; none where one of them is no length."""
    each = tuple(given) if isinstance(given, tuple | list) else (given,)
    are_fit = all(isinstance(size, int | np.integer) and not isinstance(size, bool) and size > 0 for size in each)
    return tuple(map(int, each)) if are_fit else ()


def _checked_dtype(dtype: Any) -> np.dtype[Any]:
    try:
        form: np.dtype[Any] = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError) as error:  # the last one is numpy's own
        raise UsageError(f"numpy has no dtype {dtype!r:.40}: {error}") from None
    if form.subdtype is not None:
        raise UsageError(f"an element of an array is one number, not {form}; give the array another axis")
    try:
        Codec().encode(np.empty(0, form))
    except NotEncodable as error:
        raise UsageError(f"an array of {form} cannot travel: {error}") from None
    return form


def _default_chunk(shape: tuple[int, ...], item_bytes: int) -> tuple[int, ...]:
    """Whole rows, or pieces of them, of about CHUNK_BYTES."""
    chunk = list(shape)
    for axis in range(len(shape)):
        others = math.prod(chunk) // chunk[axis] * item_bytes
        chunk[axis] = max(min(chunk[axis], CHUNK_BYTES // others), 1)
        if math.prod(chunk) * item_bytes <= CHUNK_BYTES:
            break
    return tuple(chunk)


class Selection:
    """An index into an array, resolved: `chunks` are the numbers of those it touches, sorted."""

    def __init__(self, grid: Grid, at: Any) -> None:
        self.grid = grid
        selectors, parting = per_axis(at, grid.shape)
        axes = [Axis(*each) for each in zip(selectors, grid.shape, grid.chunk, strict=True)]
        self._rows = [axis.rows for axis in axes]
        within: list[Any] = [axis.within for axis in axes]
        self._is_whole = all(
            isinstance(each, slice) and each == slice(0, size, 1) for each, size in zip(within, grid.shape, strict=True)
        )
        if parting is not None:
            within.insert(parting, ...)
        self._within = tuple(within)
        touched = np.zeros(grid.counts, bool)
        touched[tuple(axis.of_grid for axis in axes)] = True
        self.chunks = [int(index) for index in np.flatnonzero(touched)]

    def _crop_shape(self) -> tuple[int, ...]:
        return tuple(
            sum(min(step, size - row * step) for row in rows)
            for rows, size, step in zip(self._rows, self.grid.shape, self.grid.chunk, strict=True)
        )

    def _parts(self) -> Iterator[tuple[int, Box]]:
        """Where each touched chunk is in the crop."""
        for index in self.chunks:
            coordinates = np.unravel_index(index, self.grid.counts)
            starts = [
                rows.index(int(at)) * step
                for rows, at, step in zip(self._rows, coordinates, self.grid.chunk, strict=True)
            ]
            shape = self.grid.chunk_shape(index)
            yield index, tuple(slice(start, start + size) for start, size in zip(starts, shape, strict=True))

    def gather(self, chunks: Mapping[int, Array]) -> Any:
        """What the index reads, a copy, out of the touched chunks."""
        if len(self.chunks) == 1 and all(len(rows) == 1 for rows in self._rows):
            crop = chunks[self.chunks[0]]
        else:
            crop = np.empty(self._crop_shape(), self.grid.dtype)
            for index, part in self._parts():
                crop[part] = chunks[index]
        result = crop[self._within]
        return result.copy() if isinstance(result, np.ndarray) else result

    def scatter(self, values: object) -> dict[int, Array | Patch]:
        """What becomes of each touched chunk: all of it is new, or a patch of it. Raises TypeMismatch."""
        given = self.grid.cast(values)
        try:
            if self._is_whole:  # large arrays are written at once most often, and need no crop
                whole = np.broadcast_to(given, self.grid.shape)
                return {index: frozen(whole[self.grid.box(index)].copy()) for index in self.chunks}
            crop = np.empty(self._crop_shape(), self.grid.dtype)
            crop[self._within] = given
        except ValueError as error:
            raise TypeMismatch(f"values of the shape {given.shape} do not fit there: {error}") from None
        is_new = np.zeros(crop.shape, bool)
        is_new[self._within] = True
        changes: dict[int, Array | Patch] = {}
        for index, part in self._parts():
            if is_new[part].all():
                changes[index] = frozen(crop[part].copy())
            elif is_new[part].any():
                changes[index] = patch_of(crop[part], is_new[part])
        return changes
