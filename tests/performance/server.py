"""A process that serves for one start of one peer: it answers with its address and its process ids."""

from __future__ import annotations

import os
import sys

from performance.part import answer, end_with_input, run
from performance.shape import Adapter


async def serve(adapter: Adapter) -> None:
    """Serve until standard input ends."""
    end_with_input(getattr(adapter, "close", lambda: None))

    def ready(address: object, *further_pids: int) -> None:
        answer({"address": str(address), "pids": [os.getpid(), *further_pids]})

    await adapter.serve(sys.argv[2:], ready)


if __name__ == "__main__":
    run(serve)
