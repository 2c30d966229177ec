"""Reads and writes of a few eventual variables on all nodes; without load, each says again and again what it has."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, NamedTuple, Self

from tests.chaos.load import Load

import guthi
from guthi_dvar import DVAR, Dvar

__all__ = ["FIRST", "SETTLED", "WORK", "Seen", "run"]

WORK = "eventual"
SETTLED = "settled"
NAMES = [f"shared-{number}" for number in range(6)]
FIRST = ""
PAUSE_S = 0.5
LIMIT_S = 20.0  # a fetch asks the source for 2 s, and then the replicas
SAY_S = 0.5


class Seen(NamedTuple):
    """A version as one node sees it; of two the greater is the newer."""

    number: int
    writer: str
    value: str

    @classmethod
    async def of(cls, dvar: Dvar, name: str) -> Self:
        """The version that this node has."""
        reading = await dvar.read(name)
        return cls(reading.version, reading.writer.hex(), reading.value)


async def run(load: Load) -> None:
    """Make the variables, on the first node, and then use them."""
    dvar = load.node.require(DVAR)
    if load.node.name == "alice":
        await _prepare(load, dvar)
    count = 0

    async def one() -> None:
        nonlocal count
        name = load.random.choice(NAMES)
        if load.random.random() < 0.6:
            await load.measured(WORK, ["read", name], LIMIT_S, Seen.of(dvar, name))
            return
        count += 1
        value = f"{load.journal.life} {count}"
        await load.measured(WORK, ["write", name, value], LIMIT_S, written(name, value))

    async def written(name: str, value: str) -> Seen:
        await dvar.set(name, value)
        return await Seen.of(dvar, name)

    async with asyncio.TaskGroup() as group:
        group.create_task(load.repeat(PAUSE_S, one))
        group.create_task(_say(load, dvar))


async def _prepare(load: Load, dvar: Dvar) -> None:
    while load.orders.epoch == 0.0:
        await asyncio.sleep(0.05)
    if not (done := load.folder / "shared").exists():
        for name in NAMES:
            await dvar.create(name, FIRST)
        done.touch()


async def _say(load: Load, dvar: Dvar) -> None:
    while True:
        await asyncio.sleep(SAY_S)
        if not load.orders.is_on and load.orders.epoch:
            seen: dict[str, Any] = {}
            with suppress(guthi.GuthiError):  # then it is not settled
                for name in NAMES:
                    seen[name] = await Seen.of(dvar, name)
                load.journal.write(SETTLED, WORK, seen=seen)
