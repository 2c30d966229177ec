"""Sends a million mutated datagrams to whole nodes: `make fuzz`, or `make fuzz COUNT=20000 SEED=7`.

Nine tenths come from a stranger, as mutations of recorded traffic: nothing may be raised, answered or remembered. One
tenth is sealed by a member: nothing may be raised, and the other members must be served as before. Prints a line for
each part; ends with an error, which names the seed, if something was not so.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser

from tests.kernel.fuzzing import Traffic, attack, conversation, footprint, growth, talk
from tests.kernel.test_fuzz import STRANGER, mutations, nonsense

from guthi.testing import World

PART = 50_000
STRANGERS_SHARE = 0.9


def from_a_stranger(seed: int, count: int) -> None:
    async def scenario(world: World) -> None:
        traffic = Traffic(world)
        alice, _, _ = await conversation(world)
        bad = mutations(traffic, seed)
        await attack(world, "alice", bad, 100, STRANGER)
        before = footprint(alice)
        await attack(world, "alice", bad, count, STRANGER)
        await world.sleep(1.0)
        grown = growth(before, footprint(alice))
        assert not grown, f"seed {seed}: {grown}"
        assert not any(each.to == STRANGER for each in traffic.recorded), f"seed {seed}: the stranger was answered"
        await talk(world)

    World(seed).run(scenario)


def from_a_member(seed: int, count: int) -> None:
    async def scenario(world: World) -> None:
        world.expect("the handler of")
        alice, bob, _ = await conversation(world)
        mallory = (await world.start("mallory", join=["alice"])).node
        await nonsense(world, mallory, alice, seed, count)
        assert await bob.request(alice.id, "echo", 1, timeout_s=5.0) == 1, f"seed {seed}"

    World(seed).run(scenario)


def main() -> int:
    """Returns 0; whatever goes wrong is raised."""
    parser = ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    outside = int(options.count * STRANGERS_SHARE)
    for who, total, run in (
        ("a stranger", outside, from_a_stranger),
        ("a member", options.count - outside, from_a_member),
    ):
        started_at = time.monotonic()
        for number, begin in enumerate(range(0, total, PART)):
            run(options.seed + number, min(PART, total - begin))
        print(f"{total} mutated datagrams from {who}: {time.monotonic() - started_at:.0f} s, nothing came of them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
