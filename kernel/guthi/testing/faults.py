"""What goes wrong in a world, and when: a schedule that can be written down, drawn from a seed, and played again.

A schedule is text, one fault after the other, separated by semicolons or lines: `3s crash bob; 8s restart bob`. A group
is names with commas between them; `zone:NAME` stands for the nodes of a zone, `*` for all that are not in the other
group.

| fault                | what it does                                                                            |
|----------------------|-----------------------------------------------------------------------------------------|
| crash NAME           | the machine loses power; nothing is said, nothing is tidied up                          |
| wipe NAME            | the same, and its disk is lost                                                          |
| restart NAME         | the machine and its node start again, if they are down                                  |
| pause NAME           | the machine stands still, as under SIGSTOP                                              |
| resume NAME          | it goes on                                                                              |
| cut GROUP GROUP      | nothing passes between the two groups                                                   |
| oneway GROUP GROUP   | nothing passes from the first group to the second                                       |
| mend GROUP GROUP     | undoes both                                                                             |
| heal                 | undoes every cut                                                                        |
| clog NAME            | the machine's links become slow and lossy                                               |
| unclog NAME          | they become what they were                                                              |
| slow NAME SECONDS    | each callback costs the processor that much; 0 is fast                                  |
| skew NAME SECONDS    | the wall clock jumps                                                                    |
| rate NAME FACTOR     | the clock runs at that rate, from 0.1 to 10; 1 is right                                 |
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guthi.errors import UsageError

if TYPE_CHECKING:
    from guthi.testing.world import World

__all__ = ["Fault", "Schedule"]

PLACES = 6  # moments are kept to the microsecond, so that what is printed is what was played


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: the moment in seconds, the verb and its arguments as in the table of this module.

    Raises UsageError for what the table does not have.
    """

    at: float
    verb: str
    arguments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.at < math.inf:
            raise UsageError(f"a fault happens at a moment in seconds, 0 or more, not at {self.at}")
        object.__setattr__(self, "at", round(self.at, PLACES))
        deed = _DEEDS.get(self.verb)
        if deed is None:
            raise UsageError(f"there is no fault {self.verb!r}; there are {', '.join(_DEEDS)}")
        fit = len(deed.takes) == len(self.arguments)
        if not fit or not all(map(_fits, deed.takes, self.arguments)):
            wanted = " and ".join(_KINDS[kind] for kind in deed.takes) or "nothing more"
            raise UsageError(f"'{self}': {self.verb} takes {wanted}")

    def __str__(self) -> str:
        moment = f"{self.at:.{PLACES}f}".rstrip("0").rstrip(".")
        return " ".join((f"{moment}s", self.verb, *self.arguments))


class Schedule:
    """Faults in the order of their moments; `str` gives the text that `parse` reads."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = sorted(faults, key=lambda fault: fault.at)

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read a schedule; raises UsageError that says which fault is not understood."""
        return cls(_parse_fault(line.strip()) for line in re.split(r"[;\n]", text) if line.strip())

    def check(self, zones: Mapping[str, str]) -> None:
        """Raise UsageError for a fault of a node or zone that does not exist; `zones` has the zone of each node."""
        for fault in self.faults:
            for kind, argument in zip(_DEEDS[fault.verb].takes, fault.arguments, strict=True):
                if kind == "n" and argument not in zones:
                    raise _stranger(fault, argument, zones)
            _groups(fault, zones)

    async def play(self, world: World) -> None:
        """Let every fault happen at its moment, counted from now."""
        self.check(world.zones())
        started_at = world.now
        for fault in self.faults:
            await asyncio.sleep(max(started_at + fault.at - world.now, 0))
            perform(world, fault)

    def __str__(self) -> str:
        return "; ".join(map(str, self.faults))

    def __len__(self) -> int:
        return len(self.faults)


def perform(world: World, fault: Fault) -> None:
    """Let a fault happen now."""
    world.trace.event(world.now, " ".join((fault.verb, *fault.arguments)))
    deed = _DEEDS[fault.verb]
    arguments = _groups(fault, world.zones()) if "g" in deed.takes else list(fault.arguments)
    deed.happens(world, *arguments)


def _parse_fault(text: str) -> Fault:
    moment, *words = text.split()
    matched = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m)?", moment)
    if matched is None or not words:
        raise UsageError(f"{text!r} is no fault; write a moment and what happens, for example '3s crash bob'")
    at = float(matched[1]) * {"ms": 0.001, "m": 60.0}.get(matched[2], 1.0)
    return Fault(at, words[0], tuple(words[1:]))


# ---- groups


def _groups(fault: Fault, zones: Mapping[str, str]) -> list[list[str]]:
    """The names that the groups of a fault stand for."""
    kinds = _DEEDS[fault.verb].takes
    texts = [argument for kind, argument in zip(kinds, fault.arguments, strict=True) if kind == "g"]
    groups = [[name for part in text.split(",") if part != "*" for name in _part(fault, part, zones)] for text in texts]
    for number, text in enumerate(texts):
        if "*" in text.split(","):
            others = groups[1 - number]
            groups[number] = [name for name in zones if name not in others]
    return groups


def _part(fault: Fault, part: str, zones: Mapping[str, str]) -> list[str]:
    if part in zones:
        return [part]
    found = [name for name, zone in zones.items() if part == f"zone:{zone}" and zone]
    if not found:
        raise _stranger(fault, part, zones)
    return found


def _stranger(fault: Fault, name: str, zones: Mapping[str, str]) -> UsageError:
    names = list(zones)
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return UsageError(f"'{fault}': there is no node {name!r}; there are {shown or 'none'}")


# ---- deeds


@dataclass(frozen=True, slots=True)
class _Deed:
    takes: str  # the kind of each argument, a letter of _KINDS
    happens: Callable[..., object]


_KINDS = {
    "n": "a name",
    "g": "names with commas",
    "d": "seconds, 0 or more",
    "j": "seconds, which may be below 0",
    "r": "a rate from 0.1 to 10",
}
_RANGES = {"d": (0.0, 1e6), "j": (-1e9, 1e9), "r": (0.1, 10.0)}


def _fits(kind: str, argument: str) -> bool:
    if kind not in _RANGES:
        return bool(argument) and not re.search(r"[\s;]", argument) and (kind == "g" or "," not in argument)
    lowest, highest = _RANGES[kind]
    try:
        return lowest <= float(argument) <= highest
    except ValueError:
        return False


def _restart(world: World, name: str) -> None:
    """It may find nobody to join, as others may be down or cut off: it goes on trying, as a supervisor would."""
    node = world.nodes[name]
    if node.is_down:
        world.background(node.start_until_joined(), f"restart of {name}")


def _slow(world: World, name: str, cost_s: str) -> None:
    world.nodes[name].machine.callback_s = float(cost_s)


def _skew(world: World, name: str, jump_s: str) -> None:
    world.nodes[name].machine.clock.wall_offset_s += float(jump_s)


_DEEDS: dict[str, _Deed] = {
    "crash": _Deed("n", lambda world, name: world.nodes[name].crash()),
    "wipe": _Deed("n", lambda world, name: world.nodes[name].crash(keep_disk=False)),
    "restart": _Deed("n", _restart),
    "pause": _Deed("n", lambda world, name: world.nodes[name].machine.pause()),
    "resume": _Deed("n", lambda world, name: world.nodes[name].machine.resume()),
    "cut": _Deed("gg", lambda world, one, other: world.network.cut(one, other)),
    "oneway": _Deed("gg", lambda world, sources, to: world.network.cut(sources, to, both_ways=False)),
    "mend": _Deed("gg", lambda world, one, other: world.network.mend(one, other)),
    "heal": _Deed("", lambda world: world.network.heal()),
    "clog": _Deed("n", lambda world, name: world.network.clog(name)),
    "unclog": _Deed("n", lambda world, name: world.network.unclog(name)),
    "slow": _Deed("nd", _slow),
    "skew": _Deed("nj", _skew),
    "rate": _Deed("nr", lambda world, name, rate: world.nodes[name].machine.set_clock_rate(float(rate))),
}
