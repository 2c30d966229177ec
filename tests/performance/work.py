"""Decides how each work item is measured, from within the client's process."""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from performance.contest import CONTENDERS
from performance.picture import WORKERS, expected_picture
from performance.processes import processor_time_s
from performance.shape import (
    ARRAY_VALUES,
    BULK_BYTES,
    SECTIONS,
    Arrays,
    Bulk,
    Calls,
    Copies,
    Files,
    Idles,
    InFlight,
    Locks,
    Maps,
    Pictures,
    Trees,
    Uneven,
    Writes,
    naps,
    payload,
)

__all__ = ["Trial", "measure"]

WARM_CALLS = 200
WARM_BYTES = 1 << 20
MAP_ITEMS = 20_000
UNEVEN_TASKS = 1000
NOTICES = 20
VALID_READS, READ_TURNS, SEEN_WRITES = 5_000, 9, 300
IDLE_S = 5.0

Measures: TypeAlias = dict[str, float]


@dataclass(frozen=True, slots=True)
class Trial:
    """One start of one peer: how long a stretch lasts, how large a bulk result is, and whose processor time counts."""

    seconds: float
    bulk_bytes: int
    server_pids: tuple[int, ...]

    def processor_s(self) -> float:
        """Processor time of client and servers so far."""
        return time.process_time() + sum(map(processor_time_s, self.server_pids))


async def measure(client: object, trial: Trial) -> Measures:
    """All that the client offers, one after another."""
    measures: Measures = {}
    for kind, work in _WORKS:
        if isinstance(client, kind):
            measures |= await work(client, trial)
    return measures


async def _calls(client: Calls, trial: Trial) -> Measures:
    for _ in range(WARM_CALLS):
        assert await client.add(1, 2) == 3
    clock, times_s = time.perf_counter, []
    end_at = clock() + trial.seconds
    while (started_at := clock()) < end_at:
        result = await client.add(1, 2)
        times_s.append(clock() - started_at)
        assert result == 3
    return {"call_us": statistics.median(times_s) * 1e6}


async def _in_flight(client: InFlight, trial: Trial) -> Measures:
    await client.in_flight(WARM_CALLS)
    calls = max(WARM_CALLS, int(WARM_CALLS * 3 * trial.seconds / await _seconds(client.in_flight(WARM_CALLS * 3))))
    processor_before_s = trial.processor_s()
    took_s = await _seconds(client.in_flight(calls))
    processor_s = trial.processor_s() - processor_before_s
    return {"in_flight_calls_s": calls / took_s, "in_flight_cpu_us": processor_s / calls * 1e6}


async def _bulk(client: Bulk, trial: Trial) -> Measures:
    assert bytes(memoryview(await client.bulk(WARM_BYTES))) == payload(WARM_BYTES)

    async def fetch() -> None:
        assert memoryview(await client.bulk(trial.bulk_bytes)).nbytes == trial.bulk_bytes

    await fetch()
    return {"bulk_mb_s": trial.bulk_bytes / 1e6 / await _median_s(fetch, trial.seconds, at_most=5)}


async def _file(client: Files, trial: Trial) -> Measures:
    async def fetch() -> None:
        assert await client.file() == BULK_BYTES

    await fetch()
    return {"file_mb_s": BULK_BYTES / 1e6 / await _median_s(fetch, trial.seconds, at_most=5)}


async def _tree(client: Trees, _: Trial) -> Measures:
    await client.read_again()
    turns = [(await client.read_again(), await client.read_here()) for _ in range(9)]
    listings_s = []
    for _turn in range(3):
        await client.listing()
        listings_s.append(client.listed_s)
    return {
        "cached_over_local": statistics.median(cached_s / local_s for cached_s, local_s in turns),
        "listing_ms": statistics.median(listings_s) * 1e3,
        "notice_ms": statistics.median(await client.noticed(NOTICES)) * 1e3,
    }


async def _array_sum(client: Arrays, trial: Trial) -> Measures:
    values = np.random.default_rng(1).random(ARRAY_VALUES)
    total = float(values.sum())

    async def send() -> None:
        assert math.isclose(await client.array_sum(values), total, rel_tol=1e-12)

    await send()
    return {"array_mb_s": values.nbytes / 1e6 / await _median_s(send, trial.seconds, at_most=15)}


async def _map(client: Maps, _: Trial) -> Measures:
    await client.map_add(MAP_ITEMS // 10)

    async def whole() -> None:
        assert await client.map_add(MAP_ITEMS) == MAP_ITEMS * (MAP_ITEMS + 1) // 2

    return {"map_items_s": MAP_ITEMS / await _seconds(whole())}


async def _uneven(client: Uneven, _: Trial) -> Measures:
    seconds = naps(UNEVEN_TASKS)
    await client.uneven(seconds[:20])

    async def whole() -> None:
        assert await client.uneven(seconds) == len(seconds)

    return {"uneven_over_ideal": await _seconds(whole()) / (sum(seconds) / WORKERS)}


async def _picture(client: Pictures, trial: Trial) -> Measures:
    assert np.array_equal(await client.picture(), expected_picture())
    return {"picture_ms": await _median_s(client.picture, trial.seconds, at_most=3) * 1e3}


async def _locks(client: Locks, _: Trial) -> Measures:
    await client.sections(SECTIONS // 10)
    return {"sections_s": CONTENDERS * SECTIONS / await _seconds(client.sections(SECTIONS))}


async def _copies(client: Copies, _: Trial) -> Measures:
    await client.read_valid(VALID_READS)
    reads_s = [await _seconds(client.read_valid(VALID_READS)) / VALID_READS for _turn in range(READ_TURNS)]
    return {"valid_read_us": statistics.median(reads_s) * 1e6}


async def _writes(client: Writes, _: Trial) -> Measures:
    return {"seen_us": statistics.median([await client.seen() for _write in range(SEEN_WRITES)]) * 1e6}


async def _idle(client: Idles, trial: Trial) -> Measures:
    await client.settle()
    before_s = [processor_time_s(pid) for pid in trial.server_pids]
    took_s = await _seconds(asyncio.sleep(IDLE_S))
    shares = [
        (processor_time_s(pid) - start_s) / took_s for pid, start_s in zip(trial.server_pids, before_s, strict=True)
    ]
    return {"idle_percent": statistics.mean(shares) * 100}


async def _seconds(work: Awaitable[Any]) -> float:
    started_at = time.perf_counter()
    await work
    return time.perf_counter() - started_at


async def _median_s(work: Callable[[], Awaitable[Any]], seconds: float, at_most: int) -> float:
    """The median of up to that many repetitions, none begun when `seconds` are over."""
    times_s: list[float] = []
    while len(times_s) < at_most and sum(times_s) < seconds:
        times_s.append(await _seconds(work()))
    return statistics.median(times_s)


_WORKS: tuple[tuple[type, Callable[[Any, Trial], Awaitable[Measures]]], ...] = (
    (Calls, _calls),
    (InFlight, _in_flight),
    (Bulk, _bulk),
    (Files, _file),
    (Trees, _tree),
    (Copies, _copies),
    (Writes, _writes),
    (Arrays, _array_sum),
    (Maps, _map),
    (Uneven, _uneven),
    (Pictures, _picture),
    (Locks, _locks),
    (Idles, _idle),
)
