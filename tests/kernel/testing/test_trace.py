"""One seed, one trace: in two runs, in other processes, and whatever PYTHONHASHSEED is; another seed, another trace."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.kernel.testing.sweep import NAMES, ROUGH, Ledger, sweep

from guthi.testing import Trace, World

ROOT = Path(__file__).parents[3]


def story(seed: int) -> tuple[str, int, list[tuple[float, str]], str, Ledger]:
    """All that a run with faults leaves behind."""
    world = World(seed)
    ledger = world.run(sweep)
    return world.trace.digest, world.trace.datagrams, list(world.trace.events), str(world.schedule), ledger


def swarm_digest(seed: int) -> str:
    """The same for every kind of fault, with workers, tasks in sets and the generator of the module `random`."""

    async def scenario(world: World) -> None:
        for name in NAMES:
            await world.start(name, join=["alice"] if name != "alice" else [])
        await world.swarm(5.0, spare=["alice"], drift=True)
        await world.sleep(5)

    world = World(seed, link=ROUGH)
    world.run(scenario)
    return world.trace.digest


def test_two_runs_of_a_seed_are_equal():
    assert story(3) == story(3)
    assert swarm_digest(3) == swarm_digest(3)


def test_seeds_differ():
    assert len({story(seed)[0] for seed in range(10)}) == 10


@pytest.mark.parametrize("hash_seed", ["0", "1", "random"])
def test_it_is_equal_in_another_process(hash_seed):
    code = "from tests.kernel.testing.test_trace import story, swarm_digest; print(story(3)[0], swarm_digest(4))"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    ballast = "x = [object() for _ in range(12345)]; " if hash_seed == "random" else ""  # so that addresses differ
    done = subprocess.run(
        [sys.executable, "-c", ballast + code], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [story(3)[0], swarm_digest(4)]


def test_every_byte_and_moment_counts():
    def digest(*datagrams: tuple[float, str, str, bytes]) -> str:
        trace = Trace()
        for datagram in datagrams:
            trace.datagram(*datagram)
        return trace.digest

    plain = digest((1.0, "a", "b", b"xy"), (2.0, "b", "a", b"z"))
    others = [
        digest((1.5, "a", "b", b"xy"), (2.0, "b", "a", b"z")),
        digest((1.0, "a", "b", b"xx"), (2.0, "b", "a", b"z")),
        digest((1.0, "b", "a", b"xy"), (2.0, "b", "a", b"z")),
        digest((1.0, "a", "b", b"x"), (2.0, "b", "a", b"yz")),
        digest((2.0, "b", "a", b"z"), (1.0, "a", "b", b"xy")),
        digest((1.0, "a", "b", b"xy")),
    ]
    assert plain not in others and len(set(others)) == len(others)


def test_events_count_and_only_the_newest_are_kept():
    trace, other = Trace(keep_events=3), Trace()
    for number in range(10):
        trace.event(float(number), f"event {number}")
        other.event(float(number), f"happening {number}")
    assert [what for _, what in trace.events] == ["event 7", "event 8", "event 9"]
    assert trace.digest != other.digest
