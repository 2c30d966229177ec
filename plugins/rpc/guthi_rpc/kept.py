"""What a node keeps of checkpoints that reach it: the newest of each call, and at most MAX_KEPT of them, the latest.

A later attempt at a call is newer than an earlier one, whatever their revisions: it began where the earlier one was
last known to be. Casts can overtake one another: of an attempt that has ended, and of all before it, no checkpoint is
taken any more, as far as the last MAX_ENDED ends are remembered.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from guthi_rpc.context import CallId

__all__ = ["Checkpoint", "Kept"]

MAX_KEPT = 4096
MAX_ENDED = 4096
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
        self._ended: OrderedDict[CallId, int] = OrderedDict()  # the last attempt of which no more is taken
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, call: CallId) -> Checkpoint | None:
        """The newest of a call."""
        return self._kept.get(call)

    def offer(self, call: CallId, checkpoint: Checkpoint) -> None:
        """Keep it, unless a newer one is here, or its attempt has ended."""
        known = self._kept.get(call)
        if (known is not None and checkpoint[:2] <= known[:2]) or checkpoint.attempt <= self._ended.get(call, -1):
            return
        self._remove(call)
        self._kept[call] = checkpoint
        self._bytes += len(checkpoint.state)
        while len(self._kept) > MAX_KEPT or self._bytes > MAX_KEPT_BYTES:
            self._remove(next(iter(self._kept)))

    def forget(self, call: CallId, attempt: int) -> bool:
        """Nobody will ask for what this attempt, or one before it, has passed; whether there was something."""
        ended = self._ended
        if call in ended:
            attempt = max(attempt, ended.pop(call))
        ended[call] = attempt
        if len(ended) > MAX_ENDED:
            ended.popitem(last=False)
        return call in self._kept and self._remove(call)

    def _remove(self, call: CallId) -> bool:
        checkpoint = self._kept.pop(call, None)
        self._bytes -= len(checkpoint.state) if checkpoint is not None else 0
        return checkpoint is not None
