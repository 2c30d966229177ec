"""The figures of docs/comparison.md: those of docs/benchmarks.json, beside the peers that the page compares with.

Of a peer that can be used in several ways, its best figure counts. Ours are those of a node as it is configured by
default.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Row", "rendered", "rows", "section"]

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
OURS = ("Guthi", "Guthi, two workers")
COLUMNS: Mapping[str, Sequence[str]] = {
    "Ray": ("Ray",),
    "Dask": ("Dask",),
    "Pyro5": ("Pyro5",),
    "pyzmq": ("pyzmq REQ/REP", "pyzmq DEALER/ROUTER"),
    "gRPC": ("gRPC", "gRPC aio"),
    "NATS": ("NATS",),
    "asyncio TCP": ("asyncio TCP",),
    "asyncio TLS": ("asyncio TLS 1.3",),
    "multiprocessing": ("multiprocessing.Pool",),
}
WORK = {  # by measure: in words, and whether the figure is a time, of which less is better
    "call_us": ("time of one small call", True),
    "in_flight_calls_s": ("calls a second, 64 in flight", False),
    "in_flight_cpu_us": ("processor time a call, 64 in flight", True),
    "bulk_mb_s": ("64 MiB result, speed", False),
    "array_mb_s": ("8 MB array there, its sum back, speed", False),
    "map_items_s": ("20,000 tiny tasks on two workers, speed", False),
    "uneven_over_ideal": ("1,000 tasks, one in a hundred slow, time", True),
    "picture_ms": ("Mandelbrot on two workers, time", True),
}


class Row(NamedTuple):
    """Guthi over each column's peer in one kind of work; None where one of the two was not measured."""

    work: str
    is_time: bool
    ratios: Sequence[float | None]


def rendered(page: str, results: Path) -> str:
    """The page with what stands between its marks made anew of a file that `make bench` wrote."""
    text = section(json.loads(results.read_text(encoding="utf-8")))
    page, count = re.subn(f"(?<={BEGIN}\n).*?(?={END})", lambda _: f"\n{text}\n", page, count=1, flags=re.DOTALL)
    if not count:
        raise ValueError(f"docs/comparison.md has no marks {BEGIN} and {END}")
    return page


def section(results: Mapping[str, Any]) -> str:
    """Where and when it was measured, how many goals are missed, and the table."""
    goals = [goal["reached"] for goal in results["goals"] if goal["reached"]]
    machine, rounds = results["machine"], 1 + max(start["round"] for start in results["starts"])
    head = (
        f"Measured {machine['date']} on {machine['cores']} cores of {machine['processor']}, in "
        f"{'one round' if rounds == 1 else f'{rounds} rounds'}: {sum(goal.startswith('short') for goal in goals)} of "
        f"our {len(goals)} goals are missed. Guthi's figure over theirs:"
    )
    lines = [["", *COLUMNS], ["---"] * (1 + len(COLUMNS)), *(list(_cells(row)) for row in rows(results))]
    return head + "\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cells(row: Row) -> Iterator[str]:
    """Bold is where they are ahead."""
    yield row.work
    for ratio in row.ratios:
        if ratio is None:
            yield ""
        else:
            shown = f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"
            yield f"**{shown}**" if (ratio > 1) == row.is_time else shown


def rows(results: Mapping[str, Any]) -> list[Row]:
    """The kinds of work that were measured of Guthi."""
    values: dict[tuple[str, str], list[float]] = {}
    for start in results["starts"]:
        for measure, value in start["measures"].items():
            values.setdefault((start["peer"], measure), []).append(value)
    medians = {key: statistics.median(found) for key, found in values.items()}
    found = []
    for measure, (work, is_time) in WORK.items():
        best: Callable[[list[float]], float] = min if is_time else max
        ours = next((medians[peer, measure] for peer in OURS if (peer, measure) in medians), None)
        theirs = [[medians[peer, measure] for peer in ways if (peer, measure) in medians] for ways in COLUMNS.values()]
        if ours is not None:
            found.append(Row(work, is_time, [ours / best(each) if each else None for each in theirs]))
    return found
