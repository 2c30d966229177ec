"""Decides what an index means for each axis of an array, and which rows of chunks it touches there.

An index is numpy's own, without newaxis. For one axis it is an int, a slice or an array of ints; a mask is as good as
the places where it is true.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from guthi import UsageError

__all__ = ["Axis", "Selector", "per_axis"]

Array: TypeAlias = NDArray[Any]
Selector: TypeAlias = int | slice | Array


class Axis:
    """A selector of one axis, none of whose numbers is negative or out of bounds.

    `rows` are the rows of chunks that it touches, `of_grid` selects these in the grid, `within` selects in the crop.
    """

    def __init__(self, selector: Selector, size: int, step: int) -> None:
        self.rows: list[int]
        self.of_grid: Selector
        self.within: Selector
        if isinstance(selector, int):
            self.rows, self.of_grid, self.within = [selector // step], selector // step, selector % step
        elif isinstance(selector, slice):
            self._slice(range(*selector.indices(size)), step)
        else:
            rows, places = np.unique(selector // step, return_inverse=True)
            self.rows, self.of_grid = [int(row) for row in rows], selector // step
            self.within = places.reshape(selector.shape) * step + selector % step

    def _slice(self, touched: range, step: int) -> None:
        if not touched:
            self.rows, self.of_grid, self.within = [], slice(0, 0), slice(0, 0)
            return
        first, last = min(touched[0], touched[-1]) // step, max(touched[0], touched[-1]) // step
        self.rows, self.of_grid = list(range(first, last + 1)), slice(first, last + 1)
        start, stop = touched.start - first * step, touched.stop - first * step
        self.within = slice(start, stop if stop >= 0 else None, touched.step)


class _Masked(NamedTuple):
    """Where a mask is true along one of its axes, which is so long."""

    places: Array
    size: int


def per_axis(at: Any, shape: tuple[int, ...]) -> tuple[list[Selector], int | None]:
    """One selector for each axis: ellipsis and what is missing filled in, lists and masks made arrays of ints.

    The number is where an ellipsis stands that means no axis: between two arrays it parts them all the same, and then
    numpy has their axes come first. Raises UsageError, IndexError.
    """
    given = list(at) if isinstance(at, tuple) else [at]
    given = [each for item in given for each in _unmasked(item)]
    ellipses = [place for place, each in enumerate(given) if each is ...]
    if any(each is None for each in given) or len(ellipses) > 1:
        raise UsageError("an index of a distributed array has no newaxis and one ellipsis; reshape what you get")
    missing = len(shape) - len(given) + len(ellipses)
    if missing < 0:
        raise IndexError(f"too many indices: the array has {len(shape)} axes")
    place = ellipses[0] if ellipses else len(given)
    given[place : place + len(ellipses)] = [slice(None)] * missing
    selectors = [_in_bounds(each, size) for each, size in zip(given, shape, strict=True)]
    return selectors, place if ellipses and not missing else None


def _unmasked(item: Any) -> list[Any]:
    """A mask selects what its true elements select; everything else is left as it is."""
    if isinstance(item, list | np.ndarray):
        mask = _as_array(item)
        if mask.dtype == bool and mask.ndim:
            return [_Masked(places, size) for places, size in zip(mask.nonzero(), mask.shape, strict=True)]
    return [item]


def _in_bounds(selector: Any, size: int) -> Selector:
    if isinstance(selector, slice):
        return selector
    if isinstance(selector, _Masked):
        if selector.size != size:
            raise IndexError(f"a mask of {selector.size} does not fit an axis of {size}")
        return selector.places
    numbers = _as_array(selector)
    if numbers.dtype.kind not in "iu":
        raise UsageError(f"an array is indexed by ints, slices, lists of ints and masks, not by {selector!r:.40}")
    if numbers.size and not (-size <= numbers.min() and numbers.max() < size):
        raise IndexError(f"index {selector!r:.40} is out of bounds for an axis of {size}")
    positive = np.where(numbers < 0, numbers + size, numbers).astype(np.int64)
    return int(positive) if positive.ndim == 0 else positive


def _as_array(item: Any) -> Array:
    """An empty list is one of ints."""
    try:
        return np.asarray(item, dtype=None if np.size(item) else int)
    except ValueError as error:  # lists of several lengths
        raise UsageError(f"an array is indexed by ints, slices, lists of ints and masks: {error!s:.100}") from None
