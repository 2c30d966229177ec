"""Chunks and indices, compared with numpy itself."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from guthi import MalformedMessage, UsageError
from guthi_dvar.errors import TypeMismatch
from guthi_dvar.grid import Grid
from guthi_dvar.patches import Patch

SHAPES = hnp.array_shapes(max_dims=3, max_side=9)


@st.composite
def indexed(draw: Any) -> tuple[Grid, Any]:
    """A grid, and an index into its array."""
    shape = draw(SHAPES)
    chunk = tuple(draw(st.integers(1, size)) for size in shape)
    kinds = [hnp.basic_indices(shape, allow_newaxis=False), hnp.integer_array_indices(shape), hnp.arrays(bool, shape)]
    return Grid.of(shape, "<i4", chunk), draw(st.one_of(kinds))


def chunks_of(grid: Grid, array: Any) -> dict[int, Any]:
    return {index: array[grid.box(index)] for index in range(grid.count)}


@given(indexed())
def test_reads_what_numpy_reads(case: tuple[Grid, Any]) -> None:
    grid, at = case
    array = np.arange(np.prod(grid.shape), dtype="<i4").reshape(grid.shape)
    selection = grid.select(at)
    chunks = chunks_of(grid, array)
    result = selection.gather({index: chunks[index] for index in selection.chunks})
    np.testing.assert_array_equal(result, array[at])
    assert np.shape(result) == np.shape(array[at])


@given(indexed())
def test_writes_what_numpy_writes_and_nothing_else(case: tuple[Grid, Any]) -> None:
    grid, at = case
    array = np.arange(np.prod(grid.shape), dtype="<i4").reshape(grid.shape)
    chunks = chunks_of(grid, array)
    changes = grid.select(at).scatter(-1)
    for index, change in changes.items():
        chunks[index] = Patch.from_wire(change.to_wire()).apply(chunks[index]) if isinstance(change, Patch) else change
    expected = array.copy()
    expected[at] = -1
    for index in range(grid.count):
        np.testing.assert_array_equal(chunks[index], expected[grid.box(index)])
        assert (index in changes) == bool((expected != array)[grid.box(index)].any())


@pytest.mark.parametrize(
    "at",
    [
        np.s_[:, 1, ..., [0, 2]],  # the ellipsis means no axis, and parts the two arrays all the same
        np.s_[:, [0, 1], ..., [0, 2]],
        np.s_[..., 1, :, [0, 2]],
        np.s_[1, ..., 1, 2],
        np.s_[[0, 1], ...],
        np.s_[[True, False], [1, 1], ...],
        np.s_[1, np.array([[True, False, True], [True, True, False]]), ...],
    ],
)
def test_an_ellipsis_among_arrays_is_as_in_numpy(at: Any) -> None:
    grid = Grid.of((2, 2, 3), "<i4", (1, 2, 2))
    array = np.arange(np.prod(grid.shape), dtype="<i4").reshape(grid.shape)
    selection = grid.select(at)
    chunks = chunks_of(grid, array)
    result = selection.gather({index: chunks[index] for index in selection.chunks})
    np.testing.assert_array_equal(result, array[at], strict=True)
    expected = array.copy()
    expected[at] += 100
    for index, change in selection.scatter(array[at] + 100).items():
        chunks[index] = change.apply(chunks[index]) if isinstance(change, Patch) else change
    for index, chunk in chunks.items():
        np.testing.assert_array_equal(chunk, expected[grid.box(index)])


@pytest.mark.parametrize("at", [[True, False], [True] * 4, np.zeros((3, 1), bool), (..., [True, False])])
def test_a_mask_of_another_length_is_refused(at: Any) -> None:
    with pytest.raises(IndexError):
        Grid.of((3, 3), "f8").select(at)


def test_a_slice_touches_its_chunks_only_and_sends_its_bytes_only() -> None:
    grid = Grid.of((100, 50), "u1", 10)
    changes = grid.select(np.s_[5:30, :]).scatter(7)
    assert sorted(changes) == [0, 1, 2]
    first = changes[0]
    assert isinstance(first, Patch) and first.values.shape == (5, 50) and first.places == (5, 0)
    assert isinstance(changes[1], np.ndarray)


def test_pairs_of_indices_touch_the_chunks_of_the_pairs() -> None:
    grid = Grid.of((40, 40), "u1", (10, 10))
    assert grid.select(([0, 15, 39], [0, 15, 39])).chunks == [0, 5, 15]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (1.5, "u1"),
        (300, "u1"),
        (-1, "u1"),
        (1j, "f8"),
        ("a", "f8"),
        ([1, 2], "f8"),
        (1e300, "f4"),
        (70_000, "f2"),
        ([[1, 2], [3]], "f8"),
        (np.ma.masked_array([1, 2, 3], [0, 1, 0]), "i8"),
    ],
)
def test_values_that_would_change_are_refused(values: Any, dtype: str) -> None:
    with pytest.raises(TypeMismatch):
        Grid.of(3, dtype).select(...).scatter(values)


def test_values_that_an_array_can_hold() -> None:
    grid = Grid.of(3, "f4")
    assert np.isinf(grid.cast(np.inf)) and grid.cast(0.1) == np.float32(0.1)
    assert grid.select(slice(0, 0)).scatter([]) == {}
    assert Grid.of(3, "u1").select(slice(0, 0)).scatter([]) == {}


@pytest.mark.parametrize("at", [(0, 0), 5, -4, [0, 3]])
def test_what_is_out_of_bounds(at: Any) -> None:
    with pytest.raises(IndexError):
        Grid.of(3, "f8").select(at)


@pytest.mark.parametrize("at", [None, "a", 0.5, (..., ...), np.array(True), [[0], [0, 1]]])
def test_what_is_no_index(at: Any) -> None:
    with pytest.raises(UsageError):
        Grid.of((3, 3), "f8").select(at)


def test_chunks_are_about_a_mebibyte() -> None:
    grid = Grid.of((10_000, 1_000), "f8")
    assert grid.chunk == (131, 1_000)
    assert Grid.of((3, 10_000_000), "f8").chunk == (1, 131_072)


def test_lengths_may_be_those_of_numpy() -> None:
    thirty, seven = cast(list[int], [np.int64(30), np.int32(7)])
    grid = Grid.of((thirty, 4), "f8", seven)
    assert grid == Grid.of((30, 4), "f8", (7, 4)) == Grid.of((30, 4), "f8", 7)
    assert all(type(size) is int for size in (*grid.shape, *grid.chunk))
    assert Grid.of(thirty, "f8") == Grid.of(30, "f8")


@pytest.mark.parametrize(
    "case",
    [
        ((), "f8", None),
        ((0,), "f8", None),
        (3.0, "f8", None),
        ("ab", "f8", None),
        ((3, True), "f8", None),
        (3, "O", None),
        (3, "foo", None),
        (3, "(2,)f8", None),
        (10**6, "u1", 1),
        (3, "f8", 0),
        (3, "f8", "a"),
        ((3, 3), "f8", (1,)),
    ],
)
def test_arrays_that_cannot_be(case: Any) -> None:
    with pytest.raises(UsageError):
        Grid.of(*case)


@given(st.recursive(st.none() | st.integers() | st.text() | st.just("<f8"), st.lists, max_leaves=8))
def test_a_grid_is_read_or_refused(wire: Any) -> None:
    with pytest.raises(MalformedMessage):
        Grid.from_wire(wire)


def test_a_grid_travels() -> None:
    grid = Grid.of((30, 4), ">f4", 7)
    assert Grid.from_wire(grid.to_wire()) == grid


@pytest.mark.parametrize(
    "wire",
    [
        [[0], np.zeros(9)],
        [[-1], np.zeros(1)],
        [[0, 0], np.zeros(1)],
        [np.array([9]), np.zeros(1)],
        [np.array([-1]), np.zeros(1)],
        [np.array([0.0]), np.zeros(1)],
        [np.array([0, 1]), np.zeros(1)],
        [[0], np.zeros(1, "f4")],
        None,
    ],
)
def test_a_patch_that_does_not_fit_is_a_breach(wire: Any) -> None:
    with pytest.raises(MalformedMessage):
        Patch.from_wire(wire).apply(np.zeros(3))
