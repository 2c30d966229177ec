"""Checks broadcasts: nobody is told twice in a life, and whoever was there all the time is told.

Who was cut off, or stopped, is told when it is back, if that is within KEEP_S of the broadcast; the schedule's faults
are shorter. A newcomer is told what is broadcast from when its neighbours know it. So only a life is looked at that
began long enough before the broadcast and went on long enough after it, and likewise the broadcaster's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tests.chaos.checkers.lives import lives_of
from tests.chaos.journal import Entry, calls

__all__ = ["check"]

KNOWN_S = 8.0
KEEP_S = 30.0


def check(entries: Sequence[Entry]) -> list[str]:
    """What was wrong."""
    lives = lives_of(entries)
    told = Counter((each.life, each.told["life"], each.told["number"]) for each in entries if each.kind == "told")
    wrong = [
        f"{lives[life].node} was told message {number} of {origin} {count} times"
        for (life, origin, number), count in sorted(told.items())
        if count > 1
    ]
    for call in calls(entries, "broadcast"):
        if not call.is_ok or lives[call.life].last_at < call.called_at + KEEP_S:
            continue
        wrong += [
            f"{life.node} was never told message {call.input} of {call.node}"
            for name, life in sorted(lives.items())
            if name != call.life
            and life.began_at + KNOWN_S <= call.called_at
            and call.called_at + KEEP_S <= life.last_at
            and not told[name, call.life, call.input]
        ]
    return wrong
