"""Checks that there was anything to check: work of which next to nothing succeeds keeps every other promise."""

from __future__ import annotations

from collections.abc import Sequence

from tests.chaos.figures import works
from tests.chaos.journal import Entry, calls
from tests.chaos.workloads import broadcasting, calling, eventual, filing, locking, variables

__all__ = ["WORKS", "check"]

WORKS = (calling.WORK, variables.WORK, eventual.WORK, locking.WORK, filing.WORK, broadcasting.WORK)
LEAST = 0.1  # faults hit a minority, and most of the time nobody


def check(entries: Sequence[Entry]) -> list[str]:
    """What was wrong."""
    found = {each.name: (each.ok, each.ok + each.errors.total() + each.unknown) for each in works(calls(entries))}
    told = {name: found.get(name, (0, 0)) for name in WORKS}
    return [
        f"{ok} of {count} calls of {name} had a result"
        for name, (ok, count) in told.items()
        if ok == 0 or ok < LEAST * count
    ]
