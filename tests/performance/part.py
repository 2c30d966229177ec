"""What the processes of a measurement have in common: they take an adapter, answer with one line, end with their input.

python -m performance.server ADAPTER JOIN...
python -m performance.client ADAPTER '{"seconds": …, "bulk_bytes": …, "pids": […], "addresses": […]}'
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, cast

from performance.shape import Adapter, Missing

__all__ = ["adapter_of", "answer", "end_with_input", "run"]


def adapter_of(peer: str) -> Adapter:
    """The adapter "family:name": `ADAPTERS[name]` in performance/peers/family.py. Raises Missing for its library."""
    family, _, name = peer.partition(":")
    try:
        module = importlib.import_module(f"performance.peers.{family}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(("performance", "guthi")):
            raise
        raise Missing(f"no module {error.name}") from error
    return cast(Adapter, module.ADAPTERS[name])


def answer(value: object) -> None:
    """Tell the process that started this one."""
    print(json.dumps({"answer": value}), flush=True)


def end_with_input(close: Callable[[], None]) -> None:
    """End when standard input does, whatever the main thread is blocked in."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        close()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def run(work: Callable[[Adapter], Coroutine[Any, Any, None]]) -> None:
    """Load the adapter that the first argument names and run `work` with it, on uvloop unless the adapter says not."""
    try:
        adapter = adapter_of(sys.argv[1])
        with asyncio.Runner(loop_factory=_loop_factory(adapter)) as runner:
            runner.run(work(adapter))
    except Missing as error:
        print(json.dumps({"missing": str(error)}), flush=True)


def _loop_factory(adapter: Adapter) -> Callable[[], asyncio.AbstractEventLoop]:
    if getattr(adapter, "on_stdlib_loop", False):
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop
