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
    tracking: Literal["auto", "poll", "off"] = "auto"
    debounce: guthi.Duration = 0.1
    poll_interval: guthi.Duration = 2.0
    rescan_interval: guthi.Duration = 3600.0
    tombstones: guthi.Duration = 30 * 86400.0
    most_entries: int = 1_000_000
    cache_memory: guthi.Size = 1 << 30
    cache_disk: guthi.Size = 8 << 30
    cache_memory_share: float = 0.8
    check_interval: guthi.Duration = 10.0
    sync_interval: guthi.Duration = 10.0
    most_promises: int = 200_000
    read_ahead: guthi.Size = 16 << 20
    clock_interval: guthi.Duration = 60.0
    ntp_server: guthi.Address | None = None

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
