"""A whole run: hosts, load, faults by the schedule, rest, and what the checkers say of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from tests.chaos.checkers import broadcasting, calling, deadlines, eventual, filing, locking, progress, variables
from tests.chaos.cluster import NAMES, Cluster, TooSlow
from tests.chaos.faults import FAULTS
from tests.chaos.journal import Entry
from tests.chaos.load import Orders
from tests.chaos.schedule import CALM_S, Planned
from tests.chaos.spells import Spell
from tests.chaos.workloads.variables import SLOT_S

__all__ = ["Outcome", "chaos"]


@dataclass(slots=True)
class Outcome:
    """What came of a run; moments are those of the journals. `untold` is what could not be checked."""

    seed: int
    began_at: float = 0.0
    ended_at: float = 0.0
    spells: list[Spell] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    violations: dict[str, list[str]] = field(default_factory=dict)
    untold: list[str] = field(default_factory=list)


async def chaos(
    folder: Path,
    planned: Sequence[Planned],
    seconds: float,
    seed: int,
    say: Callable[[str], None],
    names: Sequence[str] = NAMES,
    *,
    calm_s: float = CALM_S[0],
    packages: tuple[Path | None, Path | None] = (None, None),
) -> Outcome:
    """Let it all happen, then check. After each fault is a calm of at least `calm_s`, however long it took to mend.

    `packages` are folders with the Guthi that runs, and with the one that hosts are upgraded to. Raises TooSlow where
    not even the beginning was reached.
    """
    outcome = Outcome(seed)
    async with Cluster.of(folder, names, seed, packages[0]) as cluster:
        cluster.next_packages = packages[1]
        slots = int((seconds + calm_s) / SLOT_S) + 2
        begin = cluster.mark()
        cluster.order(Orders(False, time.monotonic(), slots))
        await cluster.until_told("prepared", ["alice"], begin)
        outcome.began_at = time.monotonic()
        cluster.order(Orders(True, outcome.began_at, slots))
        await _befall(cluster, planned, outcome, calm_s, say)
        await asyncio.sleep(max(outcome.began_at + seconds - time.monotonic(), calm_s))
        outcome.ended_at = time.monotonic()
        problems = await _come_to_rest(cluster, Orders(False, outcome.began_at, slots))
        trees = {name: host.files("team") for name, host in cluster.hosts.items()}
        outcome.entries = cluster.entries()
        await asyncio.gather(*(cluster.terminate(host) for host in cluster.hosts.values()))
        outcome.violations["nodes"] = cluster.surprises + problems
    _judge(outcome, trees)
    return outcome


async def _befall(
    cluster: Cluster, planned: Sequence[Planned], outcome: Outcome, calm_s: float, say: Callable[[str], None]
) -> None:
    """One group of faults after the other; those of one moment are there together."""
    healed_at = outcome.began_at
    for at_s, group in groupby(planned, key=lambda each: each.at_s):
        begin = max(outcome.began_at + at_s, healed_at + calm_s)  # a node may take its time to start again
        await asyncio.sleep(max(begin - time.monotonic(), 0.0))
        together = list(group)
        for each in together:
            say(str(each))
        outcome.spells += await asyncio.gather(*(_one(cluster, each) for each in together))
        await cluster.revive()
        healed_at = time.monotonic()


async def _one(cluster: Cluster, planned: Planned) -> Spell:
    began_at = time.monotonic()
    async with FAULTS[planned.kind](cluster, planned):
        await asyncio.sleep(planned.length_s)
    return Spell(planned.kind, planned.hosts, began_at, time.monotonic())


async def _come_to_rest(cluster: Cluster, orders: Orders) -> list[str]:
    """End the load, and wait until nothing is under way and all have the same; what did not come to pass."""
    begin = cluster.mark()
    cluster.order(orders)
    problems = []
    for what in (
        cluster.until_told("idle", list(cluster.hosts), begin),
        cluster.until(lambda: _are_equal(cluster), "equal trees"),
        cluster.until(lambda: eventual.are_settled(cluster.entries(begin), list(cluster.hosts)), "equal variables"),
    ):
        try:
            await what
        except TooSlow as error:
            problems.append(str(error))
    return problems


def _are_equal(cluster: Cluster) -> bool:
    first, *others = [host.files("team") for host in cluster.hosts.values()]
    return all(each == first for each in others)


def _judge(outcome: Outcome, trees: dict[str, dict[str, bytes]]) -> None:
    entries = outcome.entries
    wrong, outcome.untold = variables.check(entries)
    outcome.violations |= {
        "progress": progress.check(entries),
        "deadlines": deadlines.check(entries),
        "rpc": calling.check(entries),
        "dvar": wrong,
        "eventual": eventual.check(entries),
        "mutex": locking.check(entries),
        "gutfs": filing.check(entries, trees),
        "broadcast": broadcasting.check(entries),
    }
