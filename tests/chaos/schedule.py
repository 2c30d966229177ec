"""Decides, by a seed, what befalls whom and when.

Kinds come in decks: each is dealt once before any comes again, so that ten minutes have all of them. After each comes
a calm in which the nodes have time to recover. No more than a minority is hit at once, and nothing lasts so long that
what nodes remember for others (broadcasts, results) has gone when it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

__all__ = ["CALM_S", "KINDS", "WARM_UP_S", "Planned", "schedule"]

WARM_UP_S = 10.0
FAULT_S = (5.0, 10.0)
CALM_S = (8.0, 11.0)
BESIDE = 0.25  # how often bad weather comes with another fault

SINGLE = ("kill", "storm", "pause", "cut", "deaf", "disk", "descriptors", "clock", "drain")
MINORITY = ("split", "kill-two")
WEATHER = ("loss", "delay")
KINDS = SINGLE + MINORITY + WEATHER
"""What each does is in `faults`."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault to come; moments are seconds since the beginning. `amount` is of loss, seconds of delay or of clock."""

    at_s: float
    length_s: float
    kind: str
    hosts: tuple[str, ...]
    amount: float = 0.0

    def __str__(self) -> str:
        return f"{self.at_s:6.1f} s  {self.kind:<11}  {', '.join(self.hosts)}"


def schedule(
    seed: int, hosts: Sequence[str], seconds: float, *, without: Sequence[str] = (), only: Sequence[str] = ()
) -> list[Planned]:
    """All faults of a run, of all kinds or of `only` some; those `without` which it has to be are left out."""
    random, deck, planned = Random(seed), list[str](), list[Planned]()
    kinds = [each for each in KINDS if each not in without and (not only or each in only)]
    at_s = WARM_UP_S
    while kinds:
        deck = deck or random.sample(kinds, len(kinds))
        length_s, calm_s = random.uniform(*FAULT_S), random.uniform(*CALM_S)
        if at_s + length_s + calm_s > seconds:
            return planned
        kind = deck.pop()
        planned.append(_planned(random, at_s, length_s, kind, hosts))
        if kind not in WEATHER and not only and random.random() < BESIDE:
            planned.append(_planned(random, at_s, length_s, random.choice(WEATHER), hosts))
        at_s += length_s + calm_s
    return planned


def _planned(random: Random, at_s: float, length_s: float, kind: str, hosts: Sequence[str]) -> Planned:
    minority = (len(hosts) - 1) // 2
    counts = {**dict.fromkeys(SINGLE, 1), **dict.fromkeys(MINORITY, minority)}
    chosen = tuple(sorted(random.sample(list(hosts), counts.get(kind, len(hosts)))))
    amounts = {"loss": (0.05, 0.25), "delay": (0.02, 0.15), "clock": (-7200.0, 7200.0)}
    return Planned(at_s, length_s, kind, chosen, random.uniform(*amounts[kind]) if kind in amounts else 0.0)
