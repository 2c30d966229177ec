"""Whole networks under faults: what must hold in every world that a seed can draw."""

import pytest

from guthi import DeadlineExceeded, PeerLost
from guthi.testing import Link, simulated

NAMES = ["alice", "bob", "carol", "dave", "erin"]
FAST = {"transport": {"keepalive": "1s", "timeout": "3s", "handshake_timeout": "2s"}}
ROUGH = Link(latency_s=0.001, jitter_s=0.004, loss=0.05, duplicate=0.02, reorder=0.1)


@pytest.mark.guthi_seeds(100)
@simulated
async def test_a_network_is_whole_again_after_any_faults(world):
    world.network.set_link(ROUGH)
    await world.start("alice", **FAST)
    for name in NAMES[1:]:
        await world.start(name, join=["alice"], **FAST)
    await world.swarm(20.0, spare=["alice"])
    await world.until(world.is_connected, within=60.0)


@simulated
async def test_a_restart_is_noticed_by_whoever_still_uses_the_old_session(world):
    alice = await world.start("alice")
    bob = await world.start("bob", join=["alice", "carol"])
    await world.start("carol", join=["alice"])
    await world.until(world.is_whole)
    bob.node.handle("greet", lambda incoming: "hello")
    assert await alice.node.request("bob", "greet", None) == "hello"
    bob.crash()
    world.network.cut(["alice"], ["bob"])  # so that bob joins without a word to alice
    await bob.restart()
    bob.node.handle("greet", lambda incoming: "hello again")
    world.network.heal()
    started_at = world.now
    with pytest.raises(PeerLost, match="restart"):
        await alice.node.request("bob", "greet", None)
    assert await alice.node.request("bob", "greet", None) == "hello again"
    assert world.now - started_at < 0.5


@simulated
async def test_a_timeout_covers_the_wait_for_room(world, monkeypatch):
    monkeypatch.setattr("guthi.network.backpressure.SEND_BUFFER_BYTES", 10_000)
    alice = await world.start("alice")
    bob = await world.start("bob", join=["alice"])
    bob.machine.pause()
    await alice.node.cast("bob", "topic", bytes(20_000))
    started_at = world.now
    with pytest.raises(DeadlineExceeded, match="took nothing more for 1 s"):
        await alice.node.request("bob", "topic", None, timeout_s=1.0)
    assert world.now - started_at == pytest.approx(1.0, abs=0.01)
    bob.machine.resume()
