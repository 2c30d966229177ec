"""The gate: what a resource lets through."""

from __future__ import annotations

import pytest

import guthi
from guthi.testing import World, simulated
from guthi_mutex import MUTEX, Fence, FenceGate, StaleFence


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


def test_a_gate_that_is_made_anew_goes_on_from_what_was_kept() -> None:
    gate = FenceGate()
    gate.admit(Fence("render", 5))
    newest = gate.newest("render")
    assert newest is not None
    again = FenceGate()
    again.admit(Fence("render", newest))
    with pytest.raises(StaleFence):
        again.admit(Fence("render", 4))


@simulated
async def test_a_write_with_a_fence_and_its_refusal_travel_by_registration_alone(world: World) -> None:
    """As docs/mutex.md tells plugins to do it: the side that writes does not run the plugin."""
    for name in ("alice", "bob"):
        plugins = ["mutex"] if name == "alice" else []
        await world.start(name, plugins=plugins, join=["alice"] if name == "bob" else [])
    alice, bob = world.nodes["alice"].node, world.nodes["bob"].node
    for node in (alice, bob):
        for kind in (Fence, StaleFence):
            node.codec.register(kind, f"mutex.{kind.__name__}")
    gate = FenceGate()
    bob.handle("write", lambda incoming: gate.admit(incoming.value))
    mutex = alice.require(MUTEX)
    async with mutex("render") as first:
        await alice.request("bob", "write", first.token)
    async with mutex("render") as second:
        await alice.request("bob", "write", second.token)
    with pytest.raises(StaleFence, match="was granted anew"):
        await alice.request("bob", "write", first.token)
