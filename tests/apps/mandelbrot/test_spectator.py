"""Those who compute stay until who watches has the whole picture, but not for ever."""

from __future__ import annotations

import asyncio

import pytest

from guthi.testing import World, simulated
from guthi_mandelbrot.spectator import unwatched

CLIENT = {"role": "client"}


@pytest.mark.parametrize("leaves", [True, False])
@simulated
async def test_the_demo_waits_for_spectators(world: World, leaves: bool) -> None:
    await world.start("alice")
    demo = await world.start("demo", join=["alice"], node=CLIENT)
    await demo.run(unwatched)
    assert world.now < 1
    spectator = await world.start("spectator", join=["alice"], node=CLIENT)
    await world.until(lambda: len(demo.node.members) == 2, within=10)
    started_at, waiting = world.now, asyncio.ensure_future(demo.run(unwatched))
    await asyncio.sleep(2)
    assert not waiting.done()
    if leaves:
        await spectator.stop()
    await waiting
    assert world.now - started_at == pytest.approx(2 if leaves else 10, abs=0.5)
