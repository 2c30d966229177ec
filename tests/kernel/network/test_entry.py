"""What a node is told that nobody let in."""

from __future__ import annotations

import asyncio

import pytest
from tests.kernel.membership.test_sync import member

from guthi.api import Address
from guthi.errors import JoinFailed
from guthi.membership.effects import JoinRefused
from guthi.network.entry import Entry

HERE, THERE = Address("10.0.0.1", 1), Address("10.0.0.2", 2)


async def test_it_waits_until_it_is_let_in() -> None:
    joined = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, joined.set)
    await Entry(joined).wait([HERE], [HERE], 5.0)


async def test_silence_is_told_with_what_may_be_wrong() -> None:
    with pytest.raises(JoinFailed, match=r"no answer from n0:6969 within 0.01 s; check that a node runs there"):
        await Entry(asyncio.Event()).wait([Address("n0", 6969)], [HERE], 0.01)


async def test_when_all_have_refused_there_is_nothing_to_wait_for() -> None:
    entry = Entry(asyncio.Event())
    waiting = asyncio.create_task(entry.wait([HERE, THERE], [HERE, THERE], 3600.0))
    await asyncio.sleep(0)
    for address in (HERE, THERE, Address("10.0.0.3", 3)):
        entry.refused(JoinRefused(member(1), address, "too old"))
    with pytest.raises(JoinFailed) as failure:
        await asyncio.wait_for(waiting, 5.0)
    assert str(failure.value) == (
        "node1 at 10.0.0.1:1 refused this node: too old; node1 at 10.0.0.2:2 refused this node: too old"
    )


async def test_who_did_not_answer_is_told_beside_who_refused() -> None:
    entry = Entry(asyncio.Event())
    asyncio.get_running_loop().call_soon(entry.refused, JoinRefused(member(1), HERE, "too old"))
    with pytest.raises(JoinFailed, match=r"10.0.0.1:1 refused this node: too old; no answer from 10.0.0.2:2 within"):
        await entry.wait([HERE, THERE], [HERE, THERE], 0.05)
