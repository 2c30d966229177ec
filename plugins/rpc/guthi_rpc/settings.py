"""The TOML table [plugins.rpc]."""

from __future__ import annotations

from dataclasses import dataclass

from guthi.configuration.tables import Duration, Size

__all__ = ["RpcConfig"]

MAX_WORKERS = 65_536


@dataclass(frozen=True)
class RpcConfig:
    """How a node runs functions for the others.

    `threads` and `processes` are how many run at a time, 0: one a core; `queue` is how many calls may wait for each of
    the two, or run on the loop, before further ones are refused. `checkpoint_interval` is the least time between two
    checkpoints of one call that are sent. The result of a call with a key is remembered for `retention`; at most
    `max_keys` such calls, and so many bytes of their results as `max_key_results` says. With `ship_code` the node runs
    functions that other members send, whatever these do.
    """

    threads: int = 0
    """How many functions run in threads at a time. 0: one a core."""
    processes: int = 0
    """How many functions run in worker processes at a time. 0: one a core."""
    queue: int = 10_000
    """How many calls may wait for a thread, how many for a process, and how many coroutines may run; further ones are
    refused.
    """
    checkpoint_interval: Duration = 0.25
    """The least time between two [checkpoints](rpc.md#checkpoints) of one call that are sent."""
    retention: Duration = 600.0
    """How long the result of a call with a [key](rpc.md#exactly-once) is remembered. Should be the same on all nodes.
    """
    max_keys: int = 100_000
    """How many such calls are remembered; when there are more, further ones are refused."""
    max_key_results: Size = 64 << 20
    """How many bytes of their results; of those beyond, only that they were is remembered."""
    ship_code: bool = False
    """Run functions that other members send, whatever these do."""

    def __post_init__(self) -> None:
        for key in ("threads", "processes"):
            if not 0 <= getattr(self, key) <= MAX_WORKERS:
                raise ValueError(f"{key} must be from 0 (one a core) to {MAX_WORKERS}")
        for key in ("queue", "max_keys"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key} must be at least 1")
        for key in ("checkpoint_interval", "retention"):
            if not getattr(self, key) > 0:
                raise ValueError(f"{key} must be more than 0")
