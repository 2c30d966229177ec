"""Which faults a seed draws: swarm testing, so that worlds differ more than if every one used every fault.

Each seed first chooses which kinds of fault it uses at all (Groce et al., "Swarm testing", 2012), then draws them.
Every kind undoes by the end what it does. Clogging machines one after the other and unclogging them in another order is
what FoundationDB calls swizzling. Outages and pauses fall on the same victims, at most half of the machines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from guthi.testing.faults import Fault, Schedule

__all__ = ["draw"]

UNDONE_BY = 0.9  # of the time


def draw(
    random: Random, names: Sequence[str], seconds: float, *, spare: Sequence[str] = (), drift: bool = False
) -> Schedule:
    """Draw faults for that many seconds; by their end everything is whole again.

    Machines in `spare` lose no power and are not paused; their links and clocks may still be bad. With `drift` clocks
    gain and lose: the scenario, which has the world's clock, must then give nodes their work by `SimulatedNode.run`.
    """
    victims = _some(random, [name for name in names if name not in spare])
    swarm = _Swarm(random, list(names), victims, seconds)
    kinds: list[Callable[[_Swarm], list[Fault]]] = [_outages, _pauses, _cuts, _swizzle, _slowness, _jumps]
    if drift:
        kinds.append(_drift)
    chosen = [kind for kind in kinds if random.random() < 0.5] or [random.choice(kinds)]
    return Schedule(fault for kind in chosen for fault in kind(swarm))


@dataclass(frozen=True, slots=True)
class _Swarm:
    random: Random
    names: list[str]
    victims: list[str]
    seconds: float

    def span(self) -> tuple[float, float]:
        """Two moments, in order."""
        first, second = sorted(self.moment(0, UNDONE_BY) for _ in range(2))
        return first, second

    def moment(self, first: float, last: float) -> float:
        """A moment between two parts of the whole time."""
        return round(self.random.uniform(first, last) * self.seconds, 3)

    def some(self) -> list[str]:
        """At most half of the machines."""
        return _some(self.random, self.names)


def _some(random: Random, names: Sequence[str]) -> list[str]:
    return random.sample(names, random.randint(1, max(1, len(names) // 2))) if names else []


def _outages(swarm: _Swarm) -> list[Fault]:
    faults = []
    for name in swarm.victims:
        down, up = swarm.span()
        faults += [Fault(down, swarm.random.choice(["crash", "wipe"]), (name,)), Fault(up, "restart", (name,))]
    return faults


def _pauses(swarm: _Swarm) -> list[Fault]:
    faults = []
    for name in swarm.victims:
        start, stop = swarm.span()
        faults += [Fault(start, "pause", (name,)), Fault(stop, "resume", (name,))]
    return faults


def _cuts(swarm: _Swarm) -> list[Fault]:
    if len(swarm.names) < 2:
        return []
    start, stop = swarm.span()
    side = sorted(swarm.some())
    groups = (",".join(side), ",".join(name for name in swarm.names if name not in side))
    verb = swarm.random.choice(["cut", "oneway"])
    if swarm.random.random() < 0.5:
        groups = groups[1], groups[0]
    return [Fault(start, verb, groups), Fault(stop, "mend", groups)]


def _swizzle(swarm: _Swarm) -> list[Fault]:
    chosen = swarm.some()
    middle = swarm.random.uniform(0.3, 0.6)
    clogged = sorted(swarm.moment(0, middle) for _ in chosen)
    unclogged = sorted(swarm.moment(middle, UNDONE_BY) for _ in chosen)
    again = swarm.random.sample(chosen, len(chosen))
    return [Fault(at, "clog", (name,)) for at, name in zip(clogged, chosen, strict=True)] + [
        Fault(at, "unclog", (name,)) for at, name in zip(unclogged, again, strict=True)
    ]


def _slowness(swarm: _Swarm) -> list[Fault]:
    faults = []
    for name in swarm.some():
        start, stop = swarm.span()
        cost_s = round(swarm.random.uniform(0.0005, 0.005), 4)
        faults += [Fault(start, "slow", (name, str(cost_s))), Fault(stop, "slow", (name, "0"))]
    return faults


def _jumps(swarm: _Swarm) -> list[Fault]:
    faults = []
    for name in swarm.some():
        start, stop = swarm.span()
        jump_s = round(swarm.random.uniform(-60, 60), 1)
        faults += [Fault(start, "skew", (name, str(jump_s))), Fault(stop, "skew", (name, str(-jump_s)))]
    return faults


def _drift(swarm: _Swarm) -> list[Fault]:
    faults = []
    for name in swarm.some():
        start, stop = swarm.span()
        rate = round(swarm.random.uniform(0.9, 1.1), 3)
        faults += [Fault(start, "rate", (name, str(rate))), Fault(stop, "rate", (name, "1"))]
    return faults
