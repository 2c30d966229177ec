"""The parts of a map, each by itself: sizes of chunks, who is late, what has a result, how values are combined."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guthi.api import NodeId
from guthi.errors import MalformedMessage, NotEncodable, RemoteError, UsageError
from guthi.values.codec import Codec
from guthi_rpc.ahead import AHEAD_S, Ahead
from guthi_rpc.batches import Shape, batched, read_outcomes, write_outcomes
from guthi_rpc.chunks import MAX_ITEMS, TARGET_S, ChunkSize, length_of
from guthi_rpc.functions import describe_function
from guthi_rpc.items import Item
from guthi_rpc.progress import Progress
from guthi_rpc.reducing import FOLD_ITEMS, reduce_in_tree
from guthi_rpc.results import Outcome, Results
from guthi_rpc.stragglers import LATE, LEAST_S, Stragglers

ALICE, BOB, CAROL = (NodeId(name.encode() * 16) for name in "abc")

# ---- chunks


@pytest.mark.parametrize("item_s", [1e-7, 1e-5, 1e-3, 0.02, 0.3, 10.0])
def test_chunks_come_to_take_about_as_long_as_they_should(item_s: float) -> None:
    size = ChunkSize()
    for _ in range(30):
        items = size.within(None, 1)
        size.took(items, items * item_s)
    assert 1 <= size.items <= MAX_ITEMS
    if 1 < size.items < MAX_ITEMS:
        assert TARGET_S / 2 <= size.items * item_s <= 2 * TARGET_S


def test_chunks_shrink_when_items_become_slow() -> None:
    size = ChunkSize()
    for _ in range(10):
        size.took(size.items, 0.001)
    grown = size.items
    for _ in range(20):
        size.took(size.items, size.items * 1.0)
    assert grown > 100
    assert size.items == 1


def test_a_small_chunk_at_the_end_says_nothing_of_large_ones() -> None:
    size = ChunkSize()
    size.items = 64
    size.took(3, 0.001)
    assert size.items == 64


@given(st.integers(1, MAX_ITEMS), st.integers(0, 10_000), st.integers(1, 50))
def test_towards_the_end_every_place_gets_something(items: int, remaining: int, places: int) -> None:
    size = ChunkSize()
    size.items = items
    given_now = size.within(remaining, places)
    assert 1 <= given_now <= items
    assert given_now == 1 or given_now * places < remaining


def test_only_what_has_a_length_has_one() -> None:
    assert (length_of([1, 2]), length_of(range(5)), length_of(iter([1]))) == (2, 5, None)


# ---- how many chunks a node has in hand


def test_who_takes_long_has_one_chunk_more_than_workers_and_who_is_quick_has_more() -> None:
    slow, quick = Ahead(), Ahead()
    assert slow.within(2, None, 1) == 2  # nobody knows yet
    for _ in range(20):
        slow.took(0.1)
        quick.took(AHEAD_S / 2)
    assert slow.within(2, None, 1) == 2
    assert quick.within(2, None, 1) == 6
    for _ in range(50):
        quick.took(0.1)
    assert quick.within(2, None, 1) == 2


def test_one_quick_chunk_is_no_reason_to_give_many() -> None:
    ahead = Ahead()
    for chunks in range(1, 6):
        ahead.took(0.0)
        assert ahead.within(2, None, 1) == 2 + chunks


def test_towards_the_end_no_node_gets_what_another_could_do() -> None:
    ahead = Ahead()
    for _ in range(100):
        ahead.took(0.0)
    assert [ahead.within(2, remaining, 2) for remaining in (1000, 40, 8, 3)] == [16, 12, 4, 2]


def test_a_node_that_refuses_gets_as_many_as_it_took_and_later_more() -> None:
    ahead = Ahead()
    ahead.refused(3)
    assert ahead.within(5, None, 1) == 3
    for _ in range(4):
        ahead.took(1.0)
    assert ahead.within(5, None, 1) == 4
    ahead.refused(0)
    assert ahead.within(5, None, 1) == 1


# ---- stragglers


def one(index: int) -> list[Item]:
    return [Item(index, index)]


def test_late_is_what_takes_longer_than_others_did() -> None:
    stragglers = Stragglers()
    assert stragglers.copies([(0.0, one(1), ALICE)], [BOB], 1e9) == []  # nobody knows yet what is usual
    stragglers.took(1.0, 1)
    stragglers.took(3.0, 1)
    usual_s = 2.0
    assert stragglers.copies([(0.0, one(1), ALICE)], [BOB], LATE * usual_s - 0.01) == []
    chunk = one(1)
    assert stragglers.copies([(0.0, chunk, ALICE)], [BOB], LATE * usual_s) == [(BOB, chunk)]
    assert stragglers.copies([(0.0, chunk, ALICE)], [BOB, CAROL], 1e9) == []  # one copy is enough
    assert stragglers.next_look(5.0) == 5.0 + LATE * usual_s


def test_the_latest_goes_first_and_never_to_the_node_that_has_it() -> None:
    stragglers = Stragglers()
    stragglers.took(1.0, 1)
    early, later = one(1), one(2)
    assert stragglers.copies([(5.0, later, ALICE), (0.0, early, BOB)], [BOB], 100.0) == [(BOB, later)]
    assert stragglers.copies([(0.0, early, BOB)], [BOB], 100.0) == []
    assert stragglers.copies([(0.0, early, BOB)], [CAROL], 100.0) == [(CAROL, early)]


def test_what_takes_no_time_is_not_copied_at_once() -> None:
    stragglers = Stragglers()
    stragglers.took(0.0, 100)
    assert stragglers.copies([(0.0, one(1), ALICE)], [BOB], LEAST_S / 2) == []


# ---- results


@settings(max_examples=50)
@given(st.integers(0, 40), st.integers(0, 2**32), st.booleans())
def test_each_item_has_one_result_and_its_turn(count: int, seed: int, ordered: bool) -> None:
    rng, results = Random(seed), Results(ordered)
    items = [Item(index, index) for index in range(count)]
    results.copied(items)
    arrivals = [*items, *items]
    rng.shuffle(arrivals)
    taken = sum(results.add(item, Outcome(-item.value, 0.0), "bob") for item in arrivals)
    ready = [result.index for result in results.ready]
    assert taken == count
    assert sorted(ready) == list(range(count)) if not ordered else ready == list(range(count))
    assert results.ahead == 0
    assert all(results.has(item) for item in items)


def test_in_order_later_results_wait() -> None:
    results = Results(ordered=True)
    results.add(Item(1, "b"), Outcome("B", 0.0), "bob")
    assert (list(results.ready), results.ahead) == ([], 1)
    results.add(Item(0, "a"), Outcome("A", 0.0), "bob")
    assert ([result.value for result in results.ready], results.ahead) == (["A", "B"], 0)


def test_progress_tells_when_it_will_be_over() -> None:
    progress = Progress("f", 10, started_at=100.0)
    assert progress.remaining_s(105.0) is None
    progress.done = 4
    assert progress.remaining_s(108.0) == pytest.approx(12.0)
    assert Progress("f", None, 100.0, done=4).remaining_s(108.0) is None


# ---- batches


def run_batch(call: Any, items: Sequence[Any], shape: Shape = Shape.ITEM) -> list[Outcome]:
    """As if over the wire."""
    codec = Codec()
    outcomes = batched(describe_function(call, "f", None), shape).call(items)
    if asyncio.iscoroutine(outcomes):
        outcomes = asyncio.run(outcomes)
    return read_outcomes(write_outcomes(outcomes, codec), 1.0, codec, "bob")


async def later(number: int) -> float:
    await asyncio.sleep(0)
    return 1 / number


@pytest.mark.parametrize("call", [lambda number: 1 / number, later])
def test_an_item_that_fails_spoils_no_other(call: Any) -> None:
    outcomes = run_batch(call, [1, 0, 2])
    assert [outcome.value for outcome in outcomes] == [1.0, None, 0.5]
    assert [type(outcome.error) for outcome in outcomes] == [type(None), ZeroDivisionError, type(None)]
    assert sum(outcome.seconds for outcome in outcomes) == pytest.approx(1.0)


def test_nor_does_one_whose_value_cannot_travel() -> None:
    outcomes = run_batch(lambda number: object() if number == 1 else number, [0, 1, 2])
    assert [outcome.value for outcome in outcomes] == [0, None, 2]
    assert isinstance(outcomes[1].error, NotEncodable)
    assert "its result has no form on the wire" in str(outcomes[1].error)


def test_nor_one_that_would_end_the_node() -> None:
    def leave(number: int) -> int:
        if number == 1:
            raise SystemExit(3)
        return number

    assert isinstance(run_batch(leave, [0, 1])[1].error, RemoteError)


def test_the_shapes_of_items() -> None:
    assert [each.value for each in run_batch(lambda a, b=10: a + b, [[1, 2], [3]], Shape.STAR)] == [3, 13]
    assert [each.value for each in run_batch(lambda a, b: a - b, [10, 1, 2], Shape.FOLD)] == [7]


ENCODED = st.binary(max_size=20)


@given(st.lists(ENCODED | st.lists(ENCODED, max_size=2) | st.none() | st.integers(), max_size=3))
def test_outcomes_of_a_peer_are_read_or_refused(wire: list[Any]) -> None:
    try:
        outcomes = read_outcomes(wire, 1.0, Codec(), "bob")
    except MalformedMessage:
        return
    assert len(outcomes) == len(wire)


# ---- reduce


async def values(count: int) -> AsyncIterator[list[int]]:
    for number in range(count):
        yield [number]


@pytest.mark.parametrize("count", [1, 2, FOLD_ITEMS - 1, FOLD_ITEMS, FOLD_ITEMS + 1, 1000])
async def test_all_values_are_combined_once(count: int) -> None:
    rng, sizes = Random(count), list[int]()

    async def fold(some: list[list[int]]) -> list[int]:
        sizes.append(len(some))
        for _ in range(rng.randint(0, 3)):
            await asyncio.sleep(0)
        return [number for each in some for number in each]

    assert sorted(await reduce_in_tree(values(count), fold)) == list(range(count))
    assert all(2 <= size <= FOLD_ITEMS for size in sizes)


async def test_without_values_there_is_nothing_to_combine() -> None:
    async def fold(some: list[list[int]]) -> list[int]:
        raise AssertionError

    with pytest.raises(UsageError, match="nothing to combine"):
        await reduce_in_tree(values(0), fold)


async def test_a_fold_that_fails_ends_it_and_cancels_the_others() -> None:
    begun, ended = 0, 0

    async def fold(some: list[list[int]]) -> list[int]:
        nonlocal begun, ended
        begun += 1
        try:
            if begun == 3:
                raise ZeroDivisionError
            await asyncio.Event().wait()
        finally:
            ended += 1
        return []

    with pytest.raises(ZeroDivisionError):
        await reduce_in_tree(values(100), fold)
    assert begun == ended >= 3
