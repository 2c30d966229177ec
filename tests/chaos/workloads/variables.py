"""Reads, writes and comparisons of coherent variables on all nodes; each slot of time has variables of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from tests.chaos.load import Load

from guthi_dvar import DVAR

__all__ = ["FIRST", "SLOT_S", "WORK", "run"]

WORK = "dvar"
CLIENTS = 2
PAUSE_S = 0.4
LIMIT_S = 30.0  # Unavailable comes after five leases; this is when something hangs
SLOT_S = 10.0
EACH = 3  # variables of a slot
FIRST = ""


async def run(load: Load) -> None:
    """Make all variables, on the first node, and then use those of the slot."""
    if load.node.name == "alice":
        await _prepare(load)
    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(load.repeat(PAUSE_S, _Client(load).one))


async def _prepare(load: Load) -> None:
    """All variables at once: to make one while nodes are cut off is another story."""
    dvar, done = load.node.require(DVAR), load.folder / "prepared"
    while load.orders.epoch == 0.0:
        await asyncio.sleep(0.05)
    if not done.exists():
        for slot in range(load.orders.slots):
            for number in range(EACH):
                await dvar.create(f"{slot}-{number}", FIRST, coherence="coherent")
        done.touch()
        load.journal.write("prepared")


class _Client:
    def __init__(self, load: Load) -> None:
        self._load, self._dvar = load, load.node.require(DVAR)
        self._seen: dict[str, object] = {}
        self._written = 0

    async def one(self) -> None:
        load, dvar = self._load, self._dvar
        name = f"{load.slot(SLOT_S)}-{load.random.randrange(EACH)}"
        kind = load.random.choice(["read", "read", "write", "compare"])
        self._written += 1
        new = f"{load.journal.life} {id(self)} {self._written}"
        expected = self._seen.get(name, FIRST)
        if kind == "read":
            is_ok, value = await self._measured(["read", name], dvar.get(name))
            if is_ok:
                self._seen = {name: value}
        elif kind == "write":
            await self._measured(["write", name, new], dvar.set(name, new))
        else:
            await self._measured(["compare", name, expected, new], dvar.compare_and_set(name, expected, new))

    async def _measured(self, input: list[object], call: Coroutine[Any, Any, object]) -> tuple[bool, object]:
        return await self._load.measured(WORK, input, LIMIT_S, call)
