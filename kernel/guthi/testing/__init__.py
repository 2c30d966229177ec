"""Simulation for everyone who writes an app or a plugin: a thousand nodes in one process, decided by one seed."""

from guthi.testing.faults import Fault, Schedule
from guthi.testing.links import Bursts, Link
from guthi.testing.loop import Stalled, VirtualLoop
from guthi.testing.machine import Power, SimulatedMachine
from guthi.testing.network import SimulatedNetwork
from guthi.testing.trace import Trace
from guthi.testing.world import SimulatedNode, World, simulated

__all__ = [
    "Bursts",
    "Fault",
    "Link",
    "Power",
    "Schedule",
    "SimulatedMachine",
    "SimulatedNetwork",
    "SimulatedNode",
    "Stalled",
    "Trace",
    "VirtualLoop",
    "World",
    "simulated",
]
