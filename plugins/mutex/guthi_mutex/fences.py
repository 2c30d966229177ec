"""What a resource does with a fence: it refuses a write under a grant that is older than one it has seen.

A holder may be paused, lose its lock, and write when it wakes, before it can know. No lock service can prevent that;
the resource can, because fences only grow (Kleppmann, "How to do distributed locking", 2016; Gray and Cheriton 1989).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from guthi.errors import UsageError
from guthi_mutex.errors import StaleFence

__all__ = ["Fence", "FenceGate"]


@dataclass(frozen=True, slots=True)
class Fence:
    """Which grant of which lock: `number` is greater than in every earlier grant of that lock. It may be sent."""

    lock: str
    number: int


class FenceGate:
    """Remembers the newest fence of each lock. One gate guards one resource, wherever that is written.

    It keeps `locks` locks; for one more the lock that was seen longest ago is forgotten.
    """

    def __init__(self, locks: int = 65_536) -> None:
        if locks < 1:
            raise UsageError(f"a gate keeps at least one lock, not {locks}")
        self._limit = locks
        self._newest: OrderedDict[str, int] = OrderedDict()

    def admit(self, fence: Fence) -> None:
        """Let a write under this grant through; raises StaleFence when a newer grant has been here."""
        newest = self._newest.get(fence.lock, fence.number)
        if fence.number < newest:
            raise StaleFence(
                f"the lock {fence.lock!r} was granted anew: fence {newest} was seen, this is {fence.number}"
            )
        self._newest[fence.lock] = fence.number
        self._newest.move_to_end(fence.lock)
        if len(self._newest) > self._limit:
            self._newest.popitem(last=False)

    def newest(self, lock: str) -> int | None:
        """The newest fence that was seen of the lock."""
        return self._newest.get(lock)
