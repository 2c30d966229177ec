"""The machine that spreads samples: each is told once to each, by few messages, whatever the size of the ring."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plugins.resources.network import CALM

from guthi import NodeId
from guthi_resources.sample import Sample
from guthi_resources.spread import REFRESH_S, STALE_S, Record, Spread

BUSY = replace(CALM, cpu_percent=90.0)
ALWAYS = lambda peer: True  # noqa: E731


def node_id(number: int) -> NodeId:
    return NodeId(number.to_bytes(16, "big"))


def a_ring(size: int) -> dict[NodeId, Spread]:
    ids = [node_id(number) for number in range(size)]
    ring = {id: Spread(id, 8192.0) for id in ids}
    for spread in ring.values():
        spread.set_ring(ids)
    return ring


def tick(ring: dict[NodeId, Spread], now: float) -> tuple[int, int, int]:
    """All nodes send at once, and then all receive: messages, records, and those that were no news."""
    sends = [send for spread in ring.values() for send in spread.due(ALWAYS)]
    told = [ring[send.peer].receive(record, now) for send in sends for record in send.records]
    return len(sends), len(told), told.count(False)


@settings(deadline=None)
@given(st.integers(1, 70))
def test_each_is_told_each_sample_once(size: int) -> None:
    ring = a_ring(size)
    for number, spread in enumerate(ring.values()):
        spread.publish(replace(CALM, process_threads=number), 1, 0.0)
    records = doubles = 0
    for now in range((size - 1).bit_length()):
        messages, told, again = tick(ring, float(now))
        assert messages <= size * (size - 1).bit_length()
        records, doubles = records + told, doubles + again
    assert doubles == 0 and records == size * (size - 1)
    for spread in ring.values():
        assert [each.sample.process_threads for each in spread.records()] == list(range(size))
    assert tick(ring, 99.0) == (0, 0, 0)


@pytest.mark.parametrize("size", [2, 3, 64, 100])
def test_one_change_is_told_to_all_within_log_n_ticks(size: int) -> None:
    ring = a_ring(size)
    origin = ring[node_id(size // 2)]
    origin.publish(BUSY, 1, 0.0)
    total = sum(tick(ring, 0.0)[1] for _ in range((size - 1).bit_length()))
    assert total == size - 1
    assert all(spread.record(node_id(size // 2)) is not None for spread in ring.values())


def test_of_several_changes_between_ticks_only_the_last_is_told() -> None:
    ring = a_ring(2)
    for share in (20.0, 40.0, 60.0):
        ring[node_id(0)].publish(replace(CALM, cpu_percent=share), 1, 0.0)
    assert tick(ring, 0.0) == (1, 1, 0)
    heard = ring[node_id(1)].record(node_id(0))
    assert heard is not None and heard.sample.cpu_percent == 60.0 and heard.version == 3


def test_who_takes_nothing_is_told_the_newest_later() -> None:
    ring = a_ring(2)
    one = ring[node_id(0)]
    one.publish(CALM, 1, 0.0)
    assert list(one.due(lambda peer: False)) == []
    one.publish(BUSY, 2, 1.0)
    assert [[each.sample for each in send.records] for send in one.due(ALWAYS)] == [[BUSY]]


def test_older_versions_are_no_news_unless_what_is_known_is_stale() -> None:
    spread = Spread(node_id(0), 8192.0)
    assert spread.receive(Record(node_id(1), 50, CALM), 0.0)
    assert not spread.receive(Record(node_id(1), 50, BUSY), 1.0)
    assert not spread.receive(Record(node_id(1), 7, BUSY), STALE_S - 1)
    assert spread.receive(Record(node_id(1), 7, BUSY), STALE_S)


def test_nobody_tells_a_node_of_itself() -> None:
    spread = Spread(node_id(0), 8192.0)
    assert not spread.receive(Record(node_id(0), 50, CALM), 0.0)
    assert spread.records() == []


def published(spread: Spread, sample: Sample, now: float) -> bool:
    if not spread.is_worth_telling(sample, now):
        return False
    spread.publish(sample, 1, now)
    return True


def test_what_did_not_change_is_told_seldom() -> None:
    spread = Spread(node_id(0), 8192.0)
    assert published(spread, CALM, 0.0)
    assert not published(spread, replace(CALM, cpu_percent=11.0), 2.0)
    assert published(spread, replace(CALM, cpu_percent=13.0), 4.0)
    assert not published(spread, replace(CALM, cpu_percent=13.0), 4.0 + REFRESH_S - 1)
    assert published(spread, replace(CALM, cpu_percent=13.0), 4.0 + REFRESH_S)


def test_the_more_nodes_the_more_seldom_each_tells() -> None:
    spread = Spread(node_id(0), 8192.0)
    spread.set_ring(node_id(number) for number in range(1000))
    assert published(spread, CALM, 0.0)
    told = [now for now in range(1, 61) if published(spread, BUSY if now % 2 else CALM, float(now))]
    assert 4 <= len(told) <= 5  # each 100 bytes * 1000 / 8192 bytes a second = 12.2 s


def test_a_long_backlog_goes_in_parts_and_is_told_whole() -> None:
    ring = a_ring(1200)
    last = ring[node_id(1199)]
    for number in range(1199):
        last.receive(Record(node_id(number), 1, CALM), 0.0)
    told: dict[NodeId, list[NodeId]] = {}
    for _ in range(4):
        for send in last.due(ALWAYS):
            assert len(send.records) <= 512
            told.setdefault(send.peer, []).extend(each.origin for each in send.records)
    most = max(told.values(), key=len)
    assert len(most) == len(set(most)) == 511


def test_a_larger_backlog_still() -> None:
    ring = {node_id(2999): Spread(node_id(2999), 8192.0)}
    ring[node_id(2999)].set_ring(node_id(number) for number in range(3000))
    last = ring[node_id(2999)]
    for number in range(2999):
        last.receive(Record(node_id(number), 1, CALM), 0.0)
    rounds = [{send.peer: len(send.records) for send in last.due(ALWAYS)} for _ in range(4)]
    widest = node_id((2999 + 1024) % 3000)
    assert [each.get(widest, 0) for each in rounds] == [512, 511, 0, 0]
