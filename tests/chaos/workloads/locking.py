"""Locks that all nodes want. A holder writes down, again and again, until which moment its lock was valid."""

from __future__ import annotations

import asyncio
import time

from tests.chaos.load import Load

from guthi_mutex import MUTEX, Grant, LockLost

__all__ = ["WORK", "run"]

WORK = "mutex"
PAUSE_S = 0.8
LIMIT_S = 6.0
LOCKS = ("red", "green")
LOOKS = 4
LOOK_S = 0.01


async def run(load: Load) -> None:
    """Acquire, hold for a moment, release."""
    mutex = load.node.require(MUTEX)

    async def acquired(lock: str, grants: list[Grant]) -> int:
        grants.append(await mutex.acquire(lock, timeout=LIMIT_S))
        return grants[0].fence

    async def one() -> None:
        lock, grants = load.random.choice(LOCKS), list[Grant]()
        await load.measured(WORK, lock, LIMIT_S, acquired(lock, grants))
        for grant in grants:
            await hold(grant)

    async def hold(grant: Grant) -> None:
        told = {"lock": grant.lock, "fence": grant.fence}
        for _ in range(LOOKS):
            looked_at = time.monotonic()
            if not grant.is_valid:
                break
            load.journal.write("valid", WORK, looked_at, **told)
            await asyncio.sleep(LOOK_S)
        try:
            await mutex.release(grant)
        except LockLost:
            load.journal.write("lost", WORK, **told)

    await load.repeat(PAUSE_S, one)
