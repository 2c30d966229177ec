"""The gate: what a resource lets through."""

from __future__ import annotations

import pytest

import guthi
from guthi_mutex import Fence, FenceGate, StaleFence


def test_an_older_fence_is_refused_and_an_equal_one_is_not() -> None:
    gate = FenceGate()
    for number in (3, 3, 5):
        gate.admit(Fence("render", number))
    with pytest.raises(StaleFence, match="fence 5 was seen, this is 3"):
        gate.admit(Fence("render", 3))
    assert gate.newest("render") == 5


def test_locks_do_not_meddle() -> None:
    gate = FenceGate()
    gate.admit(Fence("render", 9))
    gate.admit(Fence("backup", 1))
    assert (gate.newest("render"), gate.newest("backup"), gate.newest("other")) == (9, 1, None)


def test_the_lock_that_was_seen_longest_ago_is_forgotten() -> None:
    gate = FenceGate(locks=2)
    for name in ("a", "b", "a", "c"):
        gate.admit(Fence(name, 1))
    assert (gate.newest("a"), gate.newest("b"), gate.newest("c")) == (1, None, 1)


def test_a_gate_for_nothing_is_refused() -> None:
    with pytest.raises(guthi.UsageError):
        FenceGate(locks=0)
