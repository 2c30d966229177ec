"""Files in an export that all nodes have replicas of: new ones, and one that each node overwrites again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from tests.chaos.load import Load

from guthi_gutfs import GUTFS

__all__ = ["FOLDER", "WORK", "run"]

WORK = "gutfs"
FOLDER = "/team"
PAUSE_S = 1.5
READ_PAUSE_S = 1.0
LIMIT_S = 45.0  # a transfer tries for 30 s
FILLING = "x" * 500


async def run(load: Load) -> None:
    """Write own files, read those of others."""
    fs, name = load.node.require(GUTFS), load.node.name
    count = 0

    async def write() -> None:
        nonlocal count
        count += 1
        content = f"{load.journal.life} {count} {FILLING}"
        is_new = load.orders.grows and load.random.random() < 0.5
        file = f"new-{name}-{load.journal.life}-{count}" if is_new else f"own-{name}"
        await measured(["write", file, content], written(f"{FOLDER}/{file}", content))

    async def read() -> None:
        other = load.random.choice(["alice", "bob", "carol", "dave", "erin"])
        await measured(["read", f"own-{other}"], size_of(f"{FOLDER}/own-{other}"))

    async def size_of(path: str) -> int:
        return len(await fs.read(path)) if await fs.exists(path) else -1

    async def written(path: str, content: str) -> None:
        await fs.write(path, content.encode())

    async def measured(input: list[str], call: Coroutine[Any, Any, object]) -> None:
        await load.measured(WORK, input, LIMIT_S, call)

    await fs.synced()
    async with asyncio.TaskGroup() as group:
        group.create_task(load.repeat(PAUSE_S, write))
        group.create_task(load.repeat(READ_PAUSE_S, read))
