"""Samples on the wire, differences that are worth telling, and the probe of the real machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plugins.resources.network import CALM, GIB

from guthi import MalformedMessage, NodeId
from guthi.values.codec import Codec
from guthi_resources.history import FEWEST_POINTS, MOST_POINTS, History
from guthi_resources.sample import differs, from_wire, to_wire
from guthi_resources.system import SystemProbe
from guthi_resources.telling import read_table


def test_a_sample_travels() -> None:
    sample = replace(CALM, cpu_percent=12.3, cores_percent=(0, 100, 7), load_1m=1.25, received_bytes_s=123_456)
    assert from_wire(to_wire(sample)) == sample
    assert len(b"".join(Codec().encode(to_wire(replace(sample, cores_percent=(50,) * 8))))) <= 80


@settings(deadline=None)
@given(st.recursive(st.none() | st.integers() | st.binary() | st.text(), st.lists, max_leaves=40))
def test_bad_records_are_refused_and_nothing_else_happens(value: Any) -> None:
    try:
        read_table(value)
    except MalformedMessage:
        pass


@pytest.mark.parametrize("place", range(15))
@pytest.mark.parametrize("bad", [-1, 2**63, 1.5, None, True, "1", b"\xff", b"\0" * 2000])
def test_each_number_is_checked(place: int, bad: Any) -> None:
    value = to_wire(CALM)
    value[place] = bad
    with pytest.raises(MalformedMessage):
        read_table([[bytes(NodeId(b"a" * 16)), 1, value]])


@pytest.mark.parametrize(
    "changes",
    [
        {"cpu_percent": 12.1},
        {"process_cpu_percent": 3.1},
        {"load_1m": 0.8},
        {"memory_available_bytes": 8 * GIB - GIB // 8},
        {"disk_free_bytes": 49 * GIB},
        {"disk_total_bytes": 101 * GIB},
        {"received_bytes_s": 100_000},
        {"cores_percent": (10, 10, 10)},
    ],
)
def test_what_people_would_see_is_a_difference(changes: dict[str, Any]) -> None:
    assert differs(CALM, replace(CALM, **changes))


def test_small_things_are_none() -> None:
    assert not differs(CALM, CALM)
    small = replace(CALM, cpu_percent=11.5, memory_available_bytes=8 * GIB - 1000, sent_bytes_s=60_000)
    assert not differs(CALM, replace(small, process_threads=5))
    busy = replace(CALM, sent_bytes_s=10_000_000)
    assert not differs(busy, replace(CALM, sent_bytes_s=11_000_000))


def test_the_real_machine(tmp_path: Path) -> None:
    probe = SystemProbe(tmp_path)
    first = probe.sample(0.0)
    assert first.cpu_percent == 0.0 and set(first.cores_percent) == {0} and first.received_bytes_s == 0
    begun_s = psutil.Process().cpu_times().user
    while psutil.Process().cpu_times().user < begun_s + 0.15:
        sum(range(100_000))
    second = probe.sample(1.0)
    assert second.memory_total_bytes == psutil.virtual_memory().total
    assert 0 < second.memory_percent < 100 and 0 < second.disk_percent < 100
    assert len(second.cores_percent) == psutil.cpu_count()
    assert second.process_cpu_percent > 5 and second.cpu_percent > 0
    assert second.process_threads >= 1 and second.process_memory_bytes > 1_000_000


def test_the_history_is_bounded() -> None:
    history = History(300)
    nodes = [NodeId(number.to_bytes(16, "big")) for number in range(1000)]
    for now in range(100):
        for node in nodes:
            history.add(node, CALM, float(now))
    lengths = [len(history.of(node)) for node in nodes]
    assert sum(lengths) <= MOST_POINTS and min(lengths) >= FEWEST_POINTS
    assert [point.at_s for point in history.of(nodes[0])][-1] == 99.0
    history.forget(nodes[0])
    assert history.of(nodes[0]) == []


def test_a_node_has_as_many_points_as_it_should() -> None:
    history = History(3)
    node = NodeId(b"a" * 16)
    for now in range(10):
        history.add(node, CALM, float(now))
    assert [point.at_s for point in history.of(node)] == [7.0, 8.0, 9.0]
