"""The table [plugins.gutfs]: what is exported, how it is tracked, and how much is cached."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import guthi
from guthi_gutfs.chunks import CHUNK_BYTES

__all__ = ["ExportTable", "GutfsConfig"]


@dataclass(frozen=True)
class ExportTable:
    """One export, written as a table; `exports.rules` reads it, and the short form."""

    folder: Path
    at: str
    writable: bool = False
    sync: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    quota: guthi.Size = 0


@dataclass(frozen=True)
class GutfsConfig:
    """The table [plugins.gutfs]."""

    exports: tuple[Path | ExportTable, ...] = ()
    """What is exported: texts `"FOLDER:PATH"`, with `:rw` or `:sync` after it, or tables with `folder`, `at`,
    `writable`, `sync`, `include`, `exclude`, `quota`.
    """
    tracking: Literal["auto", "poll", "off"] = "auto"
    """How what other programs do to exported files is noticed: by the system's notification, or by looking. `off`:
    when somebody asks.
    """
    debounce: guthi.Duration = 0.1
    """How long changes of other programs are gathered before they are told."""
    poll_interval: guthi.Duration = 2.0
    """How often it is looked, where the system does not notify."""
    rescan_interval: guthi.Duration = 3600.0
    """How often all exports are looked through in any case."""
    tombstones: guthi.Duration = 30 * 86400.0
    """How long a deleted file is remembered. A replica that is cut off for longer may bring it back."""
    most_entries: int = 1_000_000
    """How many files and folders the index knows, with those that were deleted of late, which make room first; further
    ones are left out, which the log tells.
    """
    cache_memory: guthi.Size = 1 << 30
    """How much of the files of others is kept in memory at most."""
    cache_disk: guthi.Size = 8 << 30
    """How much of them is kept on disk at most, in the `data_dir`."""
    cache_memory_share: float = 0.8
    """From this share of the system's memory in use on, what is fetched is kept on disk."""
    check_interval: guthi.Duration = 10.0
    """How long what is kept of another node's tree is believed without a word from there."""
    sync_interval: guthi.Duration = 10.0
    """About how often a node compares with another who exports what, and replicas."""
    most_promises: int = 200_000
    """How many [promises](gutfs.md#what-is-kept-is-not-stale) a node makes; beyond, who has most of them is told of
    everything.
    """
    read_ahead: guthi.Size = 16 << 20
    """How much of one transfer may wait in memory for its reader; at least 1 MiB."""
    clock_interval: guthi.Duration = 60.0
    """About how often a node asks others, and its NTP server, for the [time](gutfs.md#clocks)."""
    ntp_server: guthi.Address | None = None
    """An NTP server, as in `"time.example.org:123"`."""

    def __post_init__(self) -> None:
        if min(self.debounce, self.poll_interval, self.rescan_interval) <= 0:
            raise ValueError("debounce, poll_interval and rescan_interval must be more than 0 s")
        if min(self.check_interval, self.sync_interval, self.clock_interval) <= 0:
            raise ValueError("check_interval, sync_interval and clock_interval must be more than 0 s")
        if min(self.most_entries, self.most_promises) < 1:
            raise ValueError("most_entries and most_promises must be at least 1")
        if self.read_ahead < CHUNK_BYTES:
            raise ValueError("read_ahead must be at least a chunk, 1 MiB")
        if not 0 <= self.cache_memory_share <= 1:
            raise ValueError("cache_memory_share is a share of the system's memory, from 0 to 1")
