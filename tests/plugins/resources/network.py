"""Networks of simulated nodes whose machines are as busy as the test says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from guthi.testing import World
from guthi_resources import RESOURCES, Resources, ResourcesPlugin, Sample
from guthi_resources.probe import Probe

GIB = 1 << 30
CALM = Sample(10.0, (10, 10), 0.5, 16 * GIB, 8 * GIB, 100 * GIB, 50 * GIB, 0, 0, 0, 0, 1.0, GIB, 4, 60)


class Dial:
    """A probe that says what it was set to; `restless` machines say something else each time."""

    def __init__(self) -> None:
        self.is_restless = self.is_broken = False
        self.says = CALM

    def set(self, **changes: Any) -> None:
        """The machine is another from now on."""
        self.says = replace(self.says, **changes)

    def sample(self, now: float) -> Sample:
        """As `Probe` has it."""
        if self.is_broken:
            raise FileNotFoundError("the folder is gone")
        if self.is_restless:
            self.set(cpu_percent=(self.says.cpu_percent + 7.3) % 100)
        return self.says


class Dialled(ResourcesPlugin):
    """The plugin with a dial for a probe."""

    @staticmethod
    def make_probe(folder: Path) -> Dial:
        """As the plugin has it."""
        return Dial()


async def a_network(world: World, count: int, **resources: Any) -> list[str]:
    """So many nodes that know one another; returns their names."""
    names = [f"n{number:03}" for number in range(count)]
    for name in names:
        await world.start(name, plugins=[Dialled], join=names[:1] if name != names[0] else [], resources=resources)
    await world.until(world.is_connected)
    return names


def service(world: World, name: str) -> Resources:
    """The service of a node, as it is now."""
    return world.nodes[name].node.require(RESOURCES)


def dial(world: World, name: str) -> Dial:
    """The probe of a node, as it is now."""
    probe: Probe = service(world, name).probe
    assert isinstance(probe, Dial)
    return probe


def knows(world: World, name: str, of: str, cpu_percent: float) -> bool:
    """Whether a node has heard that another's processor is so busy."""
    reading = service(world, name).of(world.nodes[of].node.id)
    return reading is not None and reading.sample.cpu_percent == cpu_percent
