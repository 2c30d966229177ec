"""What is measured, by name, and the ratios that Guthi must reach and aims at."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GOALS", "MEASURES", "Goal", "Measure"]


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure's title with its unit, and whether less of it is better."""

    title: str
    less_is_better: bool


MEASURES = {
    "call_us": Measure("one at a time, µs", less_is_better=True),
    "in_flight_calls_s": Measure("64 in flight, calls/s", less_is_better=False),
    "in_flight_cpu_us": Measure("processor a call, µs", less_is_better=True),
    "bulk_mb_s": Measure("64 MiB result, MB/s", less_is_better=False),
    "file_mb_s": Measure("64 MiB file, MB/s", less_is_better=False),
    "cached_over_local": Measure("cached file over local file", less_is_better=True),
    "listing_ms": Measure("10,000 files listed, ms", less_is_better=True),
    "notice_ms": Measure("another program's change noticed, ms", less_is_better=True),
    "array_mb_s": Measure("8 MB array sum, MB/s", less_is_better=False),
    "map_items_s": Measure("map, tasks/s", less_is_better=False),
    "uneven_over_ideal": Measure("1 in 100 slow, over ideal", less_is_better=True),
    "picture_ms": Measure("Mandelbrot, ms", less_is_better=True),
    "sections_s": Measure("5 on a lock, sections/s", less_is_better=False),
    "valid_read_us": Measure("valid copy read, µs", less_is_better=True),
    "seen_us": Measure("write seen by another, µs", less_is_better=True),
    "idle_percent": Measure("idle, % processor", less_is_better=True),
}


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio of two peers' figures, or one figure where `theirs` is empty; what it must be, and the aim if any."""

    measure: str
    ours: str
    theirs: str
    must: float
    aim: float | None = None

    def verdict(self, value: float) -> str:
        """How the value stands to must and aim."""
        less = MEASURES[self.measure].less_is_better
        if self.aim is not None and (value <= self.aim if less else value >= self.aim):
            return "aim"
        if value <= self.must if less else value >= self.must:
            return "must"
        return f"short by {(value / self.must if less else self.must / value):.2f}×"


GOALS = (
    Goal("call_us", "Guthi", "UDP floor + AES-GCM", 1.35, 1.15),
    Goal("call_us", "Guthi, polling", "pyzmq REQ/REP", 0.5, 0.3),
    Goal("in_flight_calls_s", "Guthi", "pyzmq DEALER/ROUTER", 1.0, 1.6),
    Goal("in_flight_calls_s", "Guthi", "asyncio TCP", 1.0, 1.6),
    Goal("in_flight_calls_s", "Guthi", "Pyro5", 15),
    Goal("in_flight_calls_s", "Guthi", "gRPC aio", 20),
    Goal("in_flight_calls_s", "Guthi", "RPyC", 4),
    Goal("in_flight_calls_s", "Guthi", "Ray", 30),
    Goal("in_flight_cpu_us", "Guthi", "asyncio TLS 1.3", 1.0, 0.4),
    Goal("bulk_mb_s", "Guthi", "raw TLS 1.3 socket", 0.6, 1.0),
    Goal("bulk_mb_s", "Guthi", "gRPC", 2, 3),
    Goal("bulk_mb_s", "Guthi", "gRPC aio", 2, 3),
    Goal("bulk_mb_s", "Guthi, 1,400-byte path", "aioquic", 5, 10),
    Goal("file_mb_s", "Guthi, files", "raw TLS 1.3 socket", 1.0),
    Goal("cached_over_local", "Guthi, files", "", 1.2),
    Goal("listing_ms", "Guthi, files", "", 1000, 250),
    Goal("notice_ms", "Guthi, files", "", 1000, 250),
    Goal("array_mb_s", "Guthi", "asyncio TLS 1.3", 1.0, 2),
    Goal("map_items_s", "Guthi, two workers", "Dask", 5, 15),
    Goal("map_items_s", "Guthi, two workers", "Ray", 5, 15),
    Goal("uneven_over_ideal", "Guthi, two workers", "", 1.3),
    Goal("picture_ms", "Guthi, two workers", "multiprocessing.Pool", 1 / 0.97),
    Goal("sections_s", "Guthi, five nodes", "Redis lock", 1.0, 3),
    Goal("sections_s", "Guthi, five nodes", "Redis lock, asking each ms", 1.0, 3),
    Goal("valid_read_us", "Guthi, variables", "", 1.0),
    Goal("valid_read_us", "Guthi, variables", "Redis, cached by its clients", 1.0),
    Goal("seen_us", "Guthi, variables", "Redis, cached by its clients", 1.0),
    Goal("idle_percent", "Guthi, four idle nodes", "", 1.0, 0.3),
)
