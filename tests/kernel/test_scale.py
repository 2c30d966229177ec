"""Many nodes that start at once and know one address: how soon all know all, and what that and the rest cost."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from guthi.testing import Link, SimulatedNode, World


@dataclass(frozen=True)
class Growth:
    """What was seen: seconds are virtual, messages are datagrams sent, a node and second."""

    whole_after_s: float
    starting_messages: float
    resting_messages: float


def grow(count: int, *, loss: float = 0.0, within_s: float, rest_s: float, seed: int = 1) -> Growth:
    """Start that many nodes from one address at the same moment, and let them rest when all know all."""
    world = World(seed, link=Link(loss=loss))

    async def scenario(world: World) -> Growth:
        await world.start("n0")
        others = [world.add(f"n{number}", join=["n0"]) for number in range(1, count)]
        for node in others:
            world.background(_started(node))
        whole_after_s = await world.until(lambda: len(world.running()) == count and world.is_whole(), within=within_s)
        starting = sum(world.network.sent_datagrams.values())
        await world.sleep(rest_s)
        assert world.is_whole()
        before = sum(world.network.sent_datagrams.values())
        await world.sleep(rest_s)
        resting = sum(world.network.sent_datagrams.values()) - before
        return Growth(whole_after_s, starting / count, resting / count / rest_s)

    return world.run(scenario)


async def _started(node: SimulatedNode) -> None:
    await node.start()


@pytest.mark.parametrize(("loss", "within_s"), [(0.0, 2.0), (0.25, 15.0)])
def test_a_hundred_nodes_from_one_address_soon_know_all(loss: float, within_s: float) -> None:
    growth = grow(100, loss=loss, within_s=within_s, rest_s=30.0)
    assert growth.whole_after_s < within_s
    assert growth.starting_messages < 500
    assert growth.resting_messages < 1.0


def thousand_nodes() -> Growth:
    """The large run, a minute of 1,000 nodes: python tests/kernel/test_scale.py (half a minute, 0.4 GiB)."""
    return grow(1000, within_s=10.0, rest_s=25.0)


if __name__ == "__main__":
    print(thousand_nodes())
