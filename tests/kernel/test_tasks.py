"""Background tasks end with their owner, also those that take no notice of being cancelled the first time."""

from __future__ import annotations

import asyncio
import logging

import pytest

from guthi.tasks import PATIENCE_S, TaskSet
from guthi.testing import World


async def swallows(times: int) -> None:
    for _ in range(times):
        try:
            await asyncio.sleep(1000.0)
        except asyncio.CancelledError:
            continue
    await asyncio.sleep(1000.0)


@pytest.mark.parametrize("times", [0, 1, 3])
def test_a_task_that_swallows_its_cancellation_is_cancelled_again(times: int, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(world: World) -> float:
        world.expect("was cancelled 5 s ago and has not ended")
        tasks = TaskSet()
        tasks.start(swallows(times), name="swallower")
        await world.sleep(1.0)
        started_at = world.now
        await tasks.close()
        assert not len(tasks)
        return world.now - started_at

    with caplog.at_level(logging.WARNING, "guthi.tasks"):
        assert World(1).run(scenario) == pytest.approx(times * PATIENCE_S, abs=0.1)
    assert caplog.text.count("swallower") == times
