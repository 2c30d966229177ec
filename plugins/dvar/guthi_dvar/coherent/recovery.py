"""Decides what the newest versions of a variable are when a view begins, from what all members of it have.

Only those count who took part in the newest epoch in which the variable was opened anywhere: its keepers, who have
every version that a write has returned for, and those whose copies were Shared. Of a write that was under way, and has
reached some keeper, the version is taken too: it may have happened, and must have if anybody goes on from it. If no
keeper is left, the copies that were Shared are still the newest; what else there was is lost, and the variable damaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from guthi import NodeId
from guthi_dvar.coherent.ledger import Ledger
from guthi_dvar.coherent.messages import Report
from guthi_dvar.records import Record
from guthi_dvar.stamps import Stamp

__all__ = ["Recovered", "recovered"]


@dataclass(frozen=True, slots=True, eq=False)
class Recovered:
    """A variable as it is to go on; `sources` has for each value those who have its newest version."""

    record: Record
    is_damaged: bool
    newest: dict[int, Stamp]
    sources: dict[int, list[NodeId]]
    ledger: Ledger
    fences: dict[str, int]
    followers: frozenset[NodeId]


def recovered(reports: Mapping[NodeId, Report]) -> Recovered:
    """What follows from the reports of one variable, of which there is at least one."""
    birth = max(each.record.birth for each in reports.values())
    told = {id: each for id, each in sorted(reports.items()) if each.record.birth == birth}
    secured_in = max(each.secured_in for each in told.values())
    sharers = {id: each for id, each in told.items() if each.secured_in == secured_in}
    keepers = {id: each for id, each in sharers.items() if each.kept_in == secured_in > 0}
    newest: dict[int, Stamp] = {}
    for id, each in sharers.items():
        for index, stamp, is_shared in each.stamps:
            counts = is_shared or id in keepers
            if counts and stamp.number and stamp > newest.get(index, birth._replace(number=0)):
                newest[index] = stamp
    ledger, fences = Ledger(), dict[str, int]()
    for each in keepers.values():
        ledger.add(each.ledger)
        fences = {lock: max(number, fences.get(lock, 0)) for lock, number in {**fences, **each.fences}.items()}
    first = next(iter(told.values())).record
    has = {id: {(index, stamp) for index, stamp, _ in each.stamps} for id, each in told.items()}
    return Recovered(
        Record(first.name, birth, first.declaration),
        not keepers or any(each.is_damaged for each in keepers.values()),
        newest,
        {index: [id for id in told if (index, stamp) in has[id]] for index, stamp in newest.items()},
        ledger,
        fences,
        frozenset(id for id, each in told.items() if each.is_followed),
    )
