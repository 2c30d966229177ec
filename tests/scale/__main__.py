"""`make scale`: runs the large simulated worlds and prints a table; the exit code is 1 when a goal is missed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from time import perf_counter

from tests.scale import broadcast, membership
from tests.scale.row import Row

__all__ = ["main"]

MEASURES: dict[str, Callable[[], Iterator[Row]]] = {"membership": membership.rows, "broadcast": broadcast.rows}


def main(chosen: list[str]) -> int:
    """Run the named measures, or all."""
    missed = 0
    for name in chosen or MEASURES:
        started_at = perf_counter()
        print(f"| {name} | goal | measured | |\n|---|---|---|---|", flush=True)
        for row in MEASURES[name]():
            missed += not row.holds
            print(f"| {row.what} | {row.goal} | {row.measured} | {'' if row.holds else 'MISSED'} |", flush=True)
        print(f"\n{perf_counter() - started_at:.0f} s of real time\n", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
