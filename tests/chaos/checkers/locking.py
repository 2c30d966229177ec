"""Checks locks: no two are valid at one moment, and fences never go back.

A grant was valid at least from the first moment at which its holder found it so to the last. A grant that returned
before another was asked for is the earlier one, and has the smaller fence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.chaos.journal import Call, Entry, calls

__all__ = ["check"]


@dataclass(slots=True)
class Tenure:
    """When a grant was certainly valid."""

    fence: int
    life: str
    first_at: float
    last_at: float


def check(entries: Sequence[Entry]) -> list[str]:
    """What was wrong."""
    granted, tenures = defaultdict[str, list[Call]](list), defaultdict[str, dict[tuple[int, str], Tenure]](dict)
    for call in calls(entries, "mutex"):
        if call.is_ok:
            granted[call.input].append(call)
    for each in entries:
        if each.kind == "valid":
            fence = each.told["fence"]
            tenure = tenures[each.told["lock"]].setdefault(
                (fence, each.life), Tenure(fence, each.life, each.at, each.at)
            )
            tenure.last_at = max(tenure.last_at, each.at)
    wrong = [line for lock in sorted(granted) for line in _fences(lock, granted[lock])]
    return wrong + [line for lock in sorted(tenures) for line in _holders(lock, list(tenures[lock].values()))]


def _fences(lock: str, grants: list[Call]) -> list[str]:
    """Sweep over all calls and returns: the greatest fence that had returned before a call is below that call's."""
    moments = [(each.called_at, 1, each) for each in grants] + [(each.returned_at, 0, each) for each in grants]
    wrong, greatest, before = [], -1, dict[int, int]()
    for _, is_call, each in sorted(moments, key=lambda moment: moment[:2]):
        if is_call:
            before[id(each)] = greatest
            continue
        greatest = max(greatest, each.output)
        if each.output <= before[id(each)]:
            wrong.append(f"{each.node} got {lock!r} with fence {each.output} after one with {before[id(each)]}")
    fences = [each.output for each in grants]
    twice = {each for each in fences if fences.count(each) > 1} if len(set(fences)) < len(fences) else set()
    return wrong + [f"two grants of {lock!r} have the fence {each}" for each in sorted(twice)]


def _holders(lock: str, tenures: list[Tenure]) -> list[str]:
    return [
        f"{lock!r} was held with the fences {one.fence} and {other.fence} for {one.last_at - other.first_at:f} s"
        for one, other in pairwise(sorted(tenures, key=lambda each: each.first_at))
        if other.first_at < one.last_at
    ]
