"""Decides whether a write under a lock's fence is let through: not if its export has seen a newer one of that lock.

The newest fence of each lock is noted in the index before the write is done, so a node that is started anew refuses
what it would have refused before. Fence and write are one step of the writing thread: no other write comes between.
"""

from __future__ import annotations

from guthi_gutfs.exports.index import Index
from guthi_gutfs.exports.rules import Exports
from guthi_gutfs.paths import tree_path
from guthi_mutex import Fence, FenceGate

__all__ = ["Fencing"]

MOST_FENCES = 4096  # of an export; beyond, the lock that was seen longest ago is forgotten


class Fencing:
    """The fences that the exports of one node have seen; called in the writing thread."""

    def __init__(self, exports: Exports, index: Index) -> None:
        self._exports, self._index = exports, index
        self._gates: dict[str, FenceGate] = {}

    def admit(self, fence: Fence, *paths: str) -> None:
        """Let a write to these paths through; raises StaleFence, NotFound, BadPath."""
        for at in sorted({self._exports.of(tree_path(path)).at for path in paths}):
            gate = self._gate(at)
            before = gate.newest(fence.lock)
            gate.admit(fence)
            if before != fence.number:
                self._index.keep_fence(at, fence.lock, fence.number, MOST_FENCES)

    def _gate(self, at: str) -> FenceGate:
        gate = self._gates.get(at)
        if gate is None:
            gate = FenceGate(MOST_FENCES)
            for lock, number in self._index.fences(at, MOST_FENCES):
                gate.admit(Fence(lock, number))
            self._gates[at] = gate
        return gate
