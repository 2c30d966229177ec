"""What is said of a machine at one moment, how it travels, and when two samples differ enough to be told.

On the wire a sample is a short list of whole numbers: shares in tenths of a per cent, sizes in KiB, rates in bytes a
second, the cores' shares as one byte each. With eight cores that is about 80 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from guthi import MalformedMessage

__all__ = ["MOST_CORES", "Sample", "differs", "from_wire", "to_wire"]

MOST_CORES = 1024
LARGEST = 2**63
KIB = 1024

SHARE_STEP_PERCENT = 2.0
SIZE_STEP = 0.005  # of what is installed
LOAD_STEP = 0.25
RATE_STEP = 0.25  # of the rate before
RATE_FLOOR_BYTES_S = 65536.0


@dataclass(frozen=True, slots=True)
class Sample:
    """A machine, and the node's process on it. Shares are per cent of the whole machine, 0 to 100.

    `process_cpu_percent` is per cent of one core, as `top` has it; `process_age_s` is how long the node has run. Rates
    are means since the sample before.
    """

    cpu_percent: float
    cores_percent: tuple[int, ...]
    load_1m: float
    memory_total_bytes: int
    memory_available_bytes: int
    disk_total_bytes: int
    disk_free_bytes: int
    disk_read_bytes_s: int
    disk_written_bytes_s: int
    received_bytes_s: int
    sent_bytes_s: int
    process_cpu_percent: float
    process_memory_bytes: int
    process_threads: int
    process_age_s: int

    @property
    def memory_percent(self) -> float:
        """How much of the memory is not available."""
        total = self.memory_total_bytes
        return 100.0 * (1.0 - self.memory_available_bytes / total) if total else 0.0

    @property
    def disk_percent(self) -> float:
        """How much of the disk is not free."""
        total = self.disk_total_bytes
        return 100.0 * (1.0 - self.disk_free_bytes / total) if total else 0.0


def differs(old: Sample, new: Sample) -> bool:
    """Whether somebody who knows `old` would want to be told `new`."""
    return (
        abs(new.cpu_percent - old.cpu_percent) >= SHARE_STEP_PERCENT
        or abs(new.process_cpu_percent - old.process_cpu_percent) >= SHARE_STEP_PERCENT
        or abs(new.load_1m - old.load_1m) >= LOAD_STEP
        or _size_differs(old.memory_available_bytes, new.memory_available_bytes, new.memory_total_bytes)
        or _size_differs(old.process_memory_bytes, new.process_memory_bytes, new.memory_total_bytes)
        or _size_differs(old.disk_free_bytes, new.disk_free_bytes, new.disk_total_bytes)
        or (old.memory_total_bytes, old.disk_total_bytes) != (new.memory_total_bytes, new.disk_total_bytes)
        or len(old.cores_percent) != len(new.cores_percent)
        or any(_rate_differs(before, after) for before, after in zip(_rates(old), _rates(new), strict=True))
    )


def _size_differs(old: int, new: int, installed: int) -> bool:
    return abs(new - old) >= SIZE_STEP * installed > 0


def _rate_differs(old: int, new: int) -> bool:
    return abs(new - old) >= max(RATE_STEP * old, RATE_FLOOR_BYTES_S)


def _rates(sample: Sample) -> tuple[int, int, int, int]:
    return sample.disk_read_bytes_s, sample.disk_written_bytes_s, sample.received_bytes_s, sample.sent_bytes_s


def to_wire(sample: Sample) -> list[Any]:
    """The sample as it travels."""
    return [
        round(sample.cpu_percent * 10),
        bytes(min(max(share, 0), 100) for share in sample.cores_percent[:MOST_CORES]),
        round(sample.load_1m * 100),
        sample.memory_total_bytes // KIB,
        sample.memory_available_bytes // KIB,
        sample.disk_total_bytes // KIB,
        sample.disk_free_bytes // KIB,
        sample.disk_read_bytes_s,
        sample.disk_written_bytes_s,
        sample.received_bytes_s,
        sample.sent_bytes_s,
        round(sample.process_cpu_percent * 10),
        sample.process_memory_bytes // KIB,
        sample.process_threads,
        sample.process_age_s,
    ]


def from_wire(value: Any) -> Sample:
    """Raises MalformedMessage."""
    if not isinstance(value, list) or len(value) != 15:
        raise MalformedMessage("a sample is a list of 15")
    cores = value[1]
    if not isinstance(cores, bytes) or len(cores) > MOST_CORES or (cores and max(cores) > 100):
        raise MalformedMessage(f"the shares of cores are at most {MOST_CORES} bytes of 0 to 100")
    numbers = [*value[:1], *value[2:]]
    if not all(type(number) is int and 0 <= number < LARGEST for number in numbers):
        raise MalformedMessage("the numbers of a sample are whole and not negative")
    cpu, load, total, available, disk, free, read, written, received, sent, own_cpu, own_memory, threads, age = numbers
    return Sample(
        min(cpu / 10, 100.0),
        tuple(cores),
        load / 100,
        total * KIB,
        min(available, total) * KIB,
        disk * KIB,
        min(free, disk) * KIB,
        read,
        written,
        received,
        sent,
        own_cpu / 10,
        own_memory * KIB,
        threads,
        age,
    )
