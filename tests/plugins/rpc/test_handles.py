"""A call that is under way can be awaited, watched and cancelled; the store shows where nodes differ."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import guthi
from guthi.api import NodeId
from guthi_rpc import Call, Rpc
from guthi_rpc.directory import Announcement, Directory
from guthi_rpc.functions import Description, Run
from guthi_rpc.listing import list_functions

if TYPE_CHECKING:
    from .conftest import Network


async def test_a_call_goes_on_while_its_caller_does_something_else(alice: Rpc, bob: Rpc) -> None:
    gate = asyncio.Event()

    async def work(number: int) -> int:
        await gate.wait()
        return number * 2

    bob.register(work)
    call, ended = alice.submit("work", 21), list[Call]()
    call.add_done_callback(ended.append)
    await asyncio.sleep(0.05)
    assert not call.done()
    assert "under way" in repr(call)
    with pytest.raises(asyncio.InvalidStateError):
        call.result()
    gate.set()
    assert await call == 42
    assert (call.done(), call.result(), ended) == (True, 42, [call])
    assert call.id[0] == alice._node.id


async def test_calls_have_ids_of_their_own(alice: Rpc, bob: Rpc) -> None:
    bob.register(abs)
    calls = [alice.submit("abs", -number) for number in range(10)]
    assert len({call.id for call in calls}) == 10
    assert await asyncio.gather(*calls) == list(range(10))


async def test_a_failure_is_raised_by_whoever_awaits(alice: Rpc, bob: Rpc) -> None:
    bob.register(lambda: 1 / 0, name="fail")
    call = alice.submit("fail")
    with pytest.raises(ZeroDivisionError):
        await call
    with pytest.raises(ZeroDivisionError):
        call.result()


async def test_cancelling_a_call_ends_it_at_its_node(network: Network, alice: Rpc, bob: Rpc) -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    bob.register(wait)
    call = alice.submit("wait")
    await network.until(lambda: bob._execution.running == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await network.until(lambda: bob._execution.running == 0)
    assert alice._dispatch.outstanding == 0


async def test_a_call_of_what_nobody_has(alice: Rpc) -> None:
    with pytest.raises(guthi.GuthiError, match="no node has a function 'nothing'"):
        await alice.submit("nothing")


def test_where_providers_differ_each_says_with_whom() -> None:
    directory, old = Directory(lambda: None), Description("pay", "(sum)", "Pay.", Run.THREAD)
    new = Description("pay", "(sum, currency)", "Pay.", Run.THREAD)
    for number, description in enumerate((old, new, old)):
        node = NodeId(bytes([number + 1]) * 16)
        directory.announced(node, Announcement(b"l" * 8, 1, 1, (description,)))
    most, other = list_functions(directory, lambda node: f"node{node[0]}")
    assert (most.signature, most.providers, most.conflicts) == ("(sum)", ("node1", "node3"), ("node2",))
    assert (other.signature, other.providers, other.conflicts) == ("(sum, currency)", ("node2",), ("node1", "node3"))
