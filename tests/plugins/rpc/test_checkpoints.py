"""Checkpoints of functions in real threads, which cannot be ended."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from guthi_rpc import Rpc, current_call

if TYPE_CHECKING:
    from .conftest import Network


async def test_a_thread_that_nobody_waits_for_any_more_publishes_nothing(
    network: Network, alice: Rpc, bob: Rpc
) -> None:
    go, is_done = threading.Event(), threading.Event()

    def work() -> None:
        current_call().checkpoint("before")
        go.wait(60)
        current_call().checkpoint("after")
        is_done.set()

    bob.register(work)
    await alice.available("work", timeout=60)
    call = alice.submit("work", on="bob")
    await network.until(lambda: alice.state(call) == "before")
    call.cancel()
    await network.until(lambda: bob._execution.running == 0)
    go.set()
    await network.until(is_done.is_set)
    for _ in range(20):
        await asyncio.sleep(0.01)
    assert not bob._checkpoints._publishing
    assert alice.state(call) is None
