"""What `swim` does in a crowd of a thousand: how fast it detects, how often it is wrong, what it sends."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from statistics import median

from tests.figures.crowd import Crowd, Illness, Record

from guthi import MemberState, NodeId
from guthi_health import Swim, SwimSettings

__all__ = ["Detection", "Mistakes", "datagrams_a_second", "detection", "false_positives"]

SETTLED_S = 5.0
SPELL_S = 20.0
ILL_SHARE = 0.05
CONVALESCENCE_S = 10.0  # a verdict on a node that was ill so recently is no mistake


def maker(settings: SwimSettings) -> Callable[[NodeId, Random], Swim]:
    return lambda id, random: Swim(id, settings, random)


@dataclass(frozen=True, slots=True)
class Detection:
    """Seconds after a death: until somebody suspects, until somebody gives up, until all know; one value a death."""

    suspected_s: tuple[float, ...]
    failed_s: tuple[float, ...]
    known_s: tuple[float, ...]

    @property
    def medians_s(self) -> tuple[float, float, float]:
        """Of the three."""
        return median(self.suspected_s), median(self.failed_s), median(self.known_s)


def detection(nodes: int, deaths: int, settings: SwimSettings, *, seed: int = 1, loss: float = 0.0) -> Detection:
    """Kill one node after the other, 18 seconds apart."""
    crowd = Crowd(nodes, maker(settings), seed=seed, loss=loss)
    first: dict[tuple[int, int], float] = {}
    knowing: dict[int, dict[int, float]] = {}

    def learnt(who: int, subject: int, record: Record) -> None:
        if record.state:
            first.setdefault((subject, record.state), crowd.now)
        if record.state == MemberState.FAILED.value:
            knowing.setdefault(subject, {})[who] = crowd.now

    crowd.watch = learnt
    crowd.run(SETTLED_S)
    suspected, failed, known = [], [], []
    for number in range(deaths):
        crowd.kill(number)
        died_at = crowd.now
        crowd.run(died_at + 18.0)
        when = knowing.get(number, {})
        assert len(when) == nodes - 1 - number, f"only {len(when)} know of the death of {number}"
        suspected.append(first[number, MemberState.SUSPECT.value] - died_at)
        failed.append(first[number, MemberState.FAILED.value] - died_at)
        known.append(max(when.values()) - died_at)
    return Detection(tuple(suspected), tuple(failed), tuple(known))


@dataclass(frozen=True, slots=True)
class Mistakes:
    """Verdicts of FAILED on nodes that were well, cumulated by minute; those on ill ones are right or excusable.

    `believed` counts each healthy node that believed one: it closes sessions and gives the work to others.
    """

    by_minute: tuple[int, ...]
    on_the_ill: int
    believed: int

    @property
    def total(self) -> int:
        """In the whole time."""
        return self.by_minute[-1]


def false_positives(nodes: int, minutes: int, settings: SwimSettings, illness: Illness, *, seed: int = 1) -> Mistakes:
    """One in twenty nodes is ill for 20 s at a time: when one recovers, another falls ill."""
    crowd = Crowd(nodes, maker(settings), seed=seed)
    fate = Random(f"fate {seed}")
    ill_until: dict[int, float] = {}
    believed = 0

    def is_well(number: int) -> bool:
        return ill_until.get(number, -CONVALESCENCE_S) + CONVALESCENCE_S <= crowd.now

    def learnt(who: int, subject: int, record: Record) -> None:
        nonlocal believed
        believed += record.state == MemberState.FAILED.value and is_well(subject) and is_well(who)

    def next_spell() -> None:
        number = fate.choice([each for each in range(nodes) if ill_until.get(each, 0.0) <= crowd.now])
        ill_until[number] = crowd.now + SPELL_S
        crowd.fall_ill(number, illness)
        crowd.at(crowd.now + SPELL_S, lambda: end_of_spell(number))

    def end_of_spell(number: int) -> None:
        crowd.recover(number)
        next_spell()

    crowd.watch = learnt
    crowd.run(SETTLED_S)
    count = round(nodes * ILL_SHARE)
    for place in range(count):
        crowd.at(SETTLED_S + place * SPELL_S / count, next_spell)
    wrong, on_the_ill, by_minute, judged = 0, 0, [0], 0
    for second in range(60 * minutes):
        crowd.run(SETTLED_S + second + 1)
        for ruling in crowd.rulings[judged:]:
            wrong += is_well(ruling.accused)
            on_the_ill += not is_well(ruling.accused)
        judged = len(crowd.rulings)
        if (second + 1) % 60 == 0:
            by_minute.append(wrong)
            print(f"{illness.value}, minute {len(by_minute) - 1}: {wrong} wrong, {on_the_ill} not", file=sys.stderr)
    return Mistakes(tuple(by_minute), on_the_ill, believed)


def datagrams_a_second(nodes: int, settings: SwimSettings, seconds: float = 60.0) -> float:
    """What one node sends while nothing happens."""
    crowd = Crowd(nodes, maker(settings))
    crowd.run(SETTLED_S)
    before = crowd.sent.total()
    crowd.run(SETTLED_S + seconds)
    return (crowd.sent.total() - before) / seconds / nodes
