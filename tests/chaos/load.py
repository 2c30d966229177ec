"""How the work of a node is begun, paced, measured and ended; the file `load.json` beside all hosts says when.

The harness has no network into the namespaces. It says what it wants by that file, and learns what came of it from the
journals: so no fault of the network, and no death, comes between the two.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.chaos.journal import Journal

import guthi

__all__ = ["FILE", "Load", "Orders"]

FILE = "load.json"
LOOK_S = 0.1
HANGS = 3.0  # times its limit


class Hung(Exception):
    """A call had not ended long after it was due; the name is what the journal has."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What all nodes are to do. `epoch` is when the load began; time is cut into `slots`, after which it begins anew.

    Each slot has variables of its own, for a short history is checked sooner. `pace` multiplies the pauses between two
    pieces of work. With `grows` new files are made all the time, without they are overwritten.
    """

    is_on: bool
    epoch: float
    slots: int
    pace: float = 1.0
    grows: bool = True

    def save(self, folder: Path) -> None:
        """For all nodes; they see the whole or nothing."""
        new = folder / (FILE + ".new")
        new.write_text(json.dumps(asdict(self)))
        new.rename(folder / FILE)


class Load:
    """The work of one life of one node."""

    def __init__(self, node: guthi.Node, journal: Journal, folder: Path) -> None:
        self.node, self.journal = node, journal
        self.random = Random(f"{node.name} {journal.life}")
        self.orders = Orders(False, 0.0, 1)
        self.folder, self._file = folder, folder / FILE
        self._begun = asyncio.Event()
        self.under_way = 0

    async def follow_orders(self) -> None:
        """Look again and again what the harness wants; tell when the work is done."""
        while True:
            with suppress(OSError):  # there are none yet, or there is no descriptor to open them: the last ones hold
                self.orders = Orders(**json.loads(self._file.read_text()))
            was_on = self._begun.is_set()
            (self._begun.set if self.orders.is_on else self._begun.clear)()
            await asyncio.sleep(LOOK_S)
            if was_on and not self.orders.is_on:
                while self.under_way:
                    await asyncio.sleep(LOOK_S)
                self.journal.write("idle")

    def slot(self, length_s: float) -> int:
        """The slot of time in which this moment is."""
        return int((time.monotonic() - self.orders.epoch) / length_s) % self.orders.slots

    async def repeat(self, pause_s: float, work: Callable[[], Awaitable[object]]) -> None:
        """Do a piece of work about each `pause_s`, while there is load: an open loop, so that work missed is missed."""
        await asyncio.sleep(self.random.uniform(0.0, pause_s))
        while True:
            await self._begun.wait()
            started_at = time.monotonic()
            self.under_way += 1
            try:
                await work()
            finally:
                self.under_way -= 1
            wanted_s = self.orders.pace * self.random.uniform(0.7, 1.3) * pause_s
            await asyncio.sleep(max(wanted_s - (time.monotonic() - started_at), 0.0))

    async def measured(self, work: str, input: Any, limit_s: float, call: Awaitable[Any]) -> tuple[bool, Any]:
        """Whether the call returned a result, and it; the journal has both, and what it raised.

        One that hangs is given up long after it is due, so that the checker of deadlines finds it.
        """
        number = self.journal.called(work, input, limit_s)
        given_up = asyncio.timeout(HANGS * limit_s)
        try:
            async with given_up:
                output = await call
        except guthi.GuthiError as error:
            self.journal.failed(work, number, error, typed=True)
        except Exception as error:
            hangs = given_up.expired()
            self.journal.failed(work, number, Hung() if hangs else error, typed=hangs)
        else:
            self.journal.returned(work, number, output)
            return True, output
        return False, None
