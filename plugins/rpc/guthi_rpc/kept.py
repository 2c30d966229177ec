"""What a node keeps of checkpoints that reach it: the newest of each call, and at most MAX_KEPT of them, the latest.

A later attempt at a call is newer than an earlier one, whatever their revisions: it began where the earlier one was
last known to be.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from guthi_rpc.context import CallId

__all__ = ["Checkpoint", "Kept"]

MAX_KEPT = 4096
MAX_KEPT_BYTES = 256 << 20


class Checkpoint(NamedTuple):
    """One state of a call, encoded; of two, the greater is the newer."""

    attempt: int
    revision: int
    state: bytes


class Kept:
    """The checkpoints at one node."""

    def __init__(self) -> None:
        self._kept: OrderedDict[CallId, Checkpoint] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, call: CallId) -> Checkpoint | None:
        """The newest of a call."""
        return self._kept.get(call)

    def offer(self, call: CallId, checkpoint: Checkpoint) -> None:
        """Keep it, unless a newer one is here."""
        known = self._kept.get(call)
        if known is not None and checkpoint[:2] <= known[:2]:
            return
        self.forget(call)
        self._kept[call] = checkpoint
        self._bytes += len(checkpoint.state)
        while len(self._kept) > MAX_KEPT or self._bytes > MAX_KEPT_BYTES:
            self.forget(next(iter(self._kept)))

    def forget(self, call: CallId) -> bool:
        """Nobody will ask for it any more; whether there was one."""
        checkpoint = self._kept.pop(call, None)
        self._bytes -= len(checkpoint.state) if checkpoint is not None else 0
        return checkpoint is not None
