"""The app of each node under chaos: it writes down that it lives, and works as the orders say."""

from __future__ import annotations

import asyncio
import time
from importlib.metadata import version

from tests.chaos.journal import STATUS_S, Journal
from tests.chaos.load import Load
from tests.chaos.workloads import broadcasting, calling, eventual, filing, locking, variables

import guthi

__all__ = ["main"]

WORKLOADS = (calling, variables, eventual, locking, filing, broadcasting)


async def main(node: guthi.Node) -> None:
    """Runs until the node is asked to end."""
    source = node.config.source
    assert source is not None
    load = Load(node, Journal(source.parent / "journal.jsonl", node.name), source.parent.parent)
    load.journal.write("ready", version=version("guthi"), where=guthi.__file__)
    async with asyncio.TaskGroup() as group:
        for each in WORKLOADS:
            group.create_task(each.run(load))
        group.create_task(load.follow_orders())
        while True:
            alive = sorted(each.name for each in node.members if each.state is guthi.MemberState.ALIVE)
            load.journal.write("status", tasks=len(asyncio.all_tasks()), alive=alive, cpu_s=time.process_time())
            await asyncio.sleep(STATUS_S)
