"""Broadcasts of all nodes; each node writes down what it was told."""

from __future__ import annotations

from tests.chaos.load import Load

import guthi

__all__ = ["WORK", "run"]

WORK = "broadcast"
TOPIC = "chaos.news"
PAUSE_S = 1.0
LIMIT_S = 10.0


async def run(load: Load) -> None:
    """Broadcast numbered news."""
    node, journal = load.node, load.journal
    count = 0

    def told(incoming: guthi.Incoming) -> None:
        life, number = incoming.value
        journal.write("told", WORK, life=life, number=number)

    async def one() -> None:
        nonlocal count
        count += 1
        await load.measured(WORK, count, LIMIT_S, node.broadcast(TOPIC, [journal.life, count]))

    node.handle_broadcast(TOPIC, told)
    await load.repeat(PAUSE_S, one)
