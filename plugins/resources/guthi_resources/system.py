"""Samples of the real machine, by psutil.

psutil's own percentages are since anybody's last call in the process; several nodes may live in one. So the probe
keeps the counters that it has seen itself, and divides what was added by the time that has passed.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import psutil

from guthi_resources.sample import Sample

__all__ = ["SystemProbe"]


class _Counters(NamedTuple):
    """What only grows, at one moment: seconds of each core, bytes of disk and network, seconds of the process."""

    now: float
    cores: list[tuple[float, float]]
    disk: tuple[int, int]
    network: tuple[int, int]
    process_s: float


class SystemProbe:
    """The machine that this process runs on; `folder` is on the disk that is looked at."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._process = psutil.Process()
        self._before: _Counters | None = None
        self._began = 0.0  # the first sample's moment, which is that of the node's start

    def sample(self, now: float) -> Sample:
        """Shares and rates are since the sample before; of the first one they are 0."""
        after = self._counters(now)
        if self._before is None:
            self._began = now
        before = self._before or after
        self._before = after
        cores = _shares(before.cores, after.cores)
        memory, disk = psutil.virtual_memory(), psutil.disk_usage(self._folder)
        span_s = after.now - before.now
        return Sample(
            sum(cores) / len(cores) if cores else 0.0,
            tuple(round(share) for share in cores),
            psutil.getloadavg()[0],
            memory.total,
            memory.available,
            disk.total,
            disk.free,
            _rate(before.disk[0], after.disk[0], span_s),
            _rate(before.disk[1], after.disk[1], span_s),
            _rate(before.network[0], after.network[0], span_s),
            _rate(before.network[1], after.network[1], span_s),
            100.0 * max(after.process_s - before.process_s, 0.0) / span_s if span_s > 0 else 0.0,
            self._process.memory_info().rss,
            self._process.num_threads(),
            round(now - self._began),
        )

    def _counters(self, now: float) -> _Counters:
        times = psutil.cpu_times(percpu=True)
        cores = [(each.idle + getattr(each, "iowait", 0.0), _all(each)) for each in times]
        disk, network, own = psutil.disk_io_counters(), psutil.net_io_counters(), self._process.cpu_times()
        return _Counters(
            now,
            cores,
            (disk.read_bytes, disk.write_bytes) if disk is not None else (0, 0),  # None in some containers
            (network.bytes_recv, network.bytes_sent) if network is not None else (0, 0),
            own.user + own.system,
        )


def _all(times: tuple[float, ...]) -> float:
    """All seconds of a core; on Linux those of guests are within those of users (proc(5)), and not counted twice."""
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return float(sum(times) - guests)


def _shares(before: list[tuple[float, float]], after: list[tuple[float, float]]) -> list[float]:
    if len(before) != len(after):  # a core was added or taken away
        return [0.0] * len(after)
    shares = []
    for (idle_before, all_before), (idle_after, all_after) in zip(before, after, strict=True):
        span = all_after - all_before
        shares.append(min(max(100.0 * (1.0 - (idle_after - idle_before) / span), 0.0), 100.0) if span > 0 else 0.0)
    return shares


def _rate(before: int, after: int, span_s: float) -> int:
    return max(round((after - before) / span_s), 0) if span_s > 0 else 0
