"""It rings once, at the last moment that was set, on the loops that there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from guthi.timer import Timer


def _loops() -> list[Any]:
    try:
        import uvloop
    except ImportError:
        return [asyncio.new_event_loop]
    return [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.mark.parametrize("make_loop", _loops())
def test_it_rings_at_the_last_moment_that_was_set(make_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    rung: list[str] = []

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        first, second, never = (Timer(lambda name=name: rung.append(name)) for name in ("first", "second", "never"))
        first.set(clock() - 1.0)  # uvloop makes no timer of a moment that has passed
        first.set(clock() - 2.0)
        second.set(clock() + 60.0)
        second.set(clock() + 0.01)
        never.set(clock() + 0.01)
        never.set(None)
        await asyncio.sleep(0.05)
        first.set(clock())  # it can be used again
        await asyncio.sleep(0.02)

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(main())
    assert rung == ["first", "second", "first"]
