"""Decides who is on the roll: all peers that are there, and those that are silent or gone for less than the retention.

Who has been away for as long knows of no call that matters any more, and after a restart nobody need wait for it. How
long each is away is written again and again, so that a restart does not begin it anew.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from guthi import NodeId
from guthi_rpc.electors import Electors
from guthi_rpc.roll import Roll

__all__ = ["Attendance"]

AGAIN_S = 60.0  # so old is at most what the disk has


class Attendance:
    """Of one node; `others` gives the peers that are members, answering or not."""

    def __init__(self, roll: Roll, electors: Electors, others: Callable[[], list[NodeId]], retention_s: float) -> None:
        self._roll, self._electors, self._others = roll, electors, others
        self._retention_s, self._loop = retention_s, asyncio.get_running_loop()
        self._silent_since: dict[NodeId, float] = {}
        self._due: asyncio.TimerHandle | None = None
        for former, for_s in roll.former.items():
            electors.lost(former, b"", for_s)

    def changed(self, node: NodeId) -> None:
        """A member has come or gone."""
        self._silent_since.pop(node, None)
        self._write()

    def silent(self, node: NodeId) -> None:
        """A member does not answer."""
        self._silent_since.setdefault(node, self._loop.time())
        self._write()

    def close(self) -> None:
        """Write nothing more."""
        if self._due is not None:
            self._due.cancel()

    def _write(self) -> None:
        now = self._loop.time()
        left_s = {node: self._silent_since.get(node, math.inf) + self._retention_s - now for node in self._others()}
        left_s |= {node: for_s for node, _, for_s in self._electors.gone()}
        left_s = {node: for_s for node, for_s in left_s.items() if for_s > 0.0}
        self._roll.write(left_s)
        self.close()
        again_s = min(left_s.values(), default=math.inf)
        if again_s < math.inf:
            self._due = self._loop.call_later(min(again_s, AGAIN_S), self._write)
