"""What a run says in numbers: throughput and latency over time, and how long it took to recover."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from tests.chaos.journal import Call
from tests.chaos.spells import Spell

__all__ = ["BIN_S", "Recovery", "Series", "Work", "recoveries", "series", "works"]

BIN_S = 1.0
WINDOW_S = 2.0  # over so long throughput is counted; shorter, and chance moves it by more than a tenth
BEFORE_S = 6.0
STEP_S = 0.25
ENOUGH = 0.9


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of work in a whole run; `errors` counts by name, times are of calls that have a result."""

    name: str
    ok: int
    errors: Counter[str]
    unknown: int
    median_s: float
    slow_s: float  # 99 % were quicker


@dataclass(frozen=True, slots=True)
class Series:
    """By bins of BIN_S: calls that have a result, calls that failed, and the 95th percentile of the former's time."""

    ok: list[int]
    failed: list[int]
    slow_s: list[float]


@dataclass(frozen=True, slots=True)
class Recovery:
    """How soon after a fault throughput was `ENOUGH` of what it had been before; infinite if not before the next.

    `kinds` are those of all faults that were there together, of which `spell` ended last.
    """

    spell: Spell
    seconds: float
    kinds: str


def works(calls: Sequence[Call]) -> list[Work]:
    """Sorted by name."""
    return [
        _work(name, [each for each in calls if each.work == name]) for name in sorted({each.work for each in calls})
    ]


def _work(name: str, calls: Sequence[Call]) -> Work:
    times = sorted(each.returned_at - each.called_at for each in calls if each.is_ok) or [math.nan]
    errors = Counter(each.error for each in calls if each.error)
    unknown = sum(each.returned_at == math.inf for each in calls)
    return Work(name, sum(each.is_ok for each in calls), errors, unknown, median(times), times[len(times) * 99 // 100])


def series(calls: Sequence[Call], began_at: float, ended_at: float) -> Series:
    """From the beginning to the end."""
    count = max(math.ceil((ended_at - began_at) / BIN_S), 1)
    ok, failed, times = [0] * count, [0] * count, [list[float]() for _ in range(count)]
    for each in calls:
        place = int((each.returned_at - began_at) / BIN_S) if each.returned_at < math.inf else -1
        if 0 <= place < count:
            (ok if each.is_ok else failed)[place] += 1
            if each.is_ok:
                times[place].append(each.returned_at - each.called_at)
    return Series(ok, failed, [_slow(each) for each in times])


def _slow(times: Sequence[float]) -> float:
    return quantiles(times, n=20, method="inclusive")[-1] if len(times) > 1 else max(times, default=0.0)


def recoveries(calls: Sequence[Call], spells: Sequence[Spell], ended_at: float) -> list[Recovery]:
    """One for each fault, or group of faults that were there together: the one that ended last."""
    moments = sorted(each.returned_at for each in calls if each.is_ok)
    last = [each for each in spells if not any(_is_over_later(other, each) for other in spells)]
    found = []
    for number, spell in enumerate(last):
        before = _rate(moments, spell.began_at - BEFORE_S, spell.began_at)
        until = last[number + 1].began_at if number + 1 < len(last) else ended_at
        kinds = "+".join(sorted({each.kind for each in spells if each is spell or _are_together(each, spell)}))
        found.append(Recovery(spell, _seconds(moments, before, spell.ended_at, until), kinds))
    return found


def _is_over_later(other: Spell, spell: Spell) -> bool:
    return other is not spell and _are_together(other, spell) and other.ended_at > spell.ended_at


def _are_together(one: Spell, other: Spell) -> bool:
    return one.overlap_s(other.began_at, other.ended_at) > 0


def _seconds(moments: Sequence[float], before: float, healed_at: float, until: float) -> float:
    """To the beginning of the first window that has enough."""
    begin = healed_at
    while begin + WINDOW_S <= until:
        if _rate(moments, begin, begin + WINDOW_S) >= ENOUGH * before:
            return begin - healed_at
        begin += STEP_S
    return math.inf


def _rate(moments: Sequence[float], begin: float, end: float) -> float:
    return (bisect_right(moments, end) - bisect_left(moments, begin)) / (end - begin)
