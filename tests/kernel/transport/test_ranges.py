"""RangeSet against a plain set of numbers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi.transport.ranges import RangeSet

SPAN = 40

pairs = st.tuples(st.integers(0, SPAN), st.integers(0, SPAN))
steps = st.lists(st.tuples(st.sampled_from(["add", "remove"]), pairs), max_size=30)


def built(changes: list[tuple[str, tuple[int, int]]]) -> tuple[RangeSet, set[int]]:
    ranges, model = RangeSet(), set[int]()
    for action, (start, stop) in changes:
        if action == "add":
            ranges.add(start, stop)
            model |= set(range(start, stop))
        else:
            ranges.remove(start, stop)
            model -= set(range(start, stop))
    return ranges, model


@given(steps)
def test_holds_the_same_numbers_as_a_set(changes: list[tuple[str, tuple[int, int]]]) -> None:
    ranges, model = built(changes)
    assert {number for start, stop in ranges for number in range(start, stop)} == model
    assert all((number in ranges) == (number in model) for number in range(SPAN + 1))
    assert ranges.size() == len(model)
    assert bool(ranges) == bool(model)
    assert ranges.next_expected() == max(model, default=-1) + 1


@given(steps)
def test_ranges_are_sorted_and_never_touch(changes: list[tuple[str, tuple[int, int]]]) -> None:
    ranges, _ = built(changes)
    listed = list(ranges)
    assert all(start < stop for start, stop in listed)
    assert all(before[1] < after[0] for before, after in pairwise(listed))
    assert ranges.closed_descending() == [(start, stop - 1) for start, stop in listed[::-1]]
    assert len(ranges) == len(listed)


@given(steps, pairs)
def test_covers_means_every_number(changes: list[tuple[str, tuple[int, int]]], pair: tuple[int, int]) -> None:
    ranges, model = built(changes)
    start, stop = min(pair), max(pair) + 1
    assert ranges.covers(start, stop) == (set(range(start, stop)) <= model)


@given(steps, st.integers(0, SPAN + 1))
def test_extend_adds_the_next_number_and_no_other(changes: list[tuple[str, tuple[int, int]]], number: int) -> None:
    ranges, model = built(changes)
    is_next = number == max(model, default=-1) + 1
    assert ranges.extend(number) is is_next
    assert (number in ranges) == (is_next or number in model)
    assert ranges.size() == len(model) + is_next


@given(steps)
def test_pop_first_takes_the_lowest_range(changes: list[tuple[str, tuple[int, int]]]) -> None:
    ranges, _ = built(changes)
    listed = list(ranges)
    popped = [ranges.pop_first() for _ in listed]
    assert popped == listed
    assert not ranges
    with pytest.raises(IndexError):
        ranges.pop_first()


@given(steps, st.integers(0, SPAN + 1))
def test_forget_below_is_to_remove_from_zero(changes: list[tuple[str, tuple[int, int]]], number: int) -> None:
    ranges, _ = built(changes)
    others, _ = built(changes)
    ranges.forget_below(number)
    others.remove(0, number)
    assert list(ranges) == list(others)


@given(steps, st.integers(1, 5))
def test_keep_highest_forgets_the_lowest(changes: list[tuple[str, tuple[int, int]]], count: int) -> None:
    ranges, _ = built(changes)
    listed = list(ranges)
    ranges.keep_highest(count)
    assert list(ranges) == listed[-count:]
