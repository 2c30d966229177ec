"""In simulated worlds: what a node takes over while it asks itself, or has no room for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from guthi.testing import World, simulated
from guthi_rpc.outcomes import Stage

from .test_handover import parts_of
from .working import QUICK, start_all


@pytest.mark.parametrize("stage", [Stage.ASKING, Stage.BEGUN])
@simulated
async def test_what_is_told_while_it_asks_itself_is_noted_when_that_has_ended(world: World, stage: Stage) -> None:
    """Its own attempt may end undecided; yet it would vouch, for it has heard that the other began."""
    await start_all(world, ["alice", "bob", "carol"], takes_s=0.0)
    alice, bob, carol = (parts_of(world, name) for name in ("alice", "bob", "carol"))
    alice._outcomes.note(("pay", "k"), bob._life(), stage)
    carol._outcomes.note(("pay", "k"), carol._life(), Stage.ASKING)
    taking = asyncio.ensure_future(carol._takeover.take_from(world.nodes["alice"].node.id))
    await asyncio.sleep(0.5)
    assert not taking.done() and carol._outcomes.get(("pay", "k")).home == carol._life()  # type: ignore[union-attr]
    carol._outcomes.drop(("pay", "k"))
    await taking
    entry = carol._outcomes.get(("pay", "k"))
    assert entry is not None and entry.home == bob._life()


@simulated
async def test_a_newcomer_that_has_no_room_asks_ever_less_often(world: World) -> None:
    await start_all(world, ["alice"], takes_s=0.0)
    alice = parts_of(world, "alice")
    for number in range(100):
        alice._outcomes.note(("pay", f"k{number}"), alice._life(), Stage.DONE)
    asked = 0
    later_than = alice._outcomes.later_than

    def count(number: int) -> Any:
        nonlocal asked
        asked += 1
        return later_than(number)

    alice._outcomes.later_than = count  # type: ignore[method-assign]
    tables: dict[str, Any] = {"rpc": {"max_keys": 50}, **QUICK}
    await world.start("bob", plugins=["rpc"], join=["alice"], **tables)
    await asyncio.sleep(10)
    assert 2 <= asked < 12
