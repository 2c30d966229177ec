"""Checks that a call with a key had its effect once at most, and once if anybody has its result."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tests.chaos.journal import Entry, calls

__all__ = ["check"]


def check(entries: Sequence[Entry]) -> list[str]:
    """What was wrong."""
    effects, results = defaultdict[str, int](int), defaultdict[str, set[str]](set)
    for each in entries:
        if each.kind == "effect":
            effects[each.told["key"]] += 1
    for call in calls(entries, "rpc"):
        if call.is_ok:
            results[call.input].add(str(call.output))
    return [
        *(f"the call {key!r} had its effect {count} times" for key, count in sorted(effects.items()) if count > 1),
        *(f"the call {key!r} has a result, and never ran" for key in sorted(results) if not effects[key]),
        *(f"the call {key!r} gave {sorted(has)}" for key, has in sorted(results.items()) if len(has) > 1),
    ]
