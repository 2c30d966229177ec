"""A process that measures one start of one peer: it answers with what it measured, by name."""

from __future__ import annotations

import json
import sys

from performance.part import answer, run
from performance.shape import Adapter
from performance.work import Trial, measure


async def work(adapter: Adapter) -> None:
    """Connect, measure all that the client offers, disconnect."""
    told = json.loads(sys.argv[2])
    async with adapter.client(told["addresses"]) as client:
        pids = (*told["pids"], *getattr(client, "server_pids", ()))
        answer(await measure(client, Trial(told["seconds"], told["bulk_bytes"], pids)))


if __name__ == "__main__":
    run(work)
