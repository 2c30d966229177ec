"""Links: what share is lost, doubled and delayed, and by how much; checked by counting, with fixed seeds."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random
from statistics import mean

import pytest

from guthi.errors import UsageError
from guthi.testing import Bursts, Jitter, Link
from guthi.testing.links import LinkState

MANY = 40_000


def delays(link: Link, count: int = MANY, size_bytes: int = 100, every_s: float = 1.0) -> list[list[float]]:
    """For each of many datagrams, how long its copies take."""
    state, random = LinkState(link, Counter()), Random(1)
    return [
        [arrival - number * every_s for arrival in state.arrivals(size_bytes, number * every_s, random)]
        for number in range(count)
    ]


def lost(link: Link) -> list[bool]:
    return [not copies for copies in delays(link)]


def test_a_plain_link_takes_its_latency_and_keeps_the_order():
    taken = delays(Link(latency_s=0.02, jitter_s=0), 100)
    assert all(copies == pytest.approx([0.02]) for copies in taken)


def test_jitter_is_spread_evenly():
    taken = [copies[0] for copies in delays(Link(latency_s=0.02, jitter_s=0.01))]
    assert min(taken) >= 0.02 and max(taken) <= 0.03 + 1e-9
    assert mean(taken) == pytest.approx(0.025, rel=0.01)
    assert sum(delay < 0.0225 for delay in taken) / MANY == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(("jitter", "beyond_5_means"), [(Jitter.EXPONENTIAL, 0.0067), (Jitter.PARETO, 0.0256)])
def test_jitter_has_a_tail(jitter, beyond_5_means):
    taken = [copies[0] for copies in delays(Link(latency_s=0, jitter_s=2.0, jitter=jitter))]
    assert mean(taken) == pytest.approx(1.0, rel=0.05)
    assert sum(delay > 5 for delay in taken) / MANY == pytest.approx(beyond_5_means, rel=0.2)


@pytest.mark.parametrize("chance", [0.0, 0.05, 0.3, 1.0])
def test_as_much_is_lost_as_was_said(chance):
    assert mean(lost(Link(loss=chance))) == pytest.approx(chance, abs=0.01)


def test_bursts_lose_in_rows():
    bursts = lost(Link(bursts=Bursts(enter=0.01, leave=0.2, loss=1.0)))
    share = 0.01 / (0.01 + 0.2)  # of the time in a bad spell
    assert mean(bursts) == pytest.approx(share, rel=0.15)
    follows = sum(first and second for first, second in pairwise(bursts)) / sum(bursts)
    assert follows == pytest.approx(0.8, abs=0.03)  # without bursts it would be as rare as any loss


def test_copies_come_as_often_as_was_said():
    counts = Counter(len(copies) for copies in delays(Link(duplicate=0.1)))
    assert set(counts) == {1, 2}
    assert counts[2] / MANY == pytest.approx(0.1, abs=0.01)


def test_some_are_overtaken():
    taken = [copies[0] for copies in delays(Link(latency_s=0.01, jitter_s=0, reorder=0.2, reorder_s=0.05))]
    assert sum(delay > 0.01 + 1e-9 for delay in taken) / MANY == pytest.approx(0.2, abs=0.01)
    assert max(taken) <= 0.06 + 1e-9


def test_a_narrow_link_drains_at_its_rate_and_drops_what_does_not_fit():
    link = Link(latency_s=0, jitter_s=0, bandwidth_bytes_s=10_000, queue_bytes=5_000)
    state = LinkState(link, Counter())
    taken = [state.arrivals(1000, 0.0, Random(1)) for _ in range(20)]
    assert [copies[0] for copies in taken[:5]] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert all(not copies for copies in taken[5:])
    assert state.dropped == {"queue": 15}
    assert state.arrivals(1000, 10.0, Random(1)) == pytest.approx([10.1])  # the queue is empty again


def test_what_is_over_the_mtu_is_dropped():
    state = LinkState(Link(mtu_bytes=1200), Counter())
    assert state.arrivals(1200, 0.0, Random(1))
    assert not state.arrivals(1201, 0.0, Random(1))
    assert state.dropped == {"mtu": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        {"loss": 1.5},
        {"loss": -0.1},
        {"duplicate": 2},
        {"reorder": float("nan")},
        {"latency_s": -1},
        {"jitter_s": float("inf")},
        {"bandwidth_bytes_s": 0},
        {"queue_bytes": 0},
        {"mtu_bytes": -5},
    ],
)
def test_a_link_that_cannot_be_is_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Link(**wrong)


def test_bursts_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match="leave"):
        Bursts(leave=2)


def test_what_finds_a_long_queue_is_to_be_marked():
    state = LinkState(Link(latency_s=0, jitter_s=0, bandwidth_bytes_s=10_000, mark_bytes=2_000), Counter())
    found = []
    for _ in range(5):
        state.arrivals(1000, 0.0, Random(1))
        found.append(state.is_congested)
    assert found == [False, False, True, True, True]
    with pytest.raises(UsageError, match="mark_bytes"):
        Link(mark_bytes=-1)
