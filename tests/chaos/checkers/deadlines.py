"""Checks that a call ends in time, one way or the other, and that one that fails says so by an error of Guthi's."""

from __future__ import annotations

from collections.abc import Sequence

from tests.chaos.checkers.lives import Stalls, lives_of
from tests.chaos.journal import Entry, calls

__all__ = ["check"]

SLACK_S = 3.0  # of a busy machine; a call that hangs does not end at all


def check(entries: Sequence[Entry]) -> list[str]:
    """What was wrong. A process that was stopped notices its deadline when it wakes: that much later is in time."""
    lives, stalls, found = lives_of(entries), Stalls(entries), []
    for each in calls(entries):
        ended_at = min(each.returned_at, lives[each.life].last_at)
        allowed_s = each.limit_s + stalls.within_s(each.life, each.called_at, ended_at)
        late_s = ended_at - each.called_at - allowed_s
        what = f"{each.node}: {each.work} {str(each.input)[:60]!r}"
        if not each.typed:
            found.append(f"{what} failed with {each.error}, which is no error of Guthi's: {each.text}")
        elif late_s > SLACK_S:
            how = f"failed with {each.error}" if each.error else "ended" if each.is_ok else "had not ended"
            found.append(f"{what} {how} {late_s:.1f} s after its deadline")
    return found
