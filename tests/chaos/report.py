"""The table that a run ends with, on the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from tests.chaos.figures import Recovery, Work, recoveries, works
from tests.chaos.journal import calls
from tests.chaos.run import Outcome

__all__ = ["lines_of"]

SHOWN = 5  # of each kind of violation


def lines_of(outcome: Outcome) -> Iterator[str]:
    """Line by line."""
    done = calls(outcome.entries)
    yield f"seed {outcome.seed}, {outcome.ended_at - outcome.began_at:.0f} s, {len(outcome.spells)} faults"
    yield ""
    yield f"{'work':<11}{'ok':>8}{'failed':>8}{'cut off':>9}{'median':>11}{'99 %':>11}  errors"
    yield from map(_work, works(done))
    yield ""
    yield from _recovery(recoveries(done, outcome.spells, outcome.ended_at))
    yield ""
    yield from _verdict(outcome)


def _work(work: Work) -> str:
    errors = ", ".join(f"{count} {name}" for name, count in work.errors.most_common())
    times = f"{work.median_s * 1e3:>8.1f} ms{work.slow_s * 1e3:>8.0f} ms"
    return f"{work.name:<11}{work.ok:>8}{work.errors.total():>8}{work.unknown:>9}{times}  {errors}"


def _recovery(found: list[Recovery]) -> Iterator[str]:
    yield f"{'fault':<20}times  seconds until 90 % of the throughput before"
    for kind in sorted({each.kinds for each in found}):
        seconds = sorted(each.seconds for each in found if each.kinds == kind)
        told = " ".join(f"{each:.2f}" if each < math.inf else "not" for each in seconds)
        yield f"{kind:<18}{len(seconds):>7}  {told}"
    if found:
        seconds = [each.seconds for each in found]
        late = sum(each > 5.0 for each in seconds)
        told = f"median {median(seconds):.2f}, most {max(seconds):.2f}; {late} later than 5 s"
        yield f"{'all':<18}{len(seconds):>7}  {told}"


def _verdict(outcome: Outcome) -> Iterator[str]:
    for checker, found in outcome.violations.items():
        yield f"{checker:<11}{'no violation' if not found else f'{len(found)} VIOLATIONS'}"
        for line in found[:SHOWN]:
            yield f"  {line}"
    if outcome.untold:
        yield f"not checked, for too much is unknown: variables {', '.join(outcome.untold)}"
