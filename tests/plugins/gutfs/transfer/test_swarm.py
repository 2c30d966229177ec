"""The swarm and the window: order, bounds, resting, late chunks, and that whatever happens all comes or is given up."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from guthi import NodeId
from guthi_gutfs.chunks import MOST_ASKED
from guthi_gutfs.transfer.swarm import Ask, Swarm
from guthi_gutfs.transfer.window import CROWDED_ABOVE, FIRST_CHUNKS, LONGEST_S, MOST_CHUNKS, Window

ALICE, BOB, CAROL = (NodeId(bytes([number] * 16)) for number in (1, 2, 3))
PATIENCE_S = 10.0


def a_swarm(count: int, *holders: NodeId, ahead: int = 8) -> Swarm:
    swarm = Swarm(range(count), ahead, PATIENCE_S)
    for each in holders:
        swarm.join(each)
    return swarm


def test_chunks_are_spread_over_the_holders_in_order() -> None:
    asks = a_swarm(20, ALICE, BOB).asks(0.0)
    assert [ask.chunk for ask in asks] == list(range(2 * FIRST_CHUNKS))
    assert sorted(ask.holder for ask in asks) == [ALICE] * FIRST_CHUNKS + [BOB] * FIRST_CHUNKS


def test_half_a_window_is_asked_for_together_and_the_next_run_waits_until_it_fits() -> None:
    swarm = a_swarm(20, ALICE, ahead=20)
    half = FIRST_CHUNKS // 2
    first, second = swarm.runs(0.0)
    assert first == (ALICE, tuple(range(half))) and second == (ALICE, tuple(range(half, FIRST_CHUNKS)))
    for index in first.chunks[:-1]:
        swarm.arrived(ALICE, index, 0.1)
        assert swarm.runs(0.1) == []
    swarm.arrived(ALICE, first.chunks[-1], 0.1)
    assert swarm.runs(0.1) == [(ALICE, tuple(range(FIRST_CHUNKS, FIRST_CHUNKS + half)))]


def test_a_run_is_as_long_as_one_request_may_be_and_no_longer() -> None:
    swarm = a_swarm(2000, ALICE, ahead=40)
    now = 0.0
    while len(runs := swarm.runs(now)) * MOST_ASKED < MOST_CHUNKS:
        now += 0.1
        for index in [index for run in runs for index in run.chunks]:
            assert swarm.arrived(ALICE, index, now)
            swarm.taken()
    assert {len(run.chunks) for run in runs} == {MOST_ASKED}


def test_a_run_that_fails_counts_as_one_failure() -> None:
    swarm = a_swarm(20, ALICE, ahead=20)
    for run in swarm.runs(0.0):
        for index in run.chunks:
            swarm.failed(ALICE, index, 0.0)
    assert [len(run.chunks) for run in swarm.runs(1.0)] == [1] * (FIRST_CHUNKS // 2)


def test_no_more_is_asked_for_than_the_reader_is_behind() -> None:
    swarm = a_swarm(20, ALICE, BOB, CAROL, ahead=3)
    for ask in swarm.asks(0.0):
        swarm.arrived(ask.holder, ask.chunk, 0.1)
    assert swarm.asks(0.2) == []
    assert swarm.taken() == 0
    assert [ask.chunk for ask in swarm.asks(0.2)] == [3]


def test_who_lacks_a_chunk_is_not_asked_for_it_again() -> None:
    swarm = a_swarm(1, ALICE, BOB)
    (ask,) = swarm.asks(0.0)
    swarm.missed(ask.holder, 0)
    (second,) = swarm.asks(0.0)
    assert second.holder != ask.holder
    swarm.missed(second.holder, 0)
    assert swarm.asks(0.0) == [] and swarm.is_exhausted


def test_who_fails_rests_longer_each_time_and_is_given_up_in_the_end() -> None:
    swarm = a_swarm(1, ALICE)
    now, rests = 0.0, []
    while not swarm.is_exhausted:
        assert swarm.asks(now) == [Ask(ALICE, 0)]
        swarm.failed(ALICE, 0, now)
        if (until := swarm.deadline(now)) is not None:
            rests.append(until - now)
            assert swarm.asks(now) == []
            now = until
    assert rests == sorted(rests) and rests[0] < rests[-1] and now >= PATIENCE_S


def test_a_holder_that_answers_again_is_forgiven() -> None:
    swarm = a_swarm(2, ALICE)
    swarm.asks(0.0)
    swarm.failed(ALICE, 0, 0.0)
    swarm.arrived(ALICE, 1, 9.0)
    assert swarm.asks(9.0) == [Ask(ALICE, 0)]
    swarm.failed(ALICE, 0, 11.0)
    assert swarm.holders == [ALICE]


def test_what_is_late_is_asked_of_another_and_counts_once() -> None:
    swarm = a_swarm(3, ALICE, BOB, ahead=1)
    first = swarm.asks(0.0)[0]
    swarm.arrived(first.holder, 0, 0.1)
    swarm.taken()
    (slow,) = swarm.asks(0.1)
    assert swarm.asks(0.2) == []
    late_at = swarm.deadline(0.2)
    assert late_at is not None
    (second,) = swarm.asks(late_at)
    assert second.chunk == 1 and second.holder != slow.holder
    assert swarm.deadline(late_at) is None  # no third
    assert swarm.arrived(second.holder, 1, late_at + 0.1)
    assert not swarm.arrived(slow.holder, 1, late_at + 0.2)


def test_what_a_lost_holder_was_asked_for_is_wanted_again() -> None:
    swarm = a_swarm(4, ALICE, BOB)
    lost = [ask.chunk for ask in swarm.asks(0.0) if ask.holder == ALICE]
    swarm.lost(ALICE)
    swarm.arrived(BOB, 1 if 1 not in lost else 0, 0.1)
    assert {ask.chunk for ask in swarm.asks(0.1)} <= set(lost)


@given(seed=st.integers(), count=st.integers(0, 40), ahead=st.integers(1, 9))
def test_whatever_happens_all_chunks_come_in_order_or_nobody_has_them(seed: int, count: int, ahead: int) -> None:
    rng = Random(seed)
    swarm = a_swarm(count, ALICE, BOB, CAROL, ahead=ahead)
    under_way: list[Ask] = []
    taken: list[int] = []
    now = 0.0
    while not swarm.is_done and not swarm.is_exhausted:
        under_way += swarm.asks(now)
        assert len(set(under_way)) == len(under_way)
        assert len({ask.chunk for ask in under_way} | set(swarm.horizon)) <= ahead + 1
        now += 0.01
        if not under_way:
            now = swarm.deadline(now) or now
            continue
        ask = under_way.pop(rng.randrange(len(under_way)))
        match rng.randrange(8):
            case 0:
                swarm.failed(ask.holder, ask.chunk, now)
            case 1 if rng.random() < 0.2:
                swarm.missed(ask.holder, ask.chunk)
            case 2 if rng.random() < 0.05:
                swarm.lost(ask.holder)
                under_way = [each for each in under_way if each.holder != ask.holder]
            case _:
                swarm.arrived(ask.holder, ask.chunk, now)
        while swarm.next_is_there:
            taken.append(swarm.taken())
    assert taken == list(range(len(taken)))
    assert len(taken) == count or swarm.is_exhausted


def test_a_window_grows_while_it_costs_nothing_and_stops_where_chunks_wait() -> None:
    fast = Window()
    for _ in range(200):
        fast.arrived(0.1)
    assert fast.chunks == MOST_CHUNKS
    narrow = Window()
    for _ in range(200):
        narrow.arrived(0.1 * narrow.chunks)  # one after the other passes
    assert FIRST_CHUNKS <= narrow.chunks <= FIRST_CHUNKS + CROWDED_ABOVE < MOST_CHUNKS
    before = narrow.chunks
    narrow.failed()
    assert narrow.chunks == before // 2


def test_a_window_doubles_until_chunks_wait_for_the_first_time() -> None:
    window, seen = Window(), [FIRST_CHUNKS]
    for _ in range(200):
        window.arrived(max(window.chunks - FIRST_CHUNKS, 1) * 0.1)
        if window.chunks != seen[-1]:
            seen.append(window.chunks)
    assert seen[:2] == [FIRST_CHUNKS, 2 * FIRST_CHUNKS]
    assert all(abs(after - before) == 1 for before, after in pairwise(seen[2:]))


def test_on_a_slow_line_no_more_is_asked_for_than_at_first() -> None:
    slow = Window()
    for _ in range(200):
        slow.arrived(LONGEST_S + 1)
    assert slow.chunks == FIRST_CHUNKS
    slow.failed()
    slow.arrived(LONGEST_S + 1)
    slow.arrived(LONGEST_S + 1)
    assert slow.chunks == FIRST_CHUNKS // 2
