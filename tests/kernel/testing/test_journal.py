"""What fails a world: errors that nobody handled, wherever they happen; and what does not."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

import pytest

from guthi import Node, Plugin, hookimpl
from guthi.membership.members import Member
from guthi.testing import Unhandled, World


async def _fail() -> None:
    raise ValueError("a slip")


async def task_of_the_scenario(world: World) -> None:
    world.background(_fail(), "slipping")
    await world.sleep(1)


async def task_that_nobody_holds(world: World) -> None:
    alice = await world.start("alice")

    async def errand(_: Node) -> None:
        asyncio.get_running_loop().create_task(_fail(), name="slipping")

    await alice.run(errand)
    await world.sleep(1)


async def task_of_a_node(world: World) -> None:
    alice = await world.start("alice")
    alice.node.start(_fail(), "slipping")
    await world.sleep(1)


async def task_that_fails_in_the_last_moment(world: World) -> None:
    world.background(_fail(), "slipping")
    await asyncio.sleep(0)


async def callback(world: World) -> None:
    def slip() -> None:
        raise ValueError("a slip")

    world.loop.call_later(1, slip)
    await world.sleep(2)


class SlippingPlugin(Plugin):
    """Fails when it meets somebody."""

    name = "slipping"

    async def run(self, stack: AsyncExitStack) -> None:
        pass

    @hookimpl
    def member_joined(self, member: Member) -> None:
        raise ValueError("a slip")


async def hook(world: World) -> None:
    await world.start("alice", plugins=[SlippingPlugin])
    await world.start("bob", join=["alice"])


async def handler_of_a_cast(world: World) -> None:
    alice = await world.start("alice")
    bob = await world.start("bob", join=["alice"])
    bob.node.handle("slip", lambda incoming: int("a slip"))
    await alice.run(lambda node: node.cast("bob", "slip", None))
    await world.sleep(1)


ERRORS = [
    task_of_the_scenario,
    task_that_nobody_holds,
    task_of_a_node,
    task_that_fails_in_the_last_moment,
    callback,
    hook,
    handler_of_a_cast,
]


@pytest.mark.parametrize("scenario", ERRORS)
def test_an_error_that_nobody_handles_fails_the_world(scenario):
    with pytest.raises(Unhandled, match="a slip") as caught:
        World().run(scenario)
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("scenario", ERRORS)
def test_unless_it_was_expected(scenario):
    async def expecting(world: World) -> None:
        world.expect("a slip")
        await scenario(world)

    World().run(expecting)


def test_an_error_that_somebody_looks_at_is_handled():
    async def scenario(world: World) -> None:
        task = world.background(_fail())
        await world.sleep(1)
        with pytest.raises(ValueError, match="a slip"):
            await task
        assert isinstance((await asyncio.gather(_fail(), return_exceptions=True))[0], ValueError)

    World().run(scenario)


def test_the_scenario_s_own_error_is_raised_and_the_others_are_noted():
    async def scenario(world: World) -> None:
        await task_of_the_scenario(world)
        raise KeyError("its own")

    with pytest.raises(KeyError) as caught:
        World().run(scenario)
    assert any("a slip" in note for note in caught.value.__notes__)


def test_lines_have_the_virtual_time_and_the_machine():
    world = World()

    async def scenario(world: World) -> None:
        alice = await world.start("alice")

        async def errand(_: Node) -> None:
            await asyncio.sleep(1.5)
            logging.getLogger("an.app").error("not Guthi's, so no failure")

        await alice.run(errand)

    world.run(scenario)
    assert [line.strip() for line in world.journal.lines] == [
        "1.5000 s  alice ERROR an.app: not Guthi's, so no failure"
    ]
