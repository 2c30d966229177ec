"""Who acts in a view, and who is told of another one: `Standing` on its own, and a member that comes back."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from guthi import NodeId
from guthi.testing import World, simulated
from guthi_dvar import Unavailable
from guthi_dvar.coherent.standing import Moved, Standing
from guthi_mutex import View, ViewId, Views

ME = NodeId(bytes(16))


class Somewhere:
    """As much of a node as is needed."""

    name = "alice"

    def start(self, work: Any, name: str) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work, name=name)


def a_view(epoch: int) -> View:
    return View(ViewId(epoch, ME), ())


def standing(views: Views) -> Standing:
    return Standing(cast(Any, Somewhere()), views)


@simulated
async def test_a_view_that_was_there_before_is_no_news(world: World) -> None:
    views, moves = Views(lambda _: None, 1.0), list[str]()
    views.update(a_view(1), -1.0, 0.0)
    mine = standing(views)
    mine.moves.append(lambda: moves.append("moved"))
    views.update(a_view(1), 5.0, world.now)
    assert not moves and mine.is_certain(ViewId(1, ME))
    views.update(a_view(2), 5.0, world.now)
    assert moves == ["moved"] and not mine.is_in(ViewId(1, ME))


@simulated
async def test_what_belongs_to_a_view_ends_with_it(world: World) -> None:
    views = Views(lambda _: None, 1.0)
    views.update(a_view(1), 100.0, world.now)
    mine = standing(views)

    async def work() -> None:
        async with mine.during(ViewId(1, ME)):
            await asyncio.get_running_loop().create_future()

    working = asyncio.ensure_future(work())
    await world.sleep(1.0)
    views.update(a_view(2), 100.0, world.now)
    views.update(a_view(3), 100.0, world.now)
    with pytest.raises(Moved):
        await working
    with pytest.raises(Moved):
        await work()
    with pytest.raises(Moved):
        await mine.stays_certain(ViewId(2, ME), world.now + 1)


@simulated
async def test_patience_ends(world: World) -> None:
    asked: list[bool] = []
    views = Views(asked.append, 1.0)
    mine = standing(views)
    with pytest.raises(Unavailable, match="alice does not reach a majority"):
        await mine.member(world.now + 3.5)
    assert world.now == 3.5
    waiting = asyncio.ensure_future(mine.certain(world.now + 3.0))
    await world.sleep(1.0)
    views.update(a_view(1), world.now, world.now)
    await world.sleep(1.0)
    assert not waiting.done()
    views.update(a_view(1), world.now + 1.0, world.now)
    assert (await waiting).id == ViewId(1, ME)
    await world.sleep(3.0)
    assert asked == [True, False]
