"""What the web server shows of logs: the lines of all nodes, which are followed only while somebody looks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from guthi import Node
from guthi_logs.lines import Told
from guthi_logs.service import Logs
from guthi_web import View

__all__ = ["FILES", "FOLDER", "views"]

FILES = "/logs"
FOLDER = Path(__file__).parent / "page"

MOST_ROWS = 500
BEFORE = 100
LONGEST_SHOWN = 1000
PATIENCE_S = 30.0
FIRST_S = 0.3  # most nodes have answered by then; who has not is in the next reading


class Events:
    """The lines of all nodes, as rows; they are followed until nobody has read them for PATIENCE_S."""

    def __init__(self, node: Node, logs: Logs) -> None:
        self._node, self._logs = node, logs
        self._told: deque[Told] = deque(maxlen=MOST_ROWS)
        self._following: asyncio.Task[None] | None = None
        self._end: asyncio.TimerHandle | None = None

    async def read(self) -> list[dict[str, Any]]:
        """Oldest first, by the nodes' wall clocks."""
        if self._end is not None:
            self._end.cancel()
        if self._following is None or self._following.done():
            self._told.clear()
            self._following = self._node.start(self._follow(), "web events")
            await asyncio.sleep(FIRST_S)
        self._end = asyncio.get_running_loop().call_later(PATIENCE_S, self._following.cancel)
        return [_row(told) for told in sorted(self._told, key=lambda told: (told.line.at_s, told.node))]

    async def _follow(self) -> None:
        async with aclosing(self._logs.follow(last=BEFORE)) as lines:
            async for told in lines:
                self._told.append(told)


def views(node: Node, logs: Logs) -> Sequence[View]:
    """The lines of all nodes."""
    events = Events(node, logs)
    return [View("events", "Joins, failures and their reasons, and the logs of all nodes.", events.read)]


def _row(told: Told) -> dict[str, Any]:
    line = told.line
    return {
        "node": told.node,
        "number": line.number,
        "at_s": round(line.at_s, 3),
        "level": line.level_name,
        "source": line.source,
        "text": line.text if len(line.text) <= LONGEST_SHOWN else f"{line.text[:LONGEST_SHOWN]}…",
        "missed": told.missed,
    }
