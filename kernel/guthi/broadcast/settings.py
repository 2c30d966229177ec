"""The figures of a broadcast: when a network is small, how long messages are kept, when a repair begins."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BroadcastSettings"]


@dataclass(frozen=True, slots=True)
class BroadcastSettings:
    """Times in seconds.

    Up to `direct_limit` members, the broadcaster included, it sends to each itself. What has come is kept for `keep_s`,
    at most `buffer_bytes` of it. Notes wait `note_s` for company. Who has heard of a message, and does not have it
    after `graft_s` to twice as long, asks for it, and asks the next after `graft_again_s`; both grow by what the
    message takes at `pace_bytes_s`. An offer that is not answered is repeated after `repeat_s`, doubling up to
    `repeat_limit_s`. A message waits at most `order_s` for an earlier one of its origin. A peer for which more than
    `backlog_bytes` wait is sent offers only; a broadcaster waits while more than `window_bytes` of its own have reached
    nobody. What is known of a stream is forgotten when it has been silent for `stream_idle_s`.
    """

    direct_limit: int = 32
    keep_s: float = 30.0
    buffer_bytes: int = 64 * 1024 * 1024
    note_s: float = 0.05
    graft_s: float = 0.5
    graft_again_s: float = 0.5
    pace_bytes_s: float = 4 * 1024 * 1024
    repeat_s: float = 1.0
    repeat_limit_s: float = 8.0
    order_s: float = 5.0
    backlog_bytes: int = 32 * 1024 * 1024
    window_bytes: int = 8 * 1024 * 1024
    stream_idle_s: float = 600.0
