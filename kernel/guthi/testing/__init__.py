"""Simulation for everyone who writes an app or a plugin: a thousand nodes in one process, decided by one seed."""

from guthi.testing.faults import Fault, Schedule
from guthi.testing.journal import Unhandled
from guthi.testing.linearizability import UNKNOWN, History, Operation, Register, Violation, linearizable
from guthi.testing.links import Bursts, Jitter, Link
from guthi.testing.loop import Stalled, VirtualLoop
from guthi.testing.machine import SimulatedMachine
from guthi.testing.network import SimulatedNetwork
from guthi.testing.node import PowerLost, SimulatedNode
from guthi.testing.processor import Power
from guthi.testing.trace import Trace
from guthi.testing.world import World, simulated

__all__ = [
    "UNKNOWN",
    "Bursts",
    "Fault",
    "History",
    "Jitter",
    "Link",
    "Operation",
    "Power",
    "PowerLost",
    "Register",
    "Schedule",
    "SimulatedMachine",
    "SimulatedNetwork",
    "SimulatedNode",
    "Stalled",
    "Trace",
    "Unhandled",
    "Violation",
    "VirtualLoop",
    "World",
    "linearizable",
    "simulated",
]
