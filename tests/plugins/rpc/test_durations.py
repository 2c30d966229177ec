"""How long calls took, told from classes: near enough whatever they were, exact at powers of two, and added up."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi.testing import World, simulated
from guthi_rpc import RPC, Durations
from guthi_rpc.durations import LONGEST_S, SHORTEST_S

from .working import rpc_of, start_all

times = st.lists(st.floats(SHORTEST_S, 1e5), min_size=1, max_size=200)


def of(values: list[float]) -> Durations:
    durations = Durations()
    for value in values:
        durations.add(value)
    return durations


@given(times, st.sampled_from([0.0, 0.1, 0.5, 0.99, 1.0]))
def test_a_share_is_told_within_an_eighth(values: list[float], share: float) -> None:
    exact = sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]
    told = of(values).quantile_s(share)
    assert told is not None and abs(told - exact) <= exact / 8


@given(times, st.integers(-10, 10))
def test_at_powers_of_two_it_is_exact(values: list[float], exponent: int) -> None:
    assert of(values).shorter_than(exponent) == sum(value < 2.0**exponent for value in values)


@given(times, times)
def test_those_of_two_nodes_can_be_added_up(some: list[float], others: list[float]) -> None:
    both, sums = of(some + others), of(some)
    more = of(others)
    sums.include(more.calls, more.errors, more.seconds, more.counts)
    assert sums.counts == both.counts and sums.calls == both.calls and math.isclose(sums.seconds, both.seconds)


@given(st.lists(st.floats(0.0, allow_infinity=True, allow_nan=False), max_size=300))
def test_there_are_only_so_many_classes(values: list[float]) -> None:
    durations = of(values)
    assert len(durations.counts) <= 160 and durations.calls == len(values)
    if values:
        told = durations.quantile_s(1.0)
        assert told is not None and SHORTEST_S <= told <= 1.2 * LONGEST_S


def test_failures_are_counted_and_have_no_time() -> None:
    durations = of([1.0])
    durations.failed(3)
    assert (durations.calls, durations.errors, durations.seconds) == (4, 3, 1.0)
    assert Durations().quantile_s(0.5) is None


@simulated
async def test_a_node_keeps_those_of_its_own_functions(world: World) -> None:
    await start_all(world, ["alice", "bob"])
    alice, bob = rpc_of(world, "alice"), rpc_of(world, "bob")

    async def wait(seconds: float) -> None:
        await asyncio.sleep(seconds)

    def refuse(*_: Any) -> None:
        raise ValueError("no")

    bob.register(wait)
    bob.register(refuse, run="inline")
    bob.register(lambda item: 100 // item, name="divide", run="inline")
    for _ in range(3):
        await alice.call("wait", 2.0, on="bob")
        with pytest.raises(ValueError, match="no"):
            await alice.call("refuse", on="bob")
    assert [each.value async for each in alice.map("divide", range(1, 11))]
    assert [each.error async for each in alice.map("divide", [0, 0], errors="return")]
    found = bob.durations()
    assert found["wait"].calls == 3 and found["wait"].quantile_s(0.5) == pytest.approx(2.0, rel=0.13)
    assert (found["refuse"].calls, found["refuse"].errors) == (3, 3)
    assert (found["divide"].calls, found["divide"].errors) == (12, 2)
    assert "wait" not in alice.durations()
    bob.unregister("wait")
    assert "wait" not in world.nodes["bob"].node.require(RPC).durations()
