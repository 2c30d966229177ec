"""What goes wrong in a world, and when: a schedule that can be written down, drawn from a seed, and played again.

A schedule is text, one fault after the other, separated by semicolons or lines: `3s crash bob; 8s restart bob`.

| fault                | what it does                                                                           |
|----------------------|----------------------------------------------------------------------------------------|
| crash NAME           | the machine loses power; nothing is said, nothing is tidied up                          |
| wipe NAME            | the same, and its disk is lost                                                         |
| restart NAME         | the machine and its node start again                                                   |
| pause NAME           | the machine stands still, as under SIGSTOP                                             |
| resume NAME          | it goes on                                                                             |
| cut A,B C,D          | nothing passes between the two groups                                                  |
| oneway A,B C,D       | nothing passes from the first group to the second                                      |
| mend A,B C,D         | undoes both                                                                            |
| heal                 | undoes every cut                                                                       |
| clog NAME            | the machine's links become slow and lossy                                              |
| unclog NAME          | they become what they were                                                             |
| slow NAME SECONDS    | each callback costs the processor that much; 0 is fast                                 |
| skew NAME SECONDS    | the wall clock jumps                                                                   |
| rate NAME FACTOR     | the clock runs at that rate                                                            |

`draw` is swarm testing (Groce et al. 2012): each seed first chooses which kinds of fault it uses at all, and so worlds
differ more than if all used all. Clogging and unclogging in differing order is what FoundationDB calls swizzling.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, TypeAlias

from guthi.errors import UsageError

if TYPE_CHECKING:
    from guthi.testing.world import World

__all__ = ["Fault", "Schedule"]

CLOG_LATENCY_S = 0.5
CLOG_LOSS = 0.3


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: the moment in seconds, the verb and its arguments as in the table of this module."""

    at: float
    verb: str
    arguments: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join((f"{self.at:g}s", self.verb, *self.arguments))


Deed: TypeAlias = Callable[["World", Sequence[str]], None]


class Schedule:
    """Faults in the order of their moments; `str` gives the text that `parse` reads."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = sorted(faults, key=lambda fault: fault.at)

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read a schedule; raises UsageError that says which fault is not understood."""
        return cls(_parse_fault(line.strip()) for line in re.split(r"[;\n]", text) if line.strip())

    @classmethod
    def draw(cls, random: Random, names: Sequence[str], seconds: float, *, spare: Sequence[str] = ()) -> Schedule:
        """Draw faults for that many seconds; by their end everything is whole again.

        Machines in `spare` never lose power. At most half of the machines are down or paused at a time.
        """
        drawers = [_draw_outages, _draw_pauses, _draw_cuts, _draw_swizzle, _draw_slowness]
        chosen = [drawer for drawer in drawers if random.random() < 0.5] or [random.choice(drawers)]
        fallible = [name for name in names if name not in spare]
        faults: list[Fault] = []
        for drawer in chosen:
            faults += drawer(random, list(names), fallible, seconds)
        return cls(faults)

    def check(self, names: Sequence[str]) -> None:
        """Raise UsageError for a fault of a machine that is not among `names`."""
        for fault in self.faults:
            shape = _DEEDS[fault.verb][0]
            for kind, argument in zip(shape, fault.arguments, strict=True):
                strangers = set() if kind == "f" else set(argument.split(",")) - set(names)
                if strangers:
                    raise UsageError(f"'{fault}': there is no node {sorted(strangers)[0]!r}; there are {_first(names)}")

    async def play(self, world: World) -> None:
        """Let every fault happen at its moment, counted from now."""
        self.check(list(world.nodes))
        started_at = world.now
        for fault in self.faults:
            await asyncio.sleep(max(started_at + fault.at - world.now, 0))
            await perform(world, fault)

    def __str__(self) -> str:
        return "; ".join(map(str, self.faults))

    def __len__(self) -> int:
        return len(self.faults)


async def perform(world: World, fault: Fault) -> None:
    """Let a fault happen now."""
    world.trace.event(world.now, " ".join((fault.verb, *fault.arguments)))
    if fault.verb == "restart":
        node = world.nodes[fault.arguments[0]]
        if not node.runs:
            # It may find nobody to join: others may be down or cut off. It goes on trying, as a supervisor would.
            world.background(node.start_until_joined())
        return
    _DEEDS[fault.verb][1](world, fault.arguments)


def _clog(world: World, arguments: Sequence[str]) -> None:
    name = arguments[0]
    others = [each for each in world.network.machines if each != name]
    for source, destination in [*((name, other) for other in others), *((other, name) for other in others)]:
        link = world.network.link(source, destination)
        clogged = replace(link, latency_s=link.latency_s + CLOG_LATENCY_S, loss=max(link.loss, CLOG_LOSS))
        world.network.set_link(clogged, [source], [destination])


def _unclog(world: World, arguments: Sequence[str]) -> None:
    others = [each for each in world.network.machines if each != arguments[0]]
    world.network.reset_link(arguments, others)
    world.network.reset_link(others, arguments)


def _slow(world: World, arguments: Sequence[str]) -> None:
    world.nodes[arguments[0]].machine.callback_s = float(arguments[1])


def _skew(world: World, arguments: Sequence[str]) -> None:
    world.nodes[arguments[0]].machine.wall_offset_s += float(arguments[1])


def _rate(world: World, arguments: Sequence[str]) -> None:
    world.nodes[arguments[0]].machine.set_clock_rate(float(arguments[1]))


# Each verb: what its arguments are (n: a name, g: a group of names, f: a number), and what it does.
_DEEDS: dict[str, tuple[str, Deed]] = {
    "crash": ("n", lambda world, names: world.nodes[names[0]].crash()),
    "wipe": ("n", lambda world, names: world.nodes[names[0]].crash(keep_disk=False)),
    "restart": ("n", lambda world, names: None),
    "pause": ("n", lambda world, names: world.nodes[names[0]].machine.pause()),
    "resume": ("n", lambda world, names: world.nodes[names[0]].machine.resume()),
    "cut": ("gg", lambda world, groups: world.network.cut(groups[0].split(","), groups[1].split(","))),
    "oneway": (
        "gg",
        lambda world, groups: world.network.cut(groups[0].split(","), groups[1].split(","), both_ways=False),
    ),
    "mend": ("gg", lambda world, groups: world.network.mend(groups[0].split(","), groups[1].split(","))),
    "heal": ("", lambda world, _: world.network.heal()),
    "clog": ("n", _clog),
    "unclog": ("n", _unclog),
    "slow": ("nf", _slow),
    "skew": ("nf", _skew),
    "rate": ("nf", _rate),
}


def _parse_fault(text: str) -> Fault:
    moment, *words = text.split()
    matched = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s)?", moment)
    if matched is None or not words or words[0] not in _DEEDS:
        verbs = ", ".join(_DEEDS)
        raise UsageError(f"{text!r} is no fault; write a moment and one of {verbs}, for example '3s crash bob'")
    verb, arguments = words[0], tuple(words[1:])
    shape = _DEEDS[verb][0]
    if len(arguments) != len(shape) or any(
        kind == "f" and not _is_number(each) for kind, each in zip(shape, arguments, strict=True)
    ):
        wanted = {"n": "a name", "g": "names with commas", "f": "a number"}
        raise UsageError(f"{text!r}: {verb} takes {' and '.join(wanted[kind] for kind in shape) or 'nothing more'}")
    at = float(matched[1]) / (1000 if matched[2] == "ms" else 1)
    return Fault(at, verb, arguments)


def _first(names: Sequence[str]) -> str:
    shown = ", ".join(names[:10])
    return shown + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# ---- drawing: every drawer undoes by the end what it does


def _span(random: Random, seconds: float) -> tuple[float, float]:
    """Two moments, in order, in the first nine tenths of the time."""
    first, second = sorted(round(random.uniform(0, 0.9 * seconds), 3) for _ in range(2))
    return first, second


def _some(random: Random, names: Sequence[str]) -> list[str]:
    return random.sample(names, random.randint(1, max(1, len(names) // 2))) if names else []


def _draw_outages(random: Random, names: Sequence[str], fallible: Sequence[str], seconds: float) -> list[Fault]:
    faults = []
    for name in _some(random, fallible):
        down, up = _span(random, seconds)
        faults += [Fault(down, random.choice(["crash", "wipe"]), (name,)), Fault(up, "restart", (name,))]
    return faults


def _draw_pauses(random: Random, names: Sequence[str], fallible: Sequence[str], seconds: float) -> list[Fault]:
    faults = []
    for name in _some(random, fallible):
        start, stop = _span(random, seconds)
        faults += [Fault(start, "pause", (name,)), Fault(stop, "resume", (name,))]
    return faults


def _draw_cuts(random: Random, names: Sequence[str], fallible: Sequence[str], seconds: float) -> list[Fault]:
    if len(names) < 2:
        return []
    start, stop = _span(random, seconds)
    side = sorted(_some(random, names))
    groups = (",".join(side), ",".join(name for name in names if name not in side))
    return [Fault(start, random.choice(["cut", "oneway"]), groups), Fault(stop, "mend", groups)]


def _draw_swizzle(random: Random, names: Sequence[str], fallible: Sequence[str], seconds: float) -> list[Fault]:
    """Clog some machines one after the other, then unclog them in another order."""
    chosen = _some(random, names)
    middle = round(random.uniform(0.3, 0.6) * seconds, 3)
    clogged = sorted(round(random.uniform(0, middle), 3) for _ in chosen)
    unclogged = sorted(round(random.uniform(middle, 0.9 * seconds), 3) for _ in chosen)
    again = random.sample(chosen, len(chosen))
    return [Fault(at, "clog", (name,)) for at, name in zip(clogged, chosen, strict=True)] + [
        Fault(at, "unclog", (name,)) for at, name in zip(unclogged, again, strict=True)
    ]


def _draw_slowness(random: Random, names: Sequence[str], fallible: Sequence[str], seconds: float) -> list[Fault]:
    faults = []
    for name in _some(random, names):
        start, stop = _span(random, seconds)
        cost_s = round(random.uniform(0.0005, 0.005), 4)
        faults += [Fault(start, "slow", (name, str(cost_s))), Fault(stop, "slow", (name, "0"))]
        if random.random() < 0.5:
            faults.append(Fault(start, "skew", (name, str(round(random.uniform(-60, 60), 1)))))
    return faults
