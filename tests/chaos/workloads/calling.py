"""Calls with a key, some of them by several nodes at once; each run of the function is written down.

A call that failed is tried again with its key, soon enough that the nodes still remember it.
"""

from __future__ import annotations

import asyncio
import time

from tests.chaos.load import Load

from guthi_rpc import RPC

__all__ = ["LIMIT_S", "WORK", "run"]

WORK = "rpc"
PAUSE_S = 0.25
LIMIT_S = 6.0
TRIES = 3
SHARED = 0.3  # how many calls have a key that other nodes call as well
SHARED_S = 0.5  # so long a shared key is in use
RETRY_S = 0.5


async def run(load: Load) -> None:
    """Call all the time."""
    rpc, journal = load.node.require(RPC), load.journal
    count = 0

    def effect(key: str) -> list[object]:
        nonlocal count
        count += 1
        journal.write("effect", WORK, key=key)
        return [journal.life, count]

    async def one() -> None:
        nonlocal count
        count += 1
        is_shared = load.random.random() < SHARED
        key = f"shared {int(time.monotonic() / SHARED_S)}" if is_shared else f"{journal.life} {count}"
        for _ in range(TRIES):
            call = rpc.options(key=key, timeout=LIMIT_S).call("chaos.effect", key)
            is_ok, _ = await load.measured(WORK, key, LIMIT_S, call)
            if is_ok:
                return
            await asyncio.sleep(RETRY_S)

    rpc.register(effect, name="chaos.effect", run="inline")
    await load.repeat(PAUSE_S, one)
